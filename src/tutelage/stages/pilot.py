"""`label --pilot`: ways of asking compared on a small sample, before the big run is paid for.

Versions are judged on gold's training part, which may be learned from; sealed gold isn't touched, since
choosing on it would make its verdict worthless. All versions are asked the same prompts. What is paid for
here is kept under the version's own key: the big run asks nothing of it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from heapq import nsmallest
from itertools import combinations
from statistics import median
from typing import Any

from tutelage import storage
from tutelage.config import PromptingConfig, TeacherConfig
from tutelage.config.teachers import sole_teachers
from tutelage.data import read_training
from tutelage.economics import Estimate
from tutelage.errors import UsageError
from tutelage.gates import Decision
from tutelage.labelling import AnswerLedger, LedgerKey, repeated, shares_of, usage_by_prompt
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Answer, AnswerStatus, Gold, Prompt, PromptStream, Usage
from tutelage.scale import Engine, open_engine
from tutelage.stages.asking import asked_again, open_teacher, prompted_task, put
from tutelage.stages.collected import each_prompt
from tutelage.stages.costs import estimate_of
from tutelage.stages.findings import tell_bound, tell_price
from tutelage.stages.gold import held_out
from tutelage.stages.label import require_gold
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.planned import planned_prompts
from tutelage.stages.rights import require_rights
from tutelage.tasks import Task

CURRENT = "current"  # the name of what `prompting` says
_UNPROMPTED = {"encoder", "transformers", "human"}
REPEATED = 50  # prompts of each version asked a second time


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """What one way of asking did. Costs in US dollars, latency in seconds.

    `judged` prompts have a human answer, `agreeing` of them the same as the teacher's (an unusable answer
    agrees with nothing), `low` and `high` the 95% interval of that share; None where nothing is judged.
    Of `repeats` prompts asked twice, `repeated` had the same answer again.
    """

    name: str
    asked: int
    unusable: int
    judged: int
    agreeing: int
    low: float | None
    high: float | None
    cost: float
    input_tokens: int
    output_tokens: int
    latency: float
    repeats: int
    repeated: int

    @property
    def quality(self) -> float | None:
        """Share of judged prompts that agree with the human answer."""
        return self.agreeing / self.judged if self.judged else None

    @property
    def cost_per_thousand(self) -> float:
        """US dollars for 1,000 answers."""
        return 1_000 * self.cost / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class Pilot:
    """The comparison: each version's figures, how far versions agree with each other, and what is proposed.

    `agreement` maps "a | b" to the share of prompts on which the two versions say the same. `estimate` is of
    what remains to be asked in the proposed version; None where nothing does.
    """

    versions: tuple[VersionFigures, ...]
    agreement: Mapping[str, float]
    proposal: str
    reason: str
    estimate: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """For `answers/pilot.json` and `--json`."""
        return asdict(self)


def run_pilot(programme: Programme, size: int, progress: Progress) -> Pilot:
    """Ask `size` prompts in every version and compare. Behind the rights and gold gates as `label` is.

    Raises UsageError where `size` is below 1, the teacher isn't prompted or there is nothing to ask, and
    whatever asking raises; what was answered is kept.
    """
    if size < 1:
        raise UsageError(f"--pilot {size}: 1 prompt is the least. Mend: give e.g. 200")
    _require_prompted(programme.config.teacher, progress)
    require_earlier(programme, "label")
    rights = require_rights(programme)
    training = read_training(programme.gold_training)
    versions = {CURRENT: programme.config.prompting, **programme.config.prompt_versions}
    tasks = {name: prompted_task(programme, training, how) for name, how in versions.items()}
    sample, human = _sample(programme, training, tasks, size)
    require_gold(programme, open_teacher(programme, training, tasks[CURRENT]), progress)
    tell_price(programme.config.teacher, progress)
    answers: dict[str, dict[str, Answer]] = {}
    figures = []
    with (
        AnswerLedger(programme.answers) as ledger,
        open_engine(programme.config.engine, progress) as engine,
    ):
        for name, task in tasks.items():
            progress.note(f"version {name}: {_describe(versions[name])}")
            answers[name], usages, again = _ask(
                programme, training, task, sample, ledger, progress, rights, engine
            )
            figures.append(_figures(name, task, human, answers[name], usages, again))
        pilot = _compare(tasks, figures, answers, human, programme.config.release.max_loss)
        pilot = replace(pilot, estimate=_estimate(programme, training, tasks[pilot.proposal], sample, ledger))
    storage.write_json(programme.pilot, pilot.to_json())
    programme.journal.append("pilot", size=len(sample), **pilot.to_json())
    return pilot


def _require_prompted(teacher: TeacherConfig, progress: Progress) -> None:
    kinds = {one.type for one in sole_teachers(teacher)}
    if kinds <= _UNPROMPTED:
        raise UsageError(
            f"--pilot compares ways of prompting, and teacher.type {teacher.type} isn't prompted. "
            "Mend: run `tutelage label` without it"
        )
    if "encoder" in kinds:
        progress.warn(
            "the ensemble's encoder has learned from gold's training part, on which versions are judged, "
            "so agreement with people looks better than it is, in every version"
        )


def _estimate(
    programme: Programme,
    training: Sequence[Gold],
    task: Task,
    sample: Sequence[Prompt],
    ledger: AnswerLedger,
) -> Estimate | None:
    """What the big run will take in this version, from the sample's answers."""
    teacher = open_teacher(programme, training, task)
    traffic = planned_prompts(programme)
    rest = PromptStream.of(held_out(programme), [item.prompt for item in training], traffic)
    at_once = teacher.concurrency or programme.config.labelling.concurrency
    return estimate_of(shares_of(teacher, task, ledger, sample, rest), at_once)


