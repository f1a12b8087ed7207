"""One student, trained by its recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tutelage import storage
from tutelage.checkpoints import checkpoint_path
from tutelage.config import EMBEDDED_WRITER, TOKEN_RECIPES, PruneConfig, StudentConfig
from tutelage.distillation.phases import Material, Phase, Recipe, TextMaterial, TextRecipe
from tutelage.distillation.recipes import RECIPES, TEXT_RECIPES
from tutelage.distillation.record import TrainingRecord, of_phase, together
from tutelage.distillation.signals import Signals, hold_back
from tutelage.distillation.teacher_body import NO_LAYERS, LayerTeaching, TeacherBody
from tutelage.distillation.temperature import TemperatureScaling, fit_temperature
from tutelage.distillation.texts import TextSignals, hold_texts_back
from tutelage.distillation.token_teacher import TokenTeacher
from tutelage.errors import DataError
from tutelage.progress import Progress
from tutelage.students import Learner, Student, Writer, average_students, new_learner, new_writing_learner
from tutelage.tasks import LabelTask, Task

if TYPE_CHECKING:
    from tutelage.students.writing_learner import WritingLearner

LEAST_EXAMPLES = 10
S = TypeVar("S", covariant=True)  # the kind of student


@dataclass(frozen=True)
class Distilled(Generic[S]):
    """A student with the plan it was trained by and what happened.

    `scaling` tells how its probabilities were calibrated; None where it states none.
    """

    student: S
    recipe: Recipe | TextRecipe
    record: TrainingRecord
    examples: int
    scaling: TemperatureScaling | None = None

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "recipe": self.recipe.to_json(),
            "record": self.record.to_json(),
            "examples": self.examples,
            "temperature_scaling": self.scaling.to_json() if self.scaling else None,
        }


class _Trainable(Protocol[S]):
    """What `run_phases` asks of a learner."""

    threads: int | None

    def finished(self) -> S: ...


def require_enough(signals: Signals | TextSignals, whose: str = "the student") -> None:
    """Raise DataError where there are too few examples to learn from."""
    if len(signals) < LEAST_EXAMPLES:
        raise DataError(
            f"{len(signals)} examples for {whose} to learn from; {LEAST_EXAMPLES} are the least. "
            "Mend: label more traffic, or give gold.training a larger share"
        )


def _base_hash(config: StudentConfig, folder: Path) -> str:
    """Of the weights on disk that the student starts from, which may change under one name."""
    local = checkpoint_path(config.base, folder) if config.base else None
    return storage.hash_path(local) if local else ""


def _hash_of(signals: Signals) -> str:
    arrays = (signals.teacher, signals.softened, signals.has_teacher, signals.gold, signals.has_gold)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def distil_texts(
    signals: TextSignals,
    task: Task,
    config: StudentConfig,
    folder: Path,
    progress: Progress,
    *,
    description: str = "training",
    checkpoint: Path | None = None,
    other_steps: int = 0,
    teacher: TokenTeacher | None = None,
    control: bool = False,
) -> Distilled[Writer]:
    """As `distil_student`, of a student that writes: family `causal` or `seq2seq`, whatever the task.

    The student is a `Writer`, and a `Student` too where the task's values are labels. `teacher` scores
    tokens, for recipes that learn from its distributions and not from those kept with `signals`; a `control`
    learns the text alone in their place.
    """
    if control and config.plan in (*TOKEN_RECIPES, "preference"):
        config, signals, teacher = text_alone(config), signals.without_tokens(), None
    require_enough(signals)
    learning, validation = hold_texts_back(signals, config.validation, config.seed)
    recipe = TEXT_RECIPES[config.plan](config, learning, other_steps)
    learner = new_writing_learner(config, task, folder, rationale=recipe.rationale, prefix=recipe.prefix)
    base = config.base or EMBEDDED_WRITER
    material = TextMaterial(task, learner, learning, validation, folder, base, teacher)
    fingerprint = storage.hash_json(
        [
            recipe.to_json(),
            config.model_dump(),
            _base_hash(config, folder),
            task.version,
            signals.to_json(),
            learning.texts,
            teacher.revision if teacher else "",
        ]
    )
    student, record = run_phases(
        recipe.phases(material), learner, progress, description, checkpoint, fingerprint
    )
    _tell_of_losses(learner, progress)
    return Distilled(student, recipe, record, len(learning))


def text_alone(config: StudentConfig) -> StudentConfig:
    """The same student, asked the same, of recipe `sequence`: what SFT makes of it."""
    own = dict.fromkeys(("tokens", "preference", "temperature"))
    return config.model_copy(update={"recipe": "sequence", "template": config.asked_as, **own})


def untrained(signals: TextSignals, task: Task, config: StudentConfig, folder: Path) -> Distilled[Writer]:
    """The student that `distil_texts` would train on `signals`, as it is before."""
    learning, _ = hold_texts_back(signals, config.validation, config.seed)
    recipe = TEXT_RECIPES[config.plan](config, learning, 0)
    learner = new_writing_learner(config, task, folder, rationale=recipe.rationale, prefix=recipe.prefix)
    learner.encode(learning.texts, learning.targets, learning.reasons)  # how long answers are
    return Distilled(learner.finished(), recipe, TrainingRecord(), 0)


def require_reasons(signals: TextSignals, config: StudentConfig) -> None:
    """Raise DataError where the recipe learns from reasons and no answer has any."""
    if config.learns_reasons and not any(signals.reasons):
        raise DataError(
            f"student.recipe {config.plan} learns from reasons, and no answer has any. "
            "Mend: prompting.rationale before, or recipe sequence"
        )


def _tell_of_losses(learner: WritingLearner, progress: Progress) -> None:
    if learner.cut:
        progress.note(f"{learner.cut:,} prompts were longer than student.max_tokens and cut at their end")
    if learner.unwritable:
        progress.warn(
            f"{learner.unwritable:,} answers hold letters that the tokenizer of student.base doesn't have, "
            "and the student can't learn them"
        )


def distil_student(
    signals: Signals,
    task: LabelTask,
    config: StudentConfig,
    folder: Path,
    progress: Progress,
    *,
    description: str = "training",
    checkpoint: Path | None = None,
    other_steps: int = 0,
    layers: LayerTeaching = NO_LAYERS,
    control: bool = False,
) -> Distilled[Student]:
    """Train a student on `signals`; a part of them is held back to choose the best step and its temperature.

    `folder` is where relative checkpoint paths of models start; `checkpoint` where a killed run goes on;
    `other_steps` those of the arm that this one is compared to (see `SoftTargets.planned`).
    `layers` is for recipes whose student learns from its teacher's (see `student.body`); where it has no
    base, it is made of that teacher. `control`: the same student, from the same weights on, without those
    layers or itself as teacher.
    Raises DataError where there is too little to learn from, ConfigError where teacher and student don't go
    together.
    """
    require_enough(signals)
    arm = _Arm.of(config, layers, folder, control=control)
    parts = _Parts.of(signals, config, layers.unlabelled)
    recipe = RECIPES[arm.config.plan](arm.config, len(parts.learning), other_steps)
    fingerprint = arm.fingerprint(recipe, task, signals, parts)
    trained = []
    for number in range(recipe.members):
        seed = recipe.members * arm.config.seed + number
        material = arm.material(task, parts, seed, progress)
        named = f"{description} {number + 1}/{recipe.members}" if recipe.members > 1 else description
        phases = recipe.seeded(seed).phases(material)
        kept = checkpoint and checkpoint / str(number)
        trained.append(run_phases(phases, material.learner, progress, named, kept, fingerprint))
    student = average_students([student for student, _ in trained])
    validation = parts.validation
    scaling = fit_temperature(student.predict(validation.texts), validation, multi_label=task.multi_label)
    return Distilled(
        student.tempered(scaling.temperature),
        recipe,
        together([record for _, record in trained], "member"),
        len(parts.learning),
        scaling,
    )


@dataclass(frozen=True)
class _Parts:
    """The signals cut in two, and all texts that may be read without an answer: none of `validation`'s."""

    learning: Signals
    validation: Signals
    unlabelled: tuple[str, ...]

    @classmethod
    def of(cls, signals: Signals, config: StudentConfig, unlabelled: Sequence[str]) -> _Parts:
        """As `config` has them held back; `unlabelled` are more texts of the kind."""
        learning, validation = hold_back(signals, config.validation, config.seed)
        held = set(validation.texts)
        texts = dict.fromkeys(text for text in (*learning.texts, *unlabelled) if text not in held)
        return cls(learning, validation, tuple(texts))


