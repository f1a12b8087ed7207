"""What an endpoint sent, read: a reply from a chat completion's body, an answer from a prompt's replies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Usage, Value, storable
from tutelage.tasks import Parsed, Task
from tutelage.teachers._dialect import Finish, Said
from tutelage.teachers._logprobs import label_distribution
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
    of the labels. `alone` tells that the prompt needs no votes beside it, `told` that an error has reported
    its cost already.
    """

    text: str
    parsed: Parsed
    usage: Usage
    body: str = ""
    model: str = ""
    has_logprobs: bool = False
    distribution: Distribution | None = None
    alone: bool = False
    doubtful: bool = False
    told: bool = False


def read_reply(said: Said, task: Task, limit: int, usage: Usage, body: str) -> Reply:
    """A reply whose output was limited to `limit` tokens, held to the task."""
    if said.finish is Finish.REFUSED:
        parsed = Parsed(AnswerStatus.REFUSED, None, "the teacher declined to answer")
    else:
        parsed = _judged(task.parse(said.text), said.finish, said.text, limit)
    distribution = None
    if said.tokens is not None and isinstance(parsed.value, str):
        distribution = label_distribution(said.tokens, parsed.value, task.labels)
    return Reply(
        text=said.text,
        parsed=parsed,
        usage=usage,
        body=body,
        model=kept_text(said.model),
        has_logprobs=said.tokens is not None,
        distribution=distribution,
        alone=distribution is not None,
    )


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
    bad = len(replies) - len(good)
    reason = f"{bad} of {len(replies)} samples had no usable answer" if bad else ""
    return Answer(AnswerStatus.OK, value, distribution, origin, raw, reason, model, usage)


def _one(reply: Reply) -> tuple[Value | None, Distribution | None, DistributionOrigin]:
    origin = DistributionOrigin.NONE if reply.distribution is None else DistributionOrigin.LOGPROBS
    return reply.parsed.value, reply.distribution, origin


def _votes(good: Sequence[Reply], task: Task) -> tuple[Value, Distribution | None, DistributionOrigin]:
    """One value for the usable samples, and their shares where the task has labels. See `Task.vote`."""
    values = [reply.parsed.value for reply in good if reply.parsed.value is not None]
    value, shares = task.vote(values)
    return value, shares, DistributionOrigin.NONE if shares is None else DistributionOrigin.VOTES


def _commonest_fault(replies: Sequence[Reply]) -> tuple[AnswerStatus, str]:
    status, _ = Counter(reply.parsed.status for reply in replies).most_common(1)[0]
    reason = next(reply.parsed.reason for reply in replies if reply.parsed.status is status)
    return status, reason if len(replies) == 1 else f"none of {len(replies)} samples could be used: {reason}"


def kept_text(text: str) -> str:
    """What is kept of an endpoint's text: of bounded length, and as UTF-8 can hold it."""
    return storable(text[:_RAW_LIMIT])