def _sample(
    programme: Programme, training: Sequence[Gold], tasks: Mapping[str, Task], size: int
) -> tuple[list[Prompt], dict[str, Gold]]:
    """Prompts to ask, and by hash those with a human answer. None that a version shows."""
    shown = {example.text for task in tasks.values() for example in task.prompting.examples}
    judged = [item for item in training if item.prompt.text not in shown]
    judged = sorted(judged, key=lambda item: _draw(item.prompt.text))[:size]
    known = {item.prompt.hash for item in judged} | {item.prompt.hash for item in training}
    others = (prompt for prompt in each_prompt(programme) if prompt.hash not in known)
    drawn = nsmallest(size - len(judged), others, key=lambda prompt: _draw(prompt.text))
    sample = [*(item.prompt for item in judged), *drawn]
    if not sample:
        raise UsageError("there is no prompt to try. Mend: collect traffic, or give gold a training part")
    return sample, {item.prompt.hash: item for item in judged}


def _draw(text: str) -> str:
    return sha256(f"pilot\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _ask(
    programme: Programme,
    training: Sequence[Gold],
    task: Task,
    sample: Sequence[Prompt],
    ledger: AnswerLedger,
    progress: Progress,
    rights: Decision,
    engine: Engine,
) -> tuple[dict[str, Answer], Mapping[str, Usage], tuple[int, int]]:
    """One version's answers and what they took, by prompt hash, and of those asked twice (agreeing, both)."""
    teacher = open_teacher(programme, training, task, engine)
    again, twice = asked_again(teacher), sample[:REPEATED]
    open_ = [
        *ledger.unanswered(LedgerKey.of(teacher, task), sample),
        *ledger.unanswered(LedgerKey.of(again, task), twice),
    ]
    tell_bound(teacher, open_, programme.config.labelling.budget, progress)
    put(programme, teacher, sample, task, ledger, progress, rights, engine)
    put(programme, again, twice, task, ledger, progress, rights, engine)
    hashes = [prompt.hash for prompt in sample]
    first = ledger.get_many(LedgerKey.of(teacher, task), hashes)
    second = ledger.get_many(LedgerKey.of(again, task), hashes)
    usages = usage_by_prompt(shares_of(teacher, task, ledger, sample, ()))
    return first, usages, repeated(task, first, second, [prompt.hash for prompt in twice])


def _figures(
    name: str,
    task: Task,
    human: Mapping[str, Gold],
    answers: Mapping[str, Answer],
    usages: Mapping[str, Usage],
    again: tuple[int, int],
) -> VersionFigures:
    from tutelage.evaluation import proportion_interval

    judged = [hash_ for hash_ in answers if hash_ in human]
    agreeing = sum(_agrees(task, answers[hash_], human[hash_]) for hash_ in judged)
    interval = proportion_interval(agreeing, len(judged)) if judged else (None, None)
    took = [usages.get(hash_, Usage()) for hash_ in answers]
    return VersionFigures(
        name=name,
        asked=len(answers),
        unusable=sum(answer.status is not AnswerStatus.OK for answer in answers.values()),
        judged=len(judged),
        agreeing=agreeing,
        low=interval[0],
        high=interval[1],
        cost=sum(usage.cost for usage in took),
        input_tokens=sum(usage.input_tokens for usage in took),
        output_tokens=sum(usage.output_tokens for usage in took),
        latency=median(usage.latency for usage in took) if took else 0.0,
        repeats=again[1],
        repeated=again[0],
    )


