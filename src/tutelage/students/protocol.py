"""What a student is, and what it is while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tutelage import storage
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from tutelage.tasks import Parsed, Task

STUDENT_FILE = "student.json"


class Student(Protocol):
    """A trained small model."""

    family: str
    labels: tuple[str, ...]
    multi_label: bool

    @property
    def parameters(self) -> int:
        """Weights, embeddings included."""
        ...

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [n, labels]: rows sum to 1, or independent ones with several labels."""
        ...

    def tempered(self, temperature: float) -> Student:
        """This student with its logits divided by `temperature`: other probabilities, the same answers."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer and `student.json` into an existing folder."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """One text that a student wrote.

    `confidence` is the mean log-probability of its tokens, 0 at best; `tokens` are their ids, its end
    included where `ended`, i.e. where it wasn't cut at the most tokens asked for.
    """

    text: str
    confidence: float
    tokens: tuple[int, ...]
    ended: bool


@runtime_checkable
class Writer(Protocol):
    """A student that writes. With labels it is a `Student` too, whose `predict` weighs them."""

    family: str

    @property
    def parameters(self) -> int:
        """Weights, embeddings included."""
        ...

    def write(self, texts: Sequence[str], *, max_new_tokens: int | None = None) -> list[Written]:
        """The likeliest continuation of each prompt, token by token; of at most `max_new_tokens`."""
        ...

    def sample(
        self,
        texts: Sequence[str],
        *,
        samples: int,
        temperature: float,
        seed: int,
        max_new_tokens: int | None = None,
    ) -> list[list[Written]]:
        """`samples` texts for each prompt, drawn at `temperature`; the same ones for the same `seed`."""
        ...

    def read(self, text: str, task: Task) -> Parsed:
        """What it meant by a text that it wrote, held to `task` as a teacher's answer is."""
        ...

    def answers(self, texts: Sequence[str], task: Task) -> list[Parsed]:
        """What it answers, held to `task` as a teacher's answers are: unparseable ones are counted so."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer and `student.json` into an existing folder."""
        ...


class Examples(Protocol):
    """What a module reads while it learns: examples by index, encoded once, batched again and again."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each example, or whatever its cost grows with: like lengths share a batch."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """The module's keyword arguments for the examples at `indices`: padded tensors on the CPU."""
        ...


class Learner(Protocol):
    """A student while it learns: a torch module with its own way to encode texts and to be optimised.

    `module` returns logits float32 [n, labels] for a batch of `examples`. `threads` is how many of the
    processor's a step can use; None: all of them.
    """

    module: torch.nn.Module
    threads: int | None

    def examples(self, texts: Sequence[str]) -> Examples:
        """Encode texts once, before the first epoch."""
        ...

    def warm_up(self, examples: Any, targets: npt.NDArray[np.float32]) -> None:
        """Fit what can be fitted before the first step; `targets`: float32 [n, labels]."""
        ...

    def optimizer(self, objective: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        """Over all that learns in `objective`, which holds `module`; each group's `lr` is its peak."""
        ...

    def finished(self) -> Student:
        """The student as it stands now."""
        ...


def refuse_one_text(texts: Sequence[str]) -> None:
    """Raise TypeError for a string, whose characters would else be taken for texts."""
    if isinstance(texts, str):
        raise TypeError("predict takes a list of texts, and was given one text. Mend: put it in a list")


def write_student_file(folder: Path, about: dict[str, Any]) -> None:
    """Write `student.json` with the hashes of the other files in the folder: the last step of `save`."""
    parts = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != STUDENT_FILE)
    hashes = {name: storage.hash_file(folder / name) for name in parts}
    storage.write_json(folder / STUDENT_FILE, {**about, "files": hashes})


def read_student_file(folder: Path) -> dict[str, Any]:
    """Read `student.json`. Raises IntegrityError where it or a file that it names is not what was written."""
    about = _read_about(folder)
    for name, digest in about["files"].items():
        part = folder / name
        if not part.is_file() or storage.hash_file(part) != digest:
            raise IntegrityError(f"{part} is damaged: it is not what was written. Mend: train again")
    return about


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / STUDENT_FILE
    about = storage.read_json(path) if path.is_file() else None
    if not isinstance(about, dict) or not isinstance(about.get("files", {}), dict):
        raise IntegrityError(
            f"{path} is missing or damaged. Mend: name the folder of a student, such as "
            "my-programme/students/static/student, or train again"
        )
    return about


def load_student(folder: Path | str) -> Student:
    """Load a student that `save` wrote, whatever its family. Raises IntegrityError where it is damaged."""
    folder = Path(folder)
    family = _read_about(folder).get("family")
    if family == "static":
        from tutelage.students.static import StaticStudent

        return StaticStudent.load(folder)
    if family == "encoder":
        from tutelage.students.encoder import EncoderStudent

        return EncoderStudent.load(folder)
    if family in ("causal", "seq2seq"):
        from tutelage.students.writing import WritingStudent

        return WritingStudent.load(folder)
    raise IntegrityError(f"{folder / STUDENT_FILE} names no known family: {family!r}")
