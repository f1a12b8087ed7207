"""The bound by which the budget is kept, against a provider that bills the most that a request can come to."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from faulty_outcomes import spoken
from faulty_teacher import FaultyTeacher, Outcome, Request, Said, completion, error
from tutelage.config import AnthropicTeacherConfig, OpenAITeacherConfig
from tutelage.errors import TeacherUnavailable
from tutelage.records import Prompt
from tutelage.tasks import Classify, Example, Extract, Generate, Judge, Prompting, RationaleMode, Task
from tutelage.teachers import TeacherContext
from tutelage.teachers.anthropic import AnthropicTeacher
from tutelage.teachers.endpoint import EndpointTeacher
from tutelage.teachers.openai import OpenAITeacher

PRICE = {"input": 3.0, "output": 7.0, "cached_input": 0.3, "cache_write": 4.0, "batch_discount": 0.5}
TASKS: dict[str, Task] = {
    "classify": Classify(("refund", "card"), prompting=Prompting((Example("my card", "card"),))),
    "judge": Judge(("yes", "no"), "Is it polite?"),
    "extract": Extract({"type": "object", "properties": {"order": {"type": "string"}}}),
    "generate": Generate(prompting=Prompting(rationale=RationaleMode.AFTER)),
}
ANSWERS = {
    "classify": '{"label": "card"}',
    "judge": '{"reasons": "So.", "verdict": "yes"}',
    "extract": '{"order": "7"}',
    "generate": '{"text": "Yes.", "rationale": "So."}',
}
TEXTS = ["", "where is it", '"\\\x01\n' * 20, "\U0001f600\u0301\ufdfa" * 30, "x" * 5000]
SETTINGS = {"model", "max_tokens", "max_completion_tokens", "temperature", "logprobs", "top_logprobs"}
# Of the tokens of a prompt, how many come from the cache and how many go into it.
CACHES = [lambda n: (0, 0), lambda n: (n, 0), lambda n: (0, n), lambda n: (n // 3, n // 2)]


def billing(kind: str, cache: Any, reasoning_apart: bool) -> Outcome:
    """Answers, and bills a token a byte of all that the model reads, and every token that it may write."""

    def body(_: FaultyTeacher, request: dict[str, Any]) -> bytes:
        asked = request if isinstance(request, Request) else Request(request)
        read = {name: part for name, part in asked.items() if name not in SETTINGS}
        given = len(json.dumps(read, ensure_ascii=False, separators=(",", ":")).encode())
        given += 400 if "tools" in read else 64  # what providers add
        made = asked.get("max_tokens") or asked.get("max_completion_tokens") or 0
        cached, written = cache(given)
        if asked.path.endswith("/messages"):
            usage = {
                "input_tokens": given - cached - written,
                "cache_read_input_tokens": cached,
                "cache_creation_input_tokens": written,
                "output_tokens": made,
            }
        else:
            usage = {
                "prompt_tokens": given,
                "completion_tokens": 1 if reasoning_apart else made,
                "total_tokens": given + made,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
        return spoken(Said(ANSWERS[kind], usage=usage), asked, logprobs=False)

    return Outcome(body=body)


def teacher_at(url: str, kind: str, dialect: str, **settings: Any) -> EndpointTeacher:
    usual = {"rights": "own", "model": "m", "base_url": url, "price": PRICE, "max_output_tokens": 50}
    context = TeacherContext(TASKS[kind], (), Path())
    if dialect == "anthropic":
        return AnthropicTeacher(AnthropicTeacherConfig(**usual | settings), context)
    return OpenAITeacher(OpenAITeacherConfig(**usual | settings), context)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("samples", [None, 1, 3])
def test_no_bill_passes_the_bound(
    kind: str, dialect: str, samples: int | None, faulty_teacher: FaultyTeacher
) -> None:
    more: dict[str, Any] = {"extra": {"metadata": {"user_id": "somebody"}}, "structured": samples != 1}
    for cache, apart in product(CACHES, [False, True]):
        faulty_teacher.default = billing(kind, cache, apart)
        teacher = teacher_at(faulty_teacher.url, kind, dialect, samples=samples, **more)
        for text in TEXTS:
            prompt = Prompt("1", text)
            bound = teacher.most_expensive([prompt])
            [answer] = asyncio.run(teacher.answer([prompt]))
            assert answer.value is not None and 0 < answer.usage.cost <= bound


REFUSED = {
    "openai": ["logprobs", "use max_completion_tokens", "json_schema", "temperature"],
    "anthropic": ["output_config", "tools", "temperature", "cache_control"],
}


@pytest.mark.parametrize("dialect", REFUSED)
@pytest.mark.parametrize("many", range(1, 5))
def test_nor_where_parts_of_the_request_are_turned_down(
    many: int, dialect: str, faulty_teacher: FaultyTeacher
) -> None:
    for cache in CACHES:
        faulty_teacher.default = billing("classify", cache, False)
        faulty_teacher.script("x", [Outcome(400, error(f"no {part}")) for part in REFUSED[dialect][:many]])
        teacher = teacher_at(faulty_teacher.url, "classify", dialect, samples=1)
        bound = teacher.most_expensive([Prompt("1", "x")])
        [answer] = asyncio.run(teacher.answer([Prompt("1", "x")]))
        assert not faulty_teacher.scripts["x"] and 0 < answer.usage.cost <= bound


def test_nor_where_samples_fail_and_are_asked_again(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.default = billing("classify", CACHES[0], False)
    teacher = teacher_at(faulty_teacher.url, "classify", "openai", samples=4)
    prompt = Prompt("1", "x")
    faulty_teacher.script("x", [Outcome(drop=True), Outcome(503, error("busy")), Outcome(body=b"{")])
    bound = teacher.most_expensive([prompt])
    with pytest.raises(TeacherUnavailable) as caught:
        asyncio.run(teacher.answer([prompt]))
    told = caught.value.spent + caught.value.unaccounted
    assert 0 < told <= bound
    assert teacher.most_expensive([prompt]) == pytest.approx(bound * 3 / 4)  # one sample is there
    [answer] = asyncio.run(teacher.answer([prompt]))
    assert (
        told + answer.usage.cost <= bound * 6 / 4
    )  # four samples, and two that may have been billed for nothing


def test_a_batch_is_bound_at_its_discount(faulty_teacher: FaultyTeacher) -> None:
    prompts = [Prompt(str(n), text) for n, text in enumerate(TEXTS)]
    for samples in (1, 3):
        single = teacher_at(faulty_teacher.url, "classify", "openai", samples=samples)
        batched = teacher_at(faulty_teacher.url, "classify", "openai", samples=samples, batch=True)
        assert isinstance(batched, OpenAITeacher)
        assert batched.most_expensive_batch(prompts) == pytest.approx(single.most_expensive(prompts) * 0.5)


def test_without_an_account_a_reply_costs_its_bound(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url, "classify", "openai", samples=1)
    for usage in ([], {"prompt_tokens": -1, "completion_tokens": 5}, {"prompt_tokens": 3}):
        faulty_teacher.script("x", [Outcome(body=completion(ANSWERS["classify"], usage=usage))])
        bound = teacher.most_expensive([Prompt("1", "x")])
        [answer] = asyncio.run(teacher.answer([Prompt("1", "x")]))
        assert answer.usage.cost == bound
