"""A new learner of the family that the configuration names, and what becomes of several."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.config import StudentConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.students.protocol import Learner, Student
from tutelage.students.static import StaticStudent
from tutelage.tasks import LabelTask, RationaleMode, Task

if TYPE_CHECKING:
    from tutelage.students.writing_learner import WritingLearner


def new_learner(config: StudentConfig, task: LabelTask, texts: Sequence[str], folder: Path) -> Learner:
    """Initialise a student that can be trained.

    `texts` is the transfer set, of which a static student makes its vocabulary; `folder` is where relative
    checkpoint paths start. Weights follow from `config.seed`. Raises MissingExtraError without torch or
    transformers, whose Trainer takes the steps of every family, and ConfigError for a family that writes,
    whose learners are `new_writing_learner`'s.
    """
    if config.writes:
        raise ConfigError(
            f"student.family is {config.family}, which learns to write, and labels were to be learned. "
            "Mend: student.family encoder or static; in Python new_writing_learner"
        )
    _require_packages(config.family)
    if config.family == "static":
        from tutelage.students.static_learner import StaticLearner

        return StaticLearner(config, task, texts)
    from tutelage.students.encoder import EncoderLearner

    return EncoderLearner(config, task, folder)


def new_writing_learner(
    config: StudentConfig,
    task: Task,
    folder: Path,
    *,
    rationale: RationaleMode = RationaleMode.NONE,
    prefix: str = "",
) -> WritingLearner:
    """Initialise a student of family `causal` or `seq2seq`; its weights follow from `config.seed`.

    It says its reasons where `rationale` puts them, and what it is asked begins with `prefix`. `folder` is
    where relative paths start. Raises MissingExtraError without torch and transformers, ConfigError where
    base, task and form don't go together.
    """
    _require_packages(config.family)
    from tutelage.students.causal import CausalLearner
    from tutelage.students.seq2seq import Seq2SeqLearner

    family = Seq2SeqLearner if config.family == "seq2seq" else CausalLearner
    return family(config, task, folder, rationale=rationale, prefix=prefix)


def average_students(members: Sequence[Student]) -> Student:
    """One student in place of an ensemble. Raises TypeError where several are of a family without a mean."""
    static = [member for member in members if isinstance(member, StaticStudent)]
    if len(members) == 1:
        return members[0]
    if len(static) != len(members):
        raise TypeError(f"students of family {members[0].family!r} have no mean")
    return StaticStudent.averaged(static)


def _require_packages(family: str) -> None:
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "train", f"training a {family} student")