@dataclass(frozen=True)
class _Arm:
    """What one arm trains: its student's configuration, and the bodies whose layers teach it."""

    config: StudentConfig
    body: TeacherBody | None
    own: TeacherBody | None
    layers: LayerTeaching
    folder: Path

    @classmethod
    def of(cls, config: StudentConfig, layers: LayerTeaching, folder: Path, *, control: bool) -> _Arm:
        """A student without a base is made of its teacher; a control is the same one, taught by no layers."""
        body, own = layers.bodies(config, folder)
        if body is not None and config.base is None and config.family == "encoder":
            config = config.model_copy(update={"base": body.name})
        if control and (body is not None or config.plan in ("self", "prune-recover")):
            return cls(_alone(config), None, None, layers, folder)
        return cls(config, body, own, layers, folder)

    def fingerprint(self, recipe: Recipe, task: LabelTask, signals: Signals, parts: _Parts) -> str:
        """Of all that shapes its training: a checkpoint of another one isn't gone on from."""
        return storage.hash_json(
            [
                recipe.to_json(),
                self.config.model_dump(),
                _base_hash(self.config, self.folder),
                task.version,
                signals.texts,
                _hash_of(signals),
                parts.learning.texts,
                parts.unlabelled if self.body or self.config.plan == "prune-recover" else [],
                [teacher.revision for teacher in (self.body, self.own) if teacher],
            ]
        )

    def material(self, task: LabelTask, parts: _Parts, seed: int, progress: Progress) -> Material:
        """What the recipe works with, for the member of this seed.

        Raises ConfigError where a body that teaches an encoder reads texts as other tokens.
        """

        def fresh(seed: int) -> Learner:
            seeded = self.config.model_copy(update={"seed": seed})
            return new_learner(seeded, task, parts.learning.texts, self.folder)

        material = Material(
            task,
            fresh(seed),
            parts.learning,
            parts.validation,
            self.folder,
            fresh,
            parts.unlabelled,
            self.body,
            self.own,
            self.layers.kept,
            progress,
            self.layers.answers,
        )
        if self.config.family == "encoder":
            for teacher in filter(None, (self.body, self.own)):
                teacher.require_same_tokens(material.encoder, material.unlabelled)
        return material


