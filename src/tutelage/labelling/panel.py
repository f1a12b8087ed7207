"""Ensembles: several teachers asked under keys of their own, whose answers are then combined.

Each member is asked as a teacher alone would be, so that what it said is kept, resumed, and paid for once
from the one purse: an ensemble of other members, weights or strategy asks nobody again for what they have
answered. The combination costs nothing and is recorded under the ensemble's own key.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from tutelage.config import EnsembleTeacherConfig, LabellingConfig
from tutelage.errors import AwaitingPeople, ConfigError, UsageError
from tutelage.labelling.adjudication import Adjudication, disputed, reckoned
from tutelage.labelling.asking import ask
from tutelage.labelling.combining import Voice, combine, disagree
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.repeats import SecondAsking
from tutelage.labelling.report import LabellingReport
from tutelage.progress import Progress, Silent
from tutelage.records import Answer, Prompt, PromptStream, in_parts
from tutelage.rights import basis_text, read_basis
from tutelage.storage import hash_json

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher, TeacherContext

_AT_ONCE = 2_000  # prompts combined in one transaction, and held in memory


@dataclass(frozen=True, slots=True)
class Member:
    """One teacher of a panel. `name` is unique in it: `1 openai:some-model`."""

    name: str
    teacher: Teacher
    weight: float = 1.0


class Panel:
    """Several teachers, and how their answers become one. To be asked by `label_panel`.

    `revision` changes with any member, its weight, the strategy, the judge and how the task compares answers
    (`Task.comparing`); `paid` tells whether any of them is.
    """

    def __init__(
        self, members: Sequence[Member], strategy: str, judge: Teacher | None = None, comparing: str = ""
    ) -> None:
        self.members, self.strategy, self.judge = tuple(members), strategy, judge
        self._comparing = comparing
        self.name, self.batch_size = "ensemble", 1
        self.concurrency: int | None = None
        known = [(one.teacher.name, one.teacher.revision, one.weight) for one in self.members]
        decides = judge and (judge.name, judge.revision)
        self.revision = hash_json([known, strategy, decides, *([comparing] if comparing else [])])
        self.paid = any(teacher.paid for teacher in self.teachers)

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """All that may be asked: the members, then the judge where there is one."""
        judge = () if self.judge is None else (self.judge,)
        return (*(member.teacher for member in self.members), *judge)

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """US dollars that asking everybody can cost, the judge of every prompt: what is told beforehand.

        An upper bound of what members cost; what they have on disk isn't asked again. The judge's part is
        reckoned, since the candidates it will be shown aren't known: as twice the prompt again. Each of
        its calls reserves a bound of its own when it is made.
        """
        members = sum(member.teacher.most_expensive(prompts) for member in self.members)
        return members + sum(self.judge_bound(prompt) for prompt in prompts)

    def judge_bound(self, prompt: Prompt) -> float:
        """The judge's part of `most_expensive`; 0 without one."""
        if self.judge is None:
            return 0.0
        return self.judge.most_expensive([reckoned(prompt)])

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Raises UsageError: asked so, what members are paid for would be on no record."""
        raise UsageError(f"an ensemble can't be asked {len(prompts)} prompts at once. Mend: use label_panel")

    def again(self) -> Panel:
        """The panel asked a second time (see `SecondAsking`); people aren't: what they said stands."""
        from tutelage.teachers import Selective

        def second(teacher: Teacher) -> Teacher:
            return teacher if isinstance(teacher, Selective) else SecondAsking(teacher)

        members = tuple(replace(member, teacher=second(member.teacher)) for member in self.members)
        judge = None if self.judge is None else second(self.judge)
        return Panel(members, self.strategy, judge, self._comparing)

    async def close(self) -> None:
        """Close all of them."""
        for teacher in self.teachers:
            await teacher.close()


def open_panel(
    config: EnsembleTeacherConfig,
    context: TeacherContext,
    build: Callable[[Any, TeacherContext], Teacher] | None = None,
) -> Panel:
    """Build the members, and the judge for the task of adjudication, by `build`: `build_teacher` by default.

    Raises as that does, and ConfigError where one teacher stands there twice.
    """
    from tutelage.teachers import build_teacher

    build = build or build_teacher
    members = []
    for number, member in enumerate(config.members, start=1):
        teacher = build(member.teacher, context)
        members.append(Member(f"{number} {teacher.name}", teacher, member.weight))
    _refuse_twins(members)
    judge = None
    if config.judge is not None:
        judge = build(config.judge, replace(context, task=Adjudication(context.task), top_k=0))
    return Panel(tuple(members), config.strategy, judge, context.task.comparing)


