"""What a student is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tutelage import storage
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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


def load_student(folder: Path) -> Student:
    """Load a student that `save` wrote, whatever its family. Raises IntegrityError where it is damaged."""
    family = storage.read_json(folder / "student.json").get("family")
    if family == "static":
        from tutelage.students.static import StaticStudent

        return StaticStudent.load(folder)
    if family == "encoder":
        from tutelage.students.encoder import EncoderStudent

        return EncoderStudent.load(folder)
    raise IntegrityError(f"{folder / 'student.json'} names no known family: {family!r}")
