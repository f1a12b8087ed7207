"""A new learner of the family that the configuration names, and what becomes of several."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tutelage.config import StudentConfig
from tutelage.errors import MissingExtraError
from tutelage.students.protocol import Learner, Student
from tutelage.students.static import StaticStudent
from tutelage.tasks import LabelTask


def new_learner(config: StudentConfig, task: LabelTask, texts: Sequence[str], folder: Path) -> Learner:
    """Initialise a student that can be trained.

    `texts` is the transfer set, of which a static student makes its vocabulary; `folder` is where relative
    checkpoint paths start. Weights follow from `config.seed`. Raises MissingExtraError without torch.
    """
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train", "training a student")
    if config.family == "static":
        from tutelage.students.static_learner import StaticLearner

        return StaticLearner(config, task, texts)
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", "train", "training an encoder student")
    from tutelage.students.encoder import EncoderLearner

    return EncoderLearner(config, task, folder)


def average_students(members: Sequence[Student]) -> Student:
    """One student in place of an ensemble. Raises TypeError where several are of a family without a mean."""
    static = [member for member in members if isinstance(member, StaticStudent)]
    if len(members) == 1:
        return members[0]
    if len(static) != len(members):
        raise TypeError(f"students of family {members[0].family!r} have no mean")
    return StaticStudent.averaged(static)