def _alone(config: StudentConfig) -> StudentConfig:
    """Of the arm without those layers or itself as teacher: the same shape, as many layers as answer."""
    if config.plan == "prune-recover":
        return config.model_copy(
            update={"prune": PruneConfig(recover=False, vocabulary=config.cuts_vocabulary)}
        )
    own = dict.fromkeys(("generations", "ensemble", "exits", "exit"))
    return config.model_copy(update={"recipe": "soft-targets", "layers": config.exit or config.layers, **own})


def run_phases(
    phases: Iterable[Phase],
    learner: _Trainable[S],
    progress: Progress,
    description: str,
    checkpoint: Path | None,
    fingerprint: str,
) -> tuple[S, TrainingRecord]:
    """Train the learner, phase after phase; one that a killed run had ended is taken as it was."""
    from tutelage.distillation.trainer import train

    records = []
    finished: Callable[[], S] = learner.finished
    for number, phase in enumerate(phases):
        if phase.note:
            progress.note(phase.note)
        record = train(
            phase.objective,
            phase.learning,
            phase.validation,
            phase.schedule,
            progress,
            description if number == 0 else f"{description}: {phase.name}",
            optimizer=phase.optimizer,
            start=phase.start,
            checkpoint=checkpoint and checkpoint / f"{number}-{phase.name.replace(' ', '-')}",
            fingerprint=fingerprint,
            threads=learner.threads,
        )
        records.append(of_phase(record, phase.name, phase.note, phase.figures))
        finished = phase.finished or learner.finished
    return finished(), together(records, "phase")
