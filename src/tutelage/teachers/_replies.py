"""What an endpoint sent, read: a reply from a chat completion's body, an answer from a prompt's replies."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Usage, Value, storable
from tutelage.tasks import Parsed, Task
from tutelage.teachers._dialect import Finish, Said
from tutelage.teachers._logprobs import label_distribution, packed
from tutelage.teachers.protocol import Doubtful

if TYPE_CHECKING:
    from tutelage.records import Distribution

_RAW_LIMIT = 65_536  # characters of an answer that are kept
_NO_TEXT_LEFT = "; reasoning tokens may have used it up. Mend: raise it, or have the model reason less"


@dataclass(frozen=True, slots=True)
class Reply:
    """One sample as received and as read.

    `body` is the response's, empty where the request was rejected; a rejection is `doubtful` where the prompt
    may be without fault. `has_logprobs` tells that token log-probabilities came, `distribution` what they say
    of the labels, `tokens` what of them is kept. `alone` tells that the prompt needs no votes beside it,
    `told` that an error has reported its cost already.
    """

    text: str
    parsed: Parsed
    usage: Usage
    body: str = ""
    model: str = ""
    has_logprobs: bool = False
    distribution: Distribution | None = None
    tokens: bytes = b""
    alone: bool = False
    doubtful: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How replies are read: for which task, cut off at how many tokens of output.

    `walks` tells that log-probabilities become a distribution over the task's labels, `top_k` how many
    alternatives of each token are kept.
    """

    task: Task
    limit: int
    walks: bool
    top_k: int = 0

    def reply(self, said: Said, usage: Usage, body: str) -> Reply:
        """A reply, held to the task."""
        task = self.task
        if said.finish is Finish.REFUSED:
            parsed = Parsed(AnswerStatus.REFUSED, None, "the teacher declined to answer")
        else:
            parsed = _judged(_whole(task.parse(said.text), said, task), said.finish, said.text, self.limit)
        distribution = None
        if said.tokens is not None and self.walks and isinstance(parsed.value, str):
            distribution = label_distribution(
                said.tokens, parsed.value, task.labels, task.answer_key, task.label_text
            )
        return Reply(
            text=said.text,
            parsed=parsed,
            usage=usage,
            body=body,
            model=kept_text(said.model),
            has_logprobs=said.tokens is not None,
            distribution=distribution,
            tokens=packed(said.tokens, self.top_k) if said.tokens is not None and self.top_k else b"",
            alone=distribution is not None,
        )


def _whole(parsed: Parsed, said: Said, task: Task) -> Parsed:
    """What was parsed, but for a text that was cut off and reads as an answer all the same."""
    if parsed.status is not AnswerStatus.OK or said.finish is Finish.DONE or not _may_go_on(said.text, task):
        return parsed
    return Parsed(AnswerStatus.UNPARSEABLE, None, "the text goes on. Mend: raise it")


def _may_go_on(text: str, task: Task) -> bool:
    """Whether more may have followed: of an object not after its end, of a label only if others begin so."""
    text = text.strip()
    if task.json_schema() is not None and text.endswith(("}", "```")):
        return False
    return not task.labels or any(label != text and label.startswith(text) for label in task.labels)


def _judged(parsed: Parsed, finish: Finish, text: str, limit: int) -> Parsed:
    """What was parsed, with the reason that the endpoint gives for an answer that can't be used."""
    if parsed.status is not AnswerStatus.OK and finish is Finish.FILTERED:
        return Parsed(AnswerStatus.REFUSED, None, "the endpoint's content filter cut the answer")
    if parsed.status is AnswerStatus.UNPARSEABLE and finish is Finish.CUT:
        hint = "" if text.strip() else _NO_TEXT_LEFT
        reason = f"cut off at teacher.max_output_tokens {limit}: {parsed.reason}{hint}"
        return Parsed(AnswerStatus.UNPARSEABLE, None, reason)
    return parsed