def asked_of(teacher: Teacher, task: Task) -> list[tuple[Teacher, Task]]:
    """Who is put prompts where `teacher` is asked, for which task: of a panel its members and its judge."""
    if not isinstance(teacher, Panel):
        return [(teacher, task)]
    judge = [] if teacher.judge is None else [(teacher.judge, Adjudication(task))]
    return [*((member.teacher, task) for member in teacher.members), *judge]


def _refuse_twins(members: Sequence[Member]) -> None:
    """Raise ConfigError for one teacher in two places: asked once, it would agree with itself."""
    from tutelage.teachers import Selective

    seen: dict[tuple[str, str], str] = {}
    for member in members:
        teacher = member.teacher
        other = seen.setdefault((teacher.name, teacher.revision), member.name)
        if other != member.name and not isinstance(teacher, Selective):  # people may have said nothing yet
            raise ConfigError(
                f"teacher.members {other!r} and {member.name!r} are the same teacher, which would count "
                "twice and agree with itself. Mend: leave one out and give the other more weight, or set "
                "samples"
            )


def label_panel(
    prompts: Collection[Prompt],
    panel: Panel,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """`ask_panel` for callers without an event loop."""
    return asyncio.run(ask_panel(prompts, panel, task, ledger, config, progress))


async def ask_panel(
    prompts: Collection[Prompt],
    panel: Panel,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """Put to each member the prompts that have no answer of the panel, then combine what they said.

    Members are asked one after the other, so that one purse holds for all. Prompts that wait for people are
    combined once these have answered; the others are combined before AwaitingPeople is raised. Raises as
    `ask` otherwise; what each member has answered by then is kept.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    progress = progress or Silent()
    key = LedgerKey.of(panel, task)
    open_ = ledger.unanswered(key, prompts)
    run = _PanelRun(panel, task, ledger, config, progress)
    for member in panel.members:
        await run.ask(member.teacher, open_, task)
    if panel.judge is not None:
        disputes = PromptStream(lambda: run.disputes(open_), sum(1 for _ in run.disputes(open_)))
        await run.ask(panel.judge, disputes, Adjudication(task))
    failed = run.combine(open_, key)
    if run.awaiting:
        raise AwaitingPeople(" ".join(map(str, run.awaiting)))
    return LabellingReport(
        asked=len(open_),
        reused=open_.answered,
        failed_prompts=tuple(failed),
        by_status=dict(sorted(run.statuses.items())),
        other_models=run.sum_of("other_models"),
        cost=sum(report.cost for report in run.reports),
        seconds=clock() - started,
        again=sum(report.again for report in run.reports),
        faults=run.sum_of("faults"),
        at_once=max((report.at_once for report in run.reports), default=0),
        repeatability=run.agreement / run.compared if run.compared else None,
        unmetered=sum(report.unmetered for report in run.reports),
        unmetered_cost=sum(report.unmetered_cost for report in run.reports),
    )


class _PanelRun:
    """One asking of a panel: the reports of its teachers, and what became of the prompts."""

    def __init__(
        self, panel: Panel, task: Task, ledger: AnswerLedger, config: LabellingConfig, progress: Progress
    ) -> None:
        self._panel, self._task, self._ledger = panel, task, ledger
        self._config, self._progress = config, progress
        self.reports: list[LabellingReport] = []
        self.awaiting: list[AwaitingPeople] = []
        self.statuses: Counter[str] = Counter()
        self.agreement, self.compared = 0.0, 0

    async def ask(self, teacher: Teacher, prompts: Collection[Prompt], task: Task) -> None:
        """Ask one of them. That people have to be waited for is remembered, and stops nobody else."""
        if not prompts:
            return
        try:
            report = await ask(prompts, teacher, task, self._ledger, self._config, self._progress)
        except AwaitingPeople as error:
            self.awaiting.append(error)
        else:
            self.reports.append(report)
            if report.failed:
                self._progress.warn(
                    f"{teacher.name} gave no answer to {report.failed:,} of {len(prompts):,} prompts after "
                    "all its tries; they are combined without it"
                )

    def disputes(self, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
        """What the judge is asked: the prompts that all members have seen and disagree on."""
        for prompt, voices in self._voices(prompts):
            values = disagree(self._task, voices)
            if values and self._is_complete(voices):
                yield disputed(prompt, values)

    def combine(self, prompts: Iterable[Prompt], key: LedgerKey) -> list[str]:
        """Record the combined answers; returns the hashes of prompts that still have none."""
        missing: list[str] = []
        for part in in_parts(prompts, _AT_ONCE):
            pairs = []
            for prompt, voices, judged in self._with_judge(part):
                answer = self._combined(voices, judged)
                if answer is None:
                    missing.append(prompt.hash)
                else:
                    pairs.append((prompt, answer))
            self._ledger.record(key, pairs, bases=self._bases([prompt for prompt, _ in pairs]))
            self._count([answer for _, answer in pairs])
        return missing

    def _bases(self, prompts: Sequence[Prompt]) -> dict[str, str]:
        """What combined answers stand under: the rights of all members that have one, and the judge's."""
        texts: dict[str, list[str]] = {prompt.hash: [] for prompt in prompts}
        for member in self._panel.members:
            found = self._ledger.bases(LedgerKey.of(member.teacher, self._task), texts)
            for hash_, text in found.items():
                texts[hash_].append(text)
        if self._panel.judge is not None:
            asked = {disputed_.hash: hash_ for hash_, disputed_ in self._disputed(prompts)}
            key = LedgerKey.of(self._panel.judge, Adjudication(self._task))
            for hash_, text in self._ledger.bases(key, asked).items():
                texts[asked[hash_]].append(text)
        return {
            hash_: basis_text(chain.from_iterable(map(read_basis, found))) for hash_, found in texts.items()
        }

    def _disputed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[str, Prompt]]:
        for prompt, voices in self._voices(prompts):
            if values := disagree(self._task, voices):
                yield prompt.hash, disputed(prompt, values)

    def sum_of(self, name: str) -> Mapping[str, int]:
        """Counts of that name of all reports, added up."""
        total: Counter[str] = Counter()
        for report in self.reports:
            total.update(getattr(report, name))
        return dict(sorted(total.items()))

    def _count(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self.statuses[str(answer.status)] += 1
            if answer.repeatability is not None:
                self.agreement += answer.repeatability
                self.compared += 1

    def _combined(self, voices: Sequence[Voice], judged: Answer | None) -> Answer | None:
        """None where people are still to answer, where nobody has, or where the judge has yet to."""
        if not self._is_complete(voices) or all(voice.answer is None for voice in voices):
            return None
        if self._panel.judge is not None and judged is None and disagree(self._task, voices):
            return None
        return combine(self._task, self._panel.strategy, voices, judged)

    def _is_complete(self, voices: Sequence[Voice]) -> bool:
        """Whether everybody who will answer has: people's answers are waited for, a failed call's aren't."""
        from tutelage.teachers import Selective

        return all(
            voice.answer is not None or not isinstance(member.teacher, Selective)
            for voice, member in zip(voices, self._panel.members, strict=True)
        )

    def _with_judge(self, prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, list[Voice], Answer | None]]:
        voiced = list(self._voices(prompts))
        judged: Mapping[str, Answer] = {}
        asked: dict[str, str] = {}
        if self._panel.judge is not None:
            for prompt, voices in voiced:
                if values := disagree(self._task, voices):
                    asked[prompt.hash] = disputed(prompt, values).hash
            key = LedgerKey.of(self._panel.judge, Adjudication(self._task))
            judged = self._ledger.get_many(key, list(asked.values()))
        for prompt, voices in voiced:
            yield prompt, voices, judged.get(asked.get(prompt.hash, ""))

    def _voices(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, list[Voice]]]:
        yield from read_voices(prompts, self._panel, self._task, self._ledger)


def read_voices(
    prompts: Iterable[Prompt], panel: Panel, task: Task, ledger: AnswerLedger
) -> Iterator[tuple[Prompt, list[Voice]]]:
    """What each member has said of each prompt, in the order of prompts and of members."""
    for part in in_parts(prompts, _AT_ONCE):
        hashes = [prompt.hash for prompt in part]
        said = [ledger.get_many(LedgerKey.of(one.teacher, task), hashes) for one in panel.members]
        for prompt in part:
            yield (
                prompt,
                [
                    Voice(member.name, member.weight, answers.get(prompt.hash))
                    for member, answers in zip(panel.members, said, strict=True)
                ],
            )