def _agrees(task: Task, answer: Answer, gold: Gold) -> bool:
    return answer.value is not None and task.compare(answer.value, gold.value).agree


def _compare(
    tasks: Mapping[str, Task],
    figures: Sequence[VersionFigures],
    answers: Mapping[str, Mapping[str, Answer]],
    human: Mapping[str, Gold],
    margin: float,
) -> Pilot:
    agreement = {
        f"{one} | {other}": _share_alike(tasks[one], answers[one], answers[other])
        for one, other in combinations(tasks, 2)
    }
    proposal, reason = _propose(tasks, figures, answers, human, margin)
    return Pilot(tuple(figures), agreement, proposal, reason)


def _share_alike(task: Task, one: Mapping[str, Answer], other: Mapping[str, Answer]) -> float:
    agreeing, both = repeated(task, one, other, one.keys())
    return agreeing / both if both else 0.0


def _propose(
    tasks: Mapping[str, Task],
    figures: Sequence[VersionFigures],
    answers: Mapping[str, Mapping[str, Answer]],
    human: Mapping[str, Gold],
    margin: float,
) -> tuple[str, str]:
    """The best version, or a cheaper one that is shown to be at most `margin` worse; and why.

    A version that merely couldn't be told from the best on a small sample isn't taken for as good.
    """
    if not any(item.judged for item in figures):
        usable = min(figures, key=lambda item: (item.unusable, item.cost_per_thousand))
        return usable.name, (
            "no prompt of the sample has a human answer, so quality is unknown: of those with the fewest "
            "unusable answers it is the cheapest. Mend: give gold a training part"
        )
    best = max(figures, key=lambda item: (item.quality or 0.0, -item.cost_per_thousand, item.name == CURRENT))
    cheaper = sorted(
        (item for item in figures if item.cost_per_thousand < best.cost_per_thousand),
        key=lambda item: item.cost_per_thousand,
    )
    for item in cheaper:
        low, _ = _difference(tasks[item.name], item.name, best.name, answers, human)
        if low >= -margin:
            return item.name, (
                f"1,000 answers cost ${item.cost_per_thousand:.4f} against ${best.cost_per_thousand:.4f} of "
                f"{best.name}, and it agrees with people at most {-min(low, 0.0):.1%} less often (95%; "
                f"release.max_loss {margin:.1%} is the most that is given away for money)"
            )
    reason = f"it agrees with people most often ({best.quality:.1%} of {best.judged:,})"
    if cheaper:
        reason += f", and no cheaper version is shown to be within {margin:.1%} of it on this sample"
    return best.name, reason


def _difference(
    task: Task, one: str, other: str, answers: Mapping[str, Mapping[str, Answer]], human: Mapping[str, Gold]
) -> tuple[float, float]:
    """95% interval of quality(one) − quality(other) on the prompts that both answered."""
    from tutelage.evaluation import paired_difference_interval

    both = [hash_ for hash_ in human if hash_ in answers[one] and hash_ in answers[other]]
    if not both:
        return -1.0, 1.0
    right_one = [_agrees(task, answers[one][hash_], human[hash_]) for hash_ in both]
    right_other = [_agrees(task, answers[other][hash_], human[hash_]) for hash_ in both]
    pairs = list(zip(right_one, right_other, strict=True))
    only_one = sum(mine and not theirs for mine, theirs in pairs)
    only_other = sum(theirs and not mine for mine, theirs in pairs)
    return paired_difference_interval(only_one, only_other, len(both))


def _describe(how: PromptingConfig) -> str:
    parts = [f"{how.examples} examples"] if how.examples else ["no examples"]
    if how.rationale != "none":
        parts.append(f"reasons {how.rationale} the answer")
    if how.instruction is not None:
        parts.append("an instruction of its own")
    return ", ".join(parts)
