"""What answers took of each teacher that was asked for them: of an ensemble's members, and of its judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutelage.labelling.adjudication import Adjudication, disputed
from tutelage.labelling.combining import disagree
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.panel import Panel, read_voices
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

_NOT_ASKED = Answer(AnswerStatus.OK, None)  # a judge's where nobody disagrees; it costs nothing


@dataclass(frozen=True, slots=True)
class Share:
    """One teacher's share in answering: prompts that were asked with its answers, and those left to ask it.

    `most` is what these can cost at most, in US dollars; of a judge it is reckoned (`Panel.most_expensive`).
    """

    answers: Sequence[tuple[Prompt, Answer]]
    left: Collection[Prompt]
    most: float


def shares_of(
    teacher: Teacher, task: Task, ledger: AnswerLedger, asked: Sequence[Prompt], rest: Collection[Prompt]
) -> list[Share]:
    """Who took what for `asked`, and is still to be asked which of `rest`. People's share is left out."""
    from tutelage.teachers import Selective

    if not isinstance(teacher, Panel):
        return [_share(teacher, task, ledger, asked, rest)]
    paid = [one.teacher for one in teacher.members if not isinstance(one.teacher, Selective)]
    shares = [_share(one, task, ledger, asked, rest) for one in paid]
    if teacher.judge is not None and not isinstance(teacher.judge, Selective):
        left = ledger.unanswered(LedgerKey.of(teacher, task), rest)
        most = sum(teacher.judge_bound(prompt) for prompt in left)
        shares.append(Share(list(_judged(teacher, teacher.judge, task, ledger, asked)), left, most))
    return shares


def usage_by_prompt(shares: Sequence[Share]) -> Mapping[str, Usage]:
    """What each prompt's answer took of all teachers together, by hash; latencies add up."""
    total: dict[str, Usage] = {}
    for share in shares:
        for prompt, answer in share.answers:
            one, other = total.get(prompt.hash, Usage()), answer.usage
            total[prompt.hash] = Usage(
                input_tokens=one.input_tokens + other.input_tokens,
                output_tokens=one.output_tokens + other.output_tokens,
                cost=one.cost + other.cost,
                latency=one.latency + other.latency,
                calls=one.calls + other.calls,
            )
    return total


def _share(
    teacher: Teacher, task: Task, ledger: AnswerLedger, asked: Sequence[Prompt], rest: Collection[Prompt]
) -> Share:
    from tutelage.teachers import Batched

    key = LedgerKey.of(teacher, task)
    answers = ledger.get_many(key, [prompt.hash for prompt in asked])
    left = ledger.unanswered(key, rest)
    bound = teacher.most_expensive
    if isinstance(teacher, Batched) and teacher.batch:
        bound = teacher.most_expensive_batch
    return Share(
        [(prompt, answers[prompt.hash]) for prompt in asked if prompt.hash in answers],
        left,
        sum(bound([prompt]) for prompt in left),
    )


def _judged(
    panel: Panel, judge: Teacher, task: Task, ledger: AnswerLedger, asked: Sequence[Prompt]
) -> Iterator[tuple[Prompt, Answer]]:
    """The judge's answers by the prompts that were disputed, and `_NOT_ASKED` for the others."""
    disputes = {
        prompt.hash: disputed(prompt, values).hash if (values := disagree(task, voices)) else ""
        for prompt, voices in read_voices(asked, panel, task, ledger)
        if all(voice.answer is not None for voice in voices)
    }
    answers = ledger.get_many(LedgerKey.of(judge, Adjudication(task)), list(disputes.values()))
    for prompt in asked:
        dispute = disputes.get(prompt.hash)
        if dispute == "":
            yield prompt, _NOT_ASKED
        elif dispute in answers:
            yield prompt, answers[dispute]
