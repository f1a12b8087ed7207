"""A new learner of the family that the configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tutelage.config import StudentConfig
from tutelage.errors import MissingExtraError
from tutelage.students.protocol import Learner
from tutelage.tasks import Classify


def new_learner(config: StudentConfig, task: Classify, texts: Sequence[str], folder: Path) -> Learner:
    """Initialise a student that can be trained.

    `texts` is the transfer set, of which a static student makes its vocabulary; `folder` is where relative
    checkpoint paths start. Weights follow from `config.seed`. Raises MissingExtraError without torch.
    """
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train", "training a student")
    if config.family == "static":
        from tutelage.students.static_learner import StaticLearner

        return StaticLearner(config, task, texts)
    from tutelage.students.encoder import EncoderLearner

    return EncoderLearner(config, task, folder)