def combine(replies: Sequence[Reply], task: Task) -> Answer:
    """One answer from all replies to a prompt; its cost leaves out what errors have told already."""
    if len(replies) == 1 and replies[0].parsed.status is AnswerStatus.OK and not replies[0].told:
        return _alone(replies[0])
    usages = [reply.usage for reply in replies]
    usage = Usage(
        input_tokens=sum(item.input_tokens for item in usages),
        output_tokens=sum(item.output_tokens for item in usages),
        cost=sum(reply.usage.cost for reply in replies if not reply.told),
        latency=max(item.latency for item in usages),
        calls=sum(item.calls for item in usages),
    )
    texts = [kept_text(reply.text) for reply in replies]
    raw = texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)
    model = next((reply.model for reply in replies if reply.model), "")
    good = [reply for reply in replies if reply.parsed.status is AnswerStatus.OK]
    if not good:
        kind = Doubtful if all(reply.doubtful for reply in replies) else Answer
        status, reason = _commonest_fault(replies)
        return kind(status, None, raw=raw, reason=reason, model=model, usage=usage)
    value, distribution, origin = _one(good[0]) if len(replies) == 1 else _votes(good, task)
    shown = next((reply for reply in good if reply.parsed.value == value), good[0])
    bad = len(replies) - len(good)
    return Answer(
        AnswerStatus.OK,
        value,
        distribution,
        origin,
        raw,
        f"{bad} of {len(replies)} samples had no usable answer" if bad else "",
        model,
        usage,
        rationale=kept_text(shown.parsed.rationale),
        tokens=shown.tokens,
        repeatability=_repeatability(_values(good), task),
    )


def _alone(reply: Reply) -> Answer:
    """What `combine` makes of one usable reply, of which most answers are: without its sums and searches."""
    value, distribution, origin = _one(reply)
    return Answer(
        AnswerStatus.OK,
        value,
        distribution,
        origin,
        kept_text(reply.text),
        model=reply.model,
        usage=reply.usage,
        rationale=kept_text(reply.parsed.rationale),
        tokens=reply.tokens,
    )


def _one(reply: Reply) -> tuple[Value | None, Distribution | None, DistributionOrigin]:
    origin = DistributionOrigin.NONE if reply.distribution is None else DistributionOrigin.LOGPROBS
    return reply.parsed.value, reply.distribution, origin


def _votes(good: Sequence[Reply], task: Task) -> tuple[Value, Distribution | None, DistributionOrigin]:
    """One value for the usable samples, and their shares where the task has labels. See `Task.vote`."""
    value, shares = task.vote(_values(good))
    return value, shares, DistributionOrigin.NONE if shares is None else DistributionOrigin.VOTES


def _values(good: Sequence[Reply]) -> list[Value]:
    return [reply.parsed.value for reply in good if reply.parsed.value is not None]


def _repeatability(values: Sequence[Value], task: Task) -> float | None:
    """The share of pairs of samples that agree by the task's rules; None for fewer than two."""
    pairs = len(values) * (len(values) - 1) / 2
    if not pairs:
        return None
    counts = Counter(values)  # equal ones agree, and need no comparing
    agreeing = sum(count * (count - 1) / 2 for count in counts.values())
    for (one, many), (other, more) in itertools.combinations(counts.items(), 2):
        if task.compare(one, other).agree:
            agreeing += many * more
    return agreeing / pairs


def _commonest_fault(replies: Sequence[Reply]) -> tuple[AnswerStatus, str]:
    status, _ = Counter(reply.parsed.status for reply in replies).most_common(1)[0]
    reason = next(reply.parsed.reason for reply in replies if reply.parsed.status is status)
    return status, reason if len(replies) == 1 else f"none of {len(replies)} samples could be used: {reason}"


def kept_text(text: str) -> str:
    """What is kept of an endpoint's text: of bounded length, and as UTF-8 can hold it."""
    return storable(text[:_RAW_LIMIT])
