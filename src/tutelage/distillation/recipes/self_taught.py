"""A student that is its own teacher: generation after generation, or its deeper layers its shallower ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase, Recipe
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets, labelled
from tutelage.distillation.signals import Signals
from tutelage.students import Student, average_students

if TYPE_CHECKING:
    from tutelage.distillation.exits import ExitsObjective

_GENERATIONS = 2


def plan_self(config: StudentConfig, examples: int, other_steps: int = 0) -> Recipe:
    """`student.recipe: self`: `Exits` where `student.exits` asks for them, else `BornAgain`."""
    task = SoftTargets.planned(config, examples, other_steps)
    if config.exits:
        return Exits(task, config.exit)
    return BornAgain(task, config.generations or _GENERATIONS, bool(config.ensemble))


@dataclass(frozen=True, slots=True)
class BornAgain(OnTheTask):
    """Born-again networks (Furlanello et al. 2018, section 3.1): each generation taught by the one before.

    The first learns from the teacher's answers. Each further one starts anew, from a seed of its own, and
    learns from the distribution of the one before on the same texts, with human labels mixed in as soft
    targets do (the paper's sum of both losses). `ensemble`: the mean logits of all generations (the paper's
    BANE takes the mean of probabilities, which doesn't fold into one table).
    """

    name: ClassVar[str] = "self"

    generations: int
    ensemble: bool

    def phases(self, material: Material) -> Iterator[Phase]:
        """One a generation. Validation is the known answers' for all of them."""
        born: list[Student] = []

        def finished(generation: Material) -> Student:
            own = generation.learner.finished()
            return average_students([*born, own]) if self.ensemble else own

        generation, task = material, self.task
        for number in range(self.generations):
            if number:
                born.append(generation.learner.finished())
                seed = _seed_of(self.task.schedule.seed, number)
                generation = replace(
                    material,
                    learner=material.fresh(seed),
                    learning=_taught_by(born[-1], material.learning),
                )
                task = self.task.seeded(seed)
            (phase,) = task.phases(generation)
            yield replace(phase, name=f"generation {number + 1}", finished=partial(finished, generation))


def _seed_of(seed: int, generation: int) -> int:
    return int(np.random.SeedSequence([seed, generation]).generate_state(1)[0] >> 1)


def _taught_by(student: Student, signals: Signals) -> Signals:
    """The same texts and human labels; the teacher of all rows is `student`."""
    every = np.ones(len(signals), bool)
    return replace(signals, teacher=student.predict(signals.texts), softened=every, has_teacher=every.copy())


@dataclass(frozen=True, slots=True)
class Exits(OnTheTask):
    """Self-distillation (Zhang et al. 2019, Be Your Own Teacher): a head after every layer, one student.

    All heads learn the task; all but the deepest learn the deepest's distribution too, and their layers its
    features. The weights and the temperature are those of the released code. `exit` is the layer that answers
    in the end, counted from 1: what is above it is dropped; None for the deepest.
    """

    name: ClassVar[str] = "self"

    exit: int | None
    soft_weight: float = 0.1
    feature_weight: float = 1e-6
    temperature: float = 3.0

    def phases(self, material: Material) -> Iterator[Phase]:
        """One: the deepest head is fitted first, then all heads and layers learn at once."""
        from tutelage.distillation.exits import ExitsObjective, exits_optimizer

        learner = material.encoder
        objective = ExitsObjective(
            learner.module,
            exit=self.exit,
            soft_weight=self.soft_weight,
            feature_weight=self.feature_weight,
            exit_temperature=self.temperature,
            temperature=self.task.temperature,
            hard_weight=self.task.hard_weight,
            multi_label=material.task.multi_label,
        )
        inputs = learner.examples(material.learning.texts)
        yield Phase(
            "exits",
            objective,
            labelled(inputs, material.learning),
            labelled(learner.examples(material.validation.texts), material.validation),
            self.task.schedule,
            lambda module, rate: exits_optimizer(module, learner, rate),
            start=lambda: learner.warm_up(inputs, material.learning.targets),
            finished=lambda: self._finished(material, objective),
        )

    def _finished(self, material: Material, objective: ExitsObjective) -> Student:
        """The deepest exit's student, or the one asked for with the layers below it alone."""
        from tutelage.students.architecture import keep_layers

        learner = material.encoder
        if self.exit is None or self.exit == objective.depth:
            return learner.finished()
        whole = learner.module
        learner.module = copy.deepcopy(whole)
        keep_layers(learner.module.body, list(range(self.exit)))
        learner.module.head = copy.deepcopy(objective.heads[self.exit - 1])
        student = learner.finished()
        learner.module = whole
        return student
