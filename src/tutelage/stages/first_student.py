"""What a first student says of prompts that nobody has answered yet, so that the next are chosen well."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.data import read_training
from tutelage.distillation import LEAST_EXAMPLES, Signals, distil_student, read_signals
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.scale import LOCAL, Engine
from tutelage.stages.predictions import Answering, answered
from tutelage.stages.rights import require_rights
from tutelage.stages.task import resolved_task
from tutelage.students import STUDENT_FILE, Student, load_student
from tutelage.tasks import LabelTask, with_labels

Distributions = npt.NDArray[np.float32]

MEMBERS = 3
_LEARNED_SHARE = 0.8  # of the answers, by each member
_EPOCHS = 20  # few answers make up for it with more passes only where the last percent counts


class FirstStudent:
    """The configured student where it is trained, else a committee of static ones trained on the spot.

    Their texts are answers of the transfer set and human labels that may be learned from, never sealed gold.
    The configured student answers where `engine` has its work done; those of the spot, which take
    milliseconds a batch, in this process.
    """

    def __init__(self, programme: Programme, progress: Progress, engine: Engine = LOCAL) -> None:
        self._programme, self._progress, self._engine = programme, progress, engine
        self._task = with_labels(resolved_task(programme))

    @property
    def task(self) -> LabelTask:
        """The task. Raises UsageError where its values are open, which have no probabilities to compare."""
        if self._task is None:
            kind = self._programme.config.task.type
            raise UsageError(
                f"task.type is {kind}, whose values are open, and a first student's doubt is of labels. "
                "Mend: labelling.sample.by random, stratified or cluster"
            )
        return self._task

    @property
    def lacking(self) -> str | None:
        """Why there is none; None where there is one."""
        if self._task is None:
            return f"values are open (task.type {self._programme.config.task.type})"
        if self._trained is None and len(self._signals) < LEAST_EXAMPLES:
            return (
                f"there is no first student: none is trained, and {len(self._signals)} answers may be "
                f"learned from ({LEAST_EXAMPLES} are the least)"
            )
        return None

    @property
    def described(self) -> str:
        """Who it is, in a few words."""
        if self._trained is not None:
            return f"student {self._programme.config.student.run}"
        return f"{MEMBERS} static students of {len(self._signals):,} answers"

    def probabilities(self, texts: Sequence[str]) -> Distributions:
        """Float32 [n, labels]. Raises UsageError where there is no first student."""
        self._require()
        if self._trained is not None:
            return self._said(self._trained, texts)
        said = [self._said(one, texts) for one in self._committee]
        return np.asarray(np.mean(said, axis=0), dtype=np.float32)

    def committee(self, texts: Sequence[str]) -> list[Distributions]:
        """Of each member, the configured student first where it is trained. Raises as `probabilities`."""
        self._require()
        members = [self._trained] if self._trained is not None else []
        return [self._said(one, texts) for one in (*members, *self._committee)]

    def _require(self) -> None:
        if (reason := self.lacking) is not None:
            raise UsageError(
                f"labelling.sample.by uncertainty, disagreement or value: {reason}. Mend: label a "
                "first round by random or cluster, or give gold a training part"
            )

    def _said(self, student: Student, texts: Sequence[str]) -> Distributions:
        engine = self._engine if student is self._trained else LOCAL
        answering = Answering(self.task, student, self._folder)
        told = "asking a first student"
        found = answered(answering, texts, self._progress, told, engine=engine).distributions
        if found is None:
            raise AssertionError("unreachable: values are labels here")
        return found

    @cached_property
    def _trained(self) -> Student | None:
        if self._task is None or not (self._folder / STUDENT_FILE).exists():
            return None
        student = load_student(self._folder)
        return student if tuple(student.labels) == tuple(self._task.labels) else None

    @property
    def _folder(self) -> Path:
        return self._programme.student / "student"

    @cached_property
    def _signals(self) -> Signals:
        if self._source == self._programme.transfer:
            return read_signals(storage.read_table(self._source), self.task)
        training = read_training(self._programme.gold_training)
        gold = self.task.encode([item.value for item in training])
        none, every = np.zeros(len(training), bool), np.ones(len(training), bool)
        texts = tuple(item.prompt.text for item in training)
        return Signals(texts, np.zeros_like(gold), none, none, gold, every)

    @cached_property
    def _committee(self) -> list[Student]:
        """Trained once for the same answers, and kept in `students/.first`."""
        require_rights(self._programme)
        key = storage.hash_json([storage.hash_file(self._source), self.task.version])
        kept = [self._programme.folder / "students" / ".first" / key / str(seed) for seed in range(MEMBERS)]
        if all((folder / STUDENT_FILE).exists() for folder in kept):
            return [load_student(folder) for folder in kept]
        members = train_committee(self._signals, self.task, self._progress)
        shutil.rmtree(kept[0].parents[1], ignore_errors=True)
        for member, folder in zip(members, kept, strict=True):
            folder.mkdir(parents=True)
            member.save(folder)
        return members

    @property
    def _source(self) -> Path:
        transfer = self._programme.transfer
        return transfer if transfer.exists() else self._programme.gold_training


def train_committee(signals: Signals, task: LabelTask, progress: Progress) -> list[Student]:
    """Static students that have each learned four fifths of `signals`, drawn by a seed of their own."""
    members = []
    for seed in range(MEMBERS):
        count = max(LEAST_EXAMPLES, round(_LEARNED_SHARE * len(signals)))
        rows = np.sort(np.random.default_rng(seed).permutation(len(signals))[:count])
        config = StudentConfig(family="static", members=1, epochs=_EPOCHS, seed=seed)
        named = f"training a first student {seed + 1}/{MEMBERS}"
        distilled = distil_student(signals.take(rows), task, config, Path(), progress, description=named)
        members.append(distilled.student)
    return members
