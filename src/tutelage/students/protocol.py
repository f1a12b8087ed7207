"""What a student is, and what it is while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tutelage import storage
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

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

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer and `student.json` into an existing folder."""
        ...


class Learner(Protocol):
    """A student while it learns: a torch module with its own way to encode texts and to be optimised.

    `encoded` is whatever `encode` returned; it has a length for each text (`lengths`, int64 [n]), by which
    batches are bucketed. `threads` is how many of the processor's a step can use; None: all of them.
    """

    module: torch.nn.Module
    threads: int | None

    def encode(self, texts: Sequence[str]) -> Any:
        """Tokenise texts once, before the first epoch."""
        ...

    def lengths(self, encoded: Any) -> npt.NDArray[np.int64]:
        """Tokens of each encoded text."""
        ...

    def warm_up(self, encoded: Any, targets: npt.NDArray[np.float32]) -> None:
        """Fit what can be fitted before the first step; `targets`: float32 [n, labels]."""
        ...

    def logits(self, encoded: Any, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        """Scores of the encoded texts at `indices`: float32 [len(indices), labels]."""
        ...

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Optimisers over the parameters that learn; each group's `lr` is its peak."""
        ...

    def finished(self) -> Student:
        """The student as it stands now."""
        ...


def load_student(folder: Path) -> Student:
    """Load a student that `save` wrote, whatever its family. Raises IntegrityError where it is damaged."""
    family = storage.read_json(folder / STUDENT_FILE).get("family")
    if family == "static":
        from tutelage.students.static import StaticStudent

        return StaticStudent.load(folder)
    if family == "encoder":
        from tutelage.students.encoder import EncoderStudent

        return EncoderStudent.load(folder)
    raise IntegrityError(f"{folder / STUDENT_FILE} names no known family: {family!r}")
