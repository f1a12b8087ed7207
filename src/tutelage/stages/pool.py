"""The traffic as sampling plans see it: what is answered, where it lies, what it costs, what is doubted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tutelage import storage
from tutelage.config import SampleConfig, SamplingName
from tutelage.config.teachers import sole_teachers
from tutelage.data import read_training
from tutelage.data.arrivals import arrivals
from tutelage.data.clusters import Clusters, cluster_count, fit_clusters
from tutelage.data.sampling import (
    Flags,
    Floats,
    Numbers,
    Order,
    affordable,
    at_random,
    by_score,
    by_value,
    density,
    disagreement,
    in_turn,
    uncertainty,
)
from tutelage.data.word_space import Vectors
from tutelage.economics import Estimate, cost_of_each
from tutelage.labelling import AnswerLedger, LedgerKey, shares_of, usage_by_prompt
from tutelage.programme import Programme
from tutelage.records import Prompt
from tutelage.scale import Engine
from tutelage.stages.asking import open_teacher, prompted_task
from tutelage.stages.collected import are_among, each_rejection, hash_batches, prompts_where, prompts_with
from tutelage.stages.costs import estimate_of
from tutelage.stages.coverage import text_space
from tutelage.stages.gold import held_out

if TYPE_CHECKING:
    from tutelage.stages.first_student import FirstStudent
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

MOST_CANDIDATES = 100_000  # that are embedded and judged; more are drawn from at random first
_LEAST_SAMPLE = 10  # answers from which a prompt's cost is reckoned
_MOST_SAMPLE = 2_000
_CRITICAL_WEIGHT = 2.0
_RUN_HERE = {"encoder", "transformers", "local"}  # cost nothing, and take long to open


@dataclass(frozen=True)
class Purse:
    """Who would be asked, and what asking cost so far. `spent` on the traffic's answers, in US dollars."""

    teacher: Teacher
    task: Task
    sample: Sequence[Prompt]  # answered already
    answered: frozenset[str]
    spent: float
    known: bool  # whether there are answers enough to reckon from

    @classmethod
    def of(cls, programme: Programme, ledger: AnswerLedger) -> Purse | None:
        """None where the teacher runs here: it costs nothing."""
        if {one.type for one in sole_teachers(programme.config.teacher)} <= _RUN_HERE:
            return None
        training = read_training(programme.gold_training)
        task = prompted_task(programme, training)
        teacher = open_teacher(programme, training, task)
        key = LedgerKey.of(teacher, task)
        answered = {hash_ for batch in hash_batches(programme) for hash_ in ledger.answered(key, batch)}
        paid = prompts_with(programme, answered)
        usages = usage_by_prompt(shares_of(teacher, task, ledger, paid, ()))
        asked = [*held_out(programme), *(item.prompt for item in training), *paid][:_MOST_SAMPLE]
        shares = shares_of(teacher, task, ledger, asked, ())
        known = all(len(share.answers) >= _LEAST_SAMPLE for share in shares)
        spent = sum(usage.cost for usage in usages.values())
        return cls(teacher, task, asked, frozenset(answered), spent, known)

    def costs(self, prompts: Sequence[Prompt], ledger: AnswerLedger) -> Floats:
        """What each will cost, float64 [n] in US dollars; the very most where nobody has answered enough."""
        if not self.known:
            return np.array([self.teacher.most_expensive([prompt]) for prompt in prompts], dtype=np.float64)
        shares = shares_of(self.teacher, self.task, ledger, self.sample, ())
        costs = np.zeros(len(prompts))
        for share in shares:
            costs += cost_of_each(share.answers, prompts)
        return costs

    def estimate(self, prompts: Sequence[Prompt], ledger: AnswerLedger, at_once: int) -> Estimate | None:
        """What asking `prompts` will take; None where nobody has answered enough."""
        if not self.known:
            return None
        shares = shares_of(self.teacher, self.task, ledger, self.sample, prompts)
        return estimate_of(shares, self.teacher.concurrency or at_once, _LEAST_SAMPLE)


