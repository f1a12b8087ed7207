"""One answer from the replies to a prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tutelage.records import AnswerStatus, DistributionOrigin, Usage
from tutelage.tasks import Classify, Parsed
from tutelage.teachers._replies import Reply, combine

TASK = Classify(("refund", "card"))
REPLY = Reply(
    text='{"label": "card"}',
    parsed=Parsed(AnswerStatus.OK, "card", rationale="it says so"),
    usage=Usage(200, 8, 0.25, 0.5, 1),
    model="m-1",
    has_logprobs=True,
    distribution=np.array([0.25, 0.75], dtype=np.float32),
    tokens=b"packed",
)


def test_one_reply_is_its_answer_whether_its_cost_was_told_or_not() -> None:
    for reply in (REPLY, replace(REPLY, distribution=None, tokens=b"")):
        fresh, told = combine([reply], TASK), combine([replace(reply, told=True)], TASK)
        assert fresh.usage == reply.usage and told.usage == replace(reply.usage, cost=0.0)
        assert replace(fresh, usage=told.usage) == told
        assert (fresh.value, fresh.raw, fresh.model, fresh.reason) == ("card", reply.text, "m-1", "")
        assert fresh.rationale == "it says so" and fresh.repeatability is None
    assert combine([REPLY], TASK).origin is DistributionOrigin.LOGPROBS
