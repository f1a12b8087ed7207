"""The arms that `train` makes: the student and its control, of labels or of texts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from tutelage import storage
from tutelage.config import PROMPT_RECIPES, StudentConfig
from tutelage.data import read_training
from tutelage.distillation import (
    LEAST_EXAMPLES,
    Answering,
    Distilled,
    LayerTeaching,
    Signals,
    TextSignals,
    distil_student,
    distil_texts,
    hard_labels,
    humans_alone,
    read_signals,
    read_texts,
    require_enough,
    require_reasons,
    untrained,
)
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus
from tutelage.stages.asking import open_teacher
from tutelage.stages.collected import drawn_texts
from tutelage.stages.signals import kept_tokens, scoring_teacher, signals_folder
from tutelage.stages.sources import own_body
from tutelage.stages.task import label_task, resolved_task
from tutelage.stages.transfer import read_transfer, split_by_time
from tutelage.students import Student, Writer
from tutelage.tasks import Generate, Task
from tutelage.teachers import Measurable

MOST_TEXTS = 1_000_000  # from which layers are learned; their schedules read hardly more than once


@dataclass(frozen=True)
class Arms:
    """What was trained.

    `source` is what the control learned from: hard labels of humans (`gold`) or of the `teacher`, the
    teacher's `answers` without its reasons, or nothing (`none`).
    """

    student: Distilled[Student | Writer]
    control: Distilled[Student | Writer]
    source: str

    @property
    def control_text(self) -> str:
        """The control in a few words."""
        if self.source == "none":
            return "control as it was before training"
        whose = "humans’" if self.source == "gold" else "the teacher’s"
        what = "answers" if self.source == "answers" else "hard labels"
        control = self.control
        return f"control on {control.examples:,} {what} ({whose}) in {control.record.seconds:.0f} s"


def label_arms(programme: Programme, progress: Progress, checkpoints: Path) -> Arms:
    """Of a student of labels: soft targets, and hard labels alone."""
    task = label_task(programme, f"student.family {programme.config.student.family}")
    signals = read_signals(read_transfer(programme, progress), task, by_time=split_by_time(programme))
    source = _told_source(programme, int(signals.has_gold.sum()), progress)
    control = hard_labels(signals, source, task)
    require_enough(signals)
    require_enough(control, "the control arm")

    layers = layer_teaching(programme, programme.config.student)

    def trained(arm: str, learned: Signals, other_steps: int) -> Distilled[Student]:
        return distil_student(
            learned,
            task,
            programme.config.student,
            programme.folder,
            progress,
            description=f"training {arm}",
            checkpoint=checkpoints / arm,
            other_steps=other_steps,
            layers=layers,
            control=arm == "control",
        )

    student = trained("student", signals, 0)
    return Arms(student, trained("control", control, student.recipe.steps), source)


def layer_teaching(
    programme: Programme, config: StudentConfig, without: Collection[str] = ()
) -> LayerTeaching:
    """What recipes that teach layers read beside the signals: prompts `without` some, answered or not.

    Of more than 1,000,000 as many are drawn at random by the student's seed.
    """
    if config.plan not in PROMPT_RECIPES:
        return LayerTeaching()
    return LayerTeaching(
        own_body(programme),
        [text for text in drawn_texts(programme, MOST_TEXTS, config.seed) if text not in without],
        signals_folder(programme) / config.plan,
        _answers(programme) if config.body and config.body.augmentation else None,
    )


def _answers(programme: Programme) -> Answering | None:
    """The teacher's distributions of texts that nobody has paid for, where it runs here."""
    if own_body(programme) is None:
        return None
    teacher = open_teacher(programme, read_training(programme.gold_training))
    return teacher.predict if isinstance(teacher, Measurable) else None


def text_arms(programme: Programme, progress: Progress, checkpoints: Path) -> Arms:
    """Of a student that writes: the teacher's texts, with reasons where the recipe has them; and without.

    Without humans' answers a control that learns the teacher's would be the student itself where the recipe
    learns nothing else; then it isn't trained.
    """
    config, task = programme.config.student, resolved_task(programme)
    refusals = said_declining(programme, task) if config.refusals else {}
    if config.refusals:
        progress.note(f"{len(refusals):,} refusals of the teacher are learned from (student.refusals)")
    signals = read_texts(read_transfer(programme, progress), refusals, by_time=split_by_time(programme))
    signals = replace(signals, tokens=kept_tokens(programme, signals.texts))
    teacher = scoring_teacher(programme)
    require_reasons(signals, config)
    source = _control_source(programme, sum(gold is not None for gold in signals.gold))
    if source == "teacher":
        source = "none" if config.plan == "sequence" else "answers"
    if source == "none":
        progress.note("the control isn't trained: without human answers it would learn what the student does")
    control = humans_alone(signals) if source == "gold" else signals.without_rationales()
    require_enough(signals)
    require_enough(control, "the control arm")

    def trained(arm: str, learned: TextSignals, other_steps: int) -> Distilled[Writer]:
        return distil_texts(
            learned,
            task,
            config,
            programme.folder,
            progress,
            description=f"training {arm}",
            checkpoint=checkpoints / arm,
            other_steps=other_steps,
            teacher=teacher,
            control=arm == "control",
        )

    student = trained("student", signals, 0)
    if source == "none":
        return Arms(student, untrained(signals, task, config, programme.folder), source)
    return Arms(student, trained("control", control, student.recipe.steps), source)


def said_declining(programme: Programme, task: Task) -> dict[str, str]:
    """What the teacher said where it declined, by the prompt's hash; of `generate` alone."""
    if not isinstance(task, Generate):
        return {}
    rows = storage.read_table(programme.quarantined).to_pylist()
    return {
        row["hash"]: task.refusal_text(row["raw"]) for row in rows if row["status"] == AnswerStatus.REFUSED
    }


def _told_source(programme: Programme, humans: int, progress: Progress) -> str:
    source = _control_source(programme, humans)
    if source == "teacher" and humans:
        progress.note(f"the control learns from the teacher's labels: {humans} human ones are too few")
    return source


def _control_source(programme: Programme, humans: int) -> str:
    """Whose hard labels the control arm learns from, given how many are the humans': `gold` or `teacher`."""
    wanted = programme.config.student.control
    if wanted != "auto":
        return wanted
    return "gold" if humans >= LEAST_EXAMPLES else "teacher"
