"""A student that answers without torch: a static one, or one from an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tutelage.errors import IntegrityError, MissingExtraError, UnsafeModelError, UsageError
from tutelage.serving.onnx_file import check_onnx
from tutelage.students.probabilities import probabilities
from tutelage.students.protocol import STUDENT_FILE, read_student_file, refuse_one_text
from tutelage.students.static import StaticStudent

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MODEL, _TOKENIZER = "model.onnx", "tokenizer.json"
_BATCH = 64
# What loads code or objects rather than numbers; a folder that holds one is refused, whatever else it holds.
_PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz")
_UNSAFE = frozenset((*_PICKLED, ".h5", ".py", ".so"))


class Runtime(Protocol):
    """What a server needs of a student."""

    labels: tuple[str, ...]
    multi_label: bool

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [n, labels]: rows sum to 1, or independent ones with several labels."""
        ...


class OnnxStudent:
    """A student from a folder that `tutelage export` wrote."""

    def __init__(self, about: dict[str, Any], session: Any, tokenizer: Tokenizer) -> None:
        self.labels: tuple[str, ...] = tuple(about["labels"])
        self.multi_label: bool = about["multi_label"]
        self.parameters: int = about["parameters"]
        self._padding: int = about["padding"]
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OnnxStudent:
        """Load it. `threads` are those of one prediction.

        Raises IntegrityError where files aren't what was written, UnsafeModelError for a model that reaches
        beyond its file, and MissingExtraError without onnxruntime.
        """
        from tokenizers import Tokenizer

        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "serve", "an ONNX student") from error
        about = read_student_file(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                check_onnx(folder / _MODEL), options, providers=["CPUExecutionProvider"]
            )
            tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        except UnsafeModelError:
            raise
        except Exception as error:  # onnxruntime and tokenizers raise kinds of their own
            raise IntegrityError(f"{folder} can't be loaded: {error}. Mend: export again") from error
        tokenizer.enable_truncation(about["max_tokens"])
        return cls(about, session, tokenizer)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Runtime.predict`. Batches are sorted by length."""
        refuse_one_text(texts)
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        result = np.zeros((len(ids), len(self.labels)), np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            result[rows] = probabilities(self._logits([ids[row] for row in rows]), self.multi_label)
        return result

    def _logits(self, ids: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        tokens = np.full((len(ids), max(1, max(map(len, ids)))), self._padding, np.int64)
        mask = np.zeros_like(tokens)
        for row, numbers in enumerate(ids):
            tokens[row, : len(numbers)] = numbers
            mask[row, : len(numbers)] = 1
        logits: npt.NDArray[np.float32]
        [logits] = self._session.run(["logits"], {"input_ids": tokens, "attention_mask": mask})
        return logits


def load_runtime(folder: Path | str, threads: int = 1) -> Runtime:
    """The student in a folder, for answering only.

    Raises UnsafeModelError where the folder holds a file of a kind that can run code or isn't one folder,
    IntegrityError where a file isn't what was written, and UsageError for a family that needs torch.
    """
    folder = Path(folder)
    _refuse_unsafe(folder)
    family = read_student_file(folder).get("family")
    if family == "static":
        return StaticStudent.load(folder)
    if family == "onnx":
        return OnnxStudent.load(folder, threads)
    raise UsageError(
        f"{folder / STUDENT_FILE} is of family {family!r}, which a server can't run. "
        "Mend: `tutelage export`, and name what it wrote"
    )


def _refuse_unsafe(folder: Path) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in _UNSAFE:
            raise UnsafeModelError(
                f"{path} is of a kind that can run code when it is loaded. "
                "Mend: serve a folder with safetensors or ONNX only"
            )
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise UnsafeModelError(f"{path} points out of its folder. Mend: copy the file itself")