class Pool:
    """The traffic's distinct prompts, each figure of theirs computed when it is asked for.

    Those `taken` (bool [n]) are answered already: by the teacher (`answered`), or by people in gold's
    training part, which the teacher is asked whatever the plan. Of more than 100,000 candidates as many are
    drawn at random; the others, `left_out`, are none.
    """

    def __init__(
        self, programme: Programme, ledger: AnswerLedger, first: FirstStudent, seed: int, engine: Engine
    ) -> None:
        self._programme, self._ledger, self.first, self._engine = programme, ledger, first, engine
        self.purse = Purse.of(programme, ledger)
        by_teacher = _answered_here(programme) if self.purse is None else self.purse.answered
        by_people = {item.prompt.hash for item in read_training(programme.gold_training)}
        taken = are_among(programme, by_teacher | by_people)
        left_out = at_random(taken, seed)[MOST_CANDIDATES:]
        self.left_out = len(left_out)
        looked_at = np.ones(len(taken), dtype=bool)
        looked_at[left_out] = False
        self.prompts = prompts_where(programme, looked_at)
        self.taken: Flags = taken[looked_at]
        self.answered = [
            prompt for prompt in self.prompts if prompt.hash in by_teacher and prompt.hash not in by_people
        ]
        self.texts = [prompt.text for prompt in self.prompts]

    def chosen(self, sample: SampleConfig) -> tuple[Order, Floats | None]:
        """As `ordered`, cut to the plan's limits."""
        order, score = self.ordered(sample)
        if sample.prompts is not None:
            order = order[: max(sample.prompts - len(self.answered), 0)]
        if sample.budget is not None:
            spent = 0.0 if self.purse is None else self.purse.spent
            order = affordable(order, self.costs, max(sample.budget - spent, 0.0))
        return order, score

    def ordered(self, sample: SampleConfig) -> tuple[Order, Floats | None]:
        """Candidates as the plan asks them, and the score by prompt, float64 [n], where it has one.

        Raises UsageError where it needs a first student and there is none.
        """
        match sample.by:
            case "random":
                return at_random(self.taken, sample.seed), None
            case "cluster":
                return in_turn(self.clusters, self.taken, sample.seed), None
            case "stratified":
                return in_turn(self.strata, self.taken, sample.seed), None
            case "value":
                value = self.value(sample)
                return by_value(value, self.costs, self.clusters, self.taken, sample.seed), value
            case "uncertainty" | "disagreement":
                score = self.uncertainty if sample.by == "uncertainty" else self.disagreement
                return by_score(score, self.taken, sample.seed), score

    @cached_property
    def costs(self) -> Floats:
        """What asking each will cost, float64 [n] in US dollars."""
        if self.purse is None:
            return np.zeros(len(self.prompts))
        return self.purse.costs(self.prompts, self._ledger)

    def estimate(self, prompts: Sequence[Prompt]) -> Estimate | None:
        """What asking `prompts` will take; None where it costs nothing or nobody has answered enough."""
        if self.purse is None:
            return None
        return self.purse.estimate(prompts, self._ledger, self._programme.config.labelling.concurrency)

    def most(self, prompts: Sequence[Prompt]) -> float:
        """What asking `prompts` can cost at most, in US dollars."""
        return 0.0 if self.purse is None else sum(self.purse.teacher.most_expensive([one]) for one in prompts)

    @cached_property
    def counts(self) -> Order:
        """How often each text came in, int64 [n]."""
        came = arrivals(self.prompts, each_rejection(self._programme), held_out(self._programme))
        often = {item.prompt.hash: item.count for item in came}
        return np.array([often.get(prompt.hash, 1) for prompt in self.prompts], dtype=np.int64)

    @cached_property
    def points(self) -> Vectors:
        """Where each lies, by `coverage.embedding`: unit rows, float32 [n, width]."""
        return text_space(self._programme, self.texts, self._engine).embed(self.texts)

    @cached_property
    def found(self) -> Clusters:
        """Clusters of all of it, however few gold could show."""
        count = self._programme.config.coverage.clusters or cluster_count(len(self.texts))
        return fit_clusters(self.texts, self.points, count, seed=self._programme.config.coverage.seed)

    @cached_property
    def clusters(self) -> Numbers:
        """Each prompt's cluster, int32 [n]."""
        return self.found.place(self.points)[0]

    @cached_property
    def strata(self) -> Numbers:
        """Each prompt's slice and, where there is a first student, the label it gives: int32 [n]."""
        labels = self.guesses if self.first.lacking is None else [""] * len(self.prompts)
        names = [(prompt.slice, label) for prompt, label in zip(self.prompts, labels, strict=True)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([numbers[name] for name in names], dtype=np.int32)

    @cached_property
    def guesses(self) -> list[str]:
        """What the first student says, labels joined where several are given."""
        task = self.first.task
        return ["|".join(task.names_of(value)) for value in task.decide(self._probabilities)]

    @cached_property
    def uncertainty(self) -> Floats:
        """Of the first student, float64 [n]."""
        return uncertainty(self._probabilities, multi_label=self.first.task.multi_label)

    @cached_property
    def disagreement(self) -> Floats:
        """Of the first student's members, float64 [n]."""
        return disagreement(self.first.committee(self.texts), multi_label=self.first.task.multi_label)

    def value(self, sample: SampleConfig) -> Floats:
        """Uncertainty × density × the slice's weight, float64 [n]: what an answer is worth, in no unit."""
        given = slice_weights(self._programme, sample)
        weights = np.array([given.get(prompt.slice, 1.0) for prompt in self.prompts])
        value: Floats = self.uncertainty * density(self.points, self.counts) * weights
        return value

    @cached_property
    def _probabilities(self) -> Vectors:
        return self.first.probabilities(self.texts)


def slice_weights(programme: Programme, sample: SampleConfig) -> Mapping[str, float]:
    """What a slice's prompts count; 1 for those it doesn't name."""
    critical = dict.fromkeys(programme.config.release.critical_slices, _CRITICAL_WEIGHT)
    return {**critical, **sample.slice_weights}


def needs_student(by: SamplingName) -> bool:
    """Whether a plan can't be drawn without a first student."""
    return by in ("uncertainty", "disagreement", "value")


def _answered_here(programme: Programme) -> frozenset[str]:
    """Hashes of what a teacher that runs here has answered, as far as the transfer set was written."""
    if not programme.transfer.exists():
        return frozenset()
    return frozenset(storage.read_table(programme.transfer).column("hash").to_pylist())
