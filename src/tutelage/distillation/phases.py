"""Recipes as the trainer sees them: phases, one after the other, made of what a run has at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tutelage.distillation.schedule import Passes, Schedule
from tutelage.distillation.signals import Signals
from tutelage.distillation.teacher_body import Answering, TeacherBody
from tutelage.distillation.texts import TextSignals
from tutelage.distillation.token_teacher import TokenTeacher
from tutelage.errors import ConfigError
from tutelage.progress import Progress, Silent
from tutelage.students import Learner
from tutelage.students.protocol import Examples
from tutelage.tasks import LabelTask, RationaleMode, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tutelage.distillation.objectives import Objective
    from tutelage.distillation.reading import Wanted
    from tutelage.distillation.teacher_layers import TeacherLayers
    from tutelage.students.encoder import EncoderLearner
    from tutelage.students.writing_learner import WritingLearner


@dataclass(frozen=True)
class Material:
    """What a recipe works with.

    `learning` and `validation` are the parts of the transfer set; `folder` is where relative paths start.
    `fresh` makes another learner of the same kind and shape, from a seed.
    `unlabelled` are texts for phases that need no answer: those of `learning`, and whatever else there is.
    `teacher` is the body whose layers teach, for recipes that want one, and `own` the model that answered,
    where that is another one and its layers can be read; `kept` is the folder where what they compute may be
    kept, None where it may not. `answers` are the teacher's, to texts that nobody has asked it.
    """

    task: LabelTask
    learner: Learner
    learning: Signals
    validation: Signals
    folder: Path
    fresh: Callable[[int], Learner]
    unlabelled: tuple[str, ...] = ()
    teacher: TeacherBody | None = None
    own: TeacherBody | None = None
    kept: Path | None = None
    progress: Progress = field(default_factory=Silent)
    answers: Answering | None = None

    @property
    def body(self) -> TeacherBody:
        """The teacher's body. Raises ConfigError where there is none."""
        if self.teacher is None:
            raise ConfigError("this recipe learns from a teacher's layers. Mend: give a teacher_body")
        return self.teacher

    @property
    def encoder(self) -> EncoderLearner:
        """The learner, which has a body. Raises ConfigError for one of another family."""
        from tutelage.students.encoder import EncoderLearner

        if not isinstance(self.learner, EncoderLearner):
            raise ConfigError("this recipe teaches layers. Mend: student.family encoder")
        return self.learner

    def on_own_body(self) -> Material:
        """The same with the model that answered as the teacher's body, where that is another one."""
        if self.own is None:
            return self
        return replace(self, teacher=self.own, kept=self.kept and self.kept / "own")

    def answered(self, texts: Sequence[str]) -> Material:
        """The same with more texts to learn from, where the teacher's `answers` can be had here."""
        if not texts or self.answers is None:
            return self
        return replace(self, learning=self.learning.with_answers(texts, self.answers(texts)))

    def teacher_layers(self, wanted: Wanted, passes: Passes, texts: tuple[str, ...]) -> TeacherLayers:
        """The body's layers for these texts and those of validation; see `teacher_layers`."""
        from tutelage.distillation.teacher_layers import teacher_layers

        rounds = passes.schedule(len(texts)).steps / passes.steps_of_one(len(texts))
        every = (*texts, *dict.fromkeys(self.validation.texts))
        return teacher_layers(self.body, self.encoder, wanted, every, rounds, self.kept, self.progress)


@dataclass(frozen=True)
class TextMaterial:
    """What a recipe of a student that writes works with, as `Material`.

    `base` names the model that the student was made from; `teacher` scores tokens, for recipes that want it.
    """

    task: Task
    learner: WritingLearner
    learning: TextSignals
    validation: TextSignals
    folder: Path
    base: str = ""
    teacher: TokenTeacher | None = None

    @property
    def scoring(self) -> nn.Module:
        """The teacher's model, loaded. Raises ConfigError where there is none, or its tokens are others."""
        if self.teacher is None:
            raise ConfigError(
                "this recipe scores tokens by the teacher's own weights, and there are none here. Mend: "
                "teacher.type local; or recipe tokens with labelling.signals [tokens]; or recipe sequence"
            )
        return self.teacher.load(self.learner, self.base)


def nothing() -> None:
    """How a phase starts that has nothing to fit beforehand."""


@dataclass(frozen=True)
class Phase:
    """One objective, trained on one set of examples by one schedule; `start` comes before the first step.

    A phase is made when the one before it has ended, so that it may build on what was learned. `note` is for
    run.json: what was done otherwise than the recipe would have it; `figures` too: numbers about what it
    learned from or made. `finished` gives the student as it is after the phase, where that isn't the
    learner's.
    """

    name: str
    objective: Objective
    learning: Examples
    validation: Examples
    schedule: Schedule
    optimizer: Callable[[torch.nn.Module, float], torch.optim.Optimizer]
    start: Callable[[], None] = nothing
    note: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    finished: Callable[[], Any] | None = None


class Recipe(Protocol):
    """A named training plan. `members` students are trained from seeds of their own and averaged."""

    @property
    def members(self) -> int:
        """Students trained and averaged."""
        ...

    @property
    def steps(self) -> int:
        """Of one member's phase that learns the task, which a control arm on fewer examples is granted."""
        ...

    def seeded(self, seed: int) -> Recipe:
        """The same plan with another seed, of weights and order."""
        ...

    def phases(self, material: Material) -> Iterator[Phase]:
        """What is done, from top to bottom."""
        ...

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        ...


class TextRecipe(Protocol):
    """A named training plan of a student that writes, as `Recipe`; one student, of one seed."""

    @property
    def rationale(self) -> RationaleMode:
        """Where the student says its reasons, if it does."""
        ...

    @property
    def prefix(self) -> str:
        """What the student's prompts begin with."""
        ...

    @property
    def steps(self) -> int:
        """Of all phases, which a control arm on fewer examples is granted."""
        ...

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """What is done, from top to bottom."""
        ...

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        ...
