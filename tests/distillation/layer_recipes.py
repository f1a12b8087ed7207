"""Runs of the recipes that teach layers, in the world of `taught_world`."""

from __future__ import annotations

from pathlib import Path

from taught_world import few, save_shuffled, save_teacher

from tiny_world import TASK, TEXTS
from tutelage.config import StudentConfig
from tutelage.distillation import LayerTeaching, distil_student
from tutelage.progress import Silent

BODY = {"epochs": 30, "batch_size": 16, "learning_rate": 1e-2}
OWN_SHAPE = {"layers": 2, "hidden_size": 16, "heads": 4, "intermediate_size": 32}
_TASK = {"epochs": 30, "batch_size": 8, "learning_rate": 3e-3, "validation": 0.2}


def save_world(folder: Path) -> Path:
    """`mlm`, a teacher with an MLM head; `headless`, the same without; `shuffled`, which mixes words up."""
    save_teacher(folder / "mlm")
    save_teacher(folder / "headless", mlm=False)
    save_shuffled(folder / "headless", folder / "shuffled")
    return folder


def config_of(recipe: str, *, body=None, **config) -> StudentConfig:
    """Of a student of its own shape, unless `config` says otherwise."""
    return StudentConfig(**(_TASK | OWN_SHAPE | {"recipe": recipe, "body": BODY | (body or {})} | config))


def quick(recipe: str, **config) -> StudentConfig:
    """The same, of a run of a few steps."""
    body = {"epochs": 2} | config.pop("body", {})
    return config_of(recipe, **({"epochs": 2, "body": body} | config))


def trained(
    world,
    config,
    teacher="headless",
    *,
    progress=None,
    checkpoint=None,
    control=False,
    kept=None,
    answers=None,
):
    """A student that is told of few texts, and sees the rest."""
    return distil_student(
        few(),
        TASK,
        config,
        world,
        progress or Silent(),
        layers=LayerTeaching(teacher, TEXTS, kept, answers),
        checkpoint=checkpoint,
        control=control,
    )
