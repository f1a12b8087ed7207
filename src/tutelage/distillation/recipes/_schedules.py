"""How long and how fast students that write are trained."""

from __future__ import annotations

import math

from tutelage.config import StudentConfig
from tutelage.distillation.schedule import Schedule

_BATCH = 16
_EPOCHS = 5
_LEAST_STEPS, _MOST_STEPS = 200, 20_000
# Peaks by whether the weights were learned before, are only adapted, or are random.
_PRETRAINED = {"causal": 1e-4, "seq2seq": 3e-4}
_ADAPTERS, _RANDOM = 5e-4, 1e-3


def text_schedule(config: StudentConfig, examples: int, other_steps: int = 0) -> Schedule:
    """The schedule of a student of this family and shape that learns from `examples`, validation aside.

    Steps follow from epochs with a floor, since a small set needs more passes, and a ceiling. Where
    `student.epochs` is given it decides; then `other_steps`, those of an arm that this one is compared to,
    keeps a control on few examples from losing for want of steps: it gets the floor too, as far as the other
    arm reaches.
    """
    batch_size = config.batch_size or _BATCH
    per_epoch = math.ceil(examples / batch_size)
    steps = min(max(_EPOCHS * per_epoch, _LEAST_STEPS), _MOST_STEPS)
    if config.epochs:
        steps = max(config.epochs * per_epoch, min(other_steps, _LEAST_STEPS))
    rate = _RANDOM if config.hidden_size else _ADAPTERS if config.lora else _PRETRAINED[config.family]
    return Schedule(
        learning_rate=config.learning_rate or rate,
        batch_size=batch_size,
        steps=steps,
        seed=config.seed,
        accumulation=config.accumulation,
        precision=config.precision,
        shard=config.shard,
    )
