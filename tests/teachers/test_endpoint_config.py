"""What an endpoint's configuration must say before anything is sent to it."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tutelage.config import OpenAITeacherConfig, PriceConfig, parse_config
from tutelage.economics.prices import Price
from tutelage.errors import ConfigError
from tutelage.records import Answer, AnswerStatus, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext, build_teacher
from tutelage.teachers.openai import OpenAITeacher

PRICE = PriceConfig(input=1.0, output=2.0)
KEY = "sk-very-secret-0123456789"
TEXT = "where is my money"


def teacher_at(url: str, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": url}
    config = OpenAITeacherConfig(**(usual | settings))
    return OpenAITeacher(config, TeacherContext(Classify(("refund", "card")), (), Path()))


REMOTE = "https://api.example.com/v1"


def test_another_machine_needs_price_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"teacher\.price is missing.*teacher\.free"):
        teacher_at(REMOTE)
    with pytest.raises(ConfigError, match=r"teacher\.price is 0.*teacher\.free"):
        teacher_at(REMOTE, price={"input": 0, "output": 0})
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        teacher_at(REMOTE, price=PRICE)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert teacher_at(REMOTE, price=PRICE).paid


def test_a_price_is_looked_up_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asked: list[tuple[str, str]] = []

    def listed(host: str, model: str) -> Price | None:
        asked.append((host, model))
        known = {"source": "https://example.com", "read": date(2026, 1, 1), "entry": "x"}
        return Price(3.0, 4.0, 0.5, 0.5, up_to=2000, **known) if model == "known" else None  # type: ignore[arg-type]

    monkeypatch.setattr("tutelage.teachers._access.price_of", listed)
    with pytest.raises(ConfigError, match=r"the list of prices has none.*'scripted-1'"):
        teacher_at(REMOTE)
    teacher = teacher_at(REMOTE, model="known", samples=1)
    assert list(dict.fromkeys(asked)) == [("api.example.com", "scripted-1"), ("api.example.com", "known")]
    given = teacher_at(REMOTE, model="known", samples=1, price={"input": 3, "output": 4, "cached_input": 0.5})
    prompt = Prompt("1", TEXT)
    assert teacher.most_expensive([prompt]) == given.most_expensive([prompt]) > 0
    assert teacher.revision == given.revision  # the price shapes no answer
    assert teacher_at("http://127.0.0.1:1/v1", model="known").most_expensive([prompt]) == 0.0
    [answer] = asyncio.run(teacher.answer([Prompt("2", "x" * 2001)]))
    assert answer.status is AnswerStatus.UNPARSEABLE and "2,000 tokens" in answer.reason
    assert answer.usage.cost == 0.0 and type(answer) is Answer


def test_prompts_to_another_machine_pass_the_gates_even_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    teacher = teacher_at(REMOTE, free=True)
    assert teacher.paid and teacher.most_expensive([Prompt("1", TEXT)]) == 0.0
    assert teacher_at(REMOTE, free=True, price={"input": 0, "output": 0}).paid
    with pytest.raises(ValidationError, match="free is true"):
        teacher_at(REMOTE, free=True, price=PRICE)


def test_on_this_machine_a_price_makes_it_paid() -> None:
    assert not teacher_at("http://localhost:1/v1").paid
    assert not teacher_at("http://[::1]:1/v1").paid
    assert teacher_at("http://localhost:1/v1", price=PRICE).paid  # a gateway
    for name in ("http://127.0.0.1.example.com/v1", "http://localhost.example.com/v1", "http://0.0.0.0/v1"):
        with pytest.raises(ConfigError, match="is not this machine"):
            teacher_at(name)


@pytest.mark.parametrize(
    "address",
    ["https://me:secret@host/v1", "https://secret@host/v1", "https://host/v1?key=secret", "ftp://a:secret@b"],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ValidationError) as caught:
        teacher_at(address)
    [fault] = caught.value.errors()
    assert "api_key_env" in fault["msg"] and "secret" not in fault["msg"]
    with pytest.raises(ValidationError, match="names no host"):
        teacher_at("http:///v1")


PAGE = Path(__file__).parents[2] / "docs" / "teachers.md"
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY")


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_what_the_page_shows_makes_a_teacher(snippet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, KEY)
    content = {"gold": {"path": "gold.csv"}, "traffic": {"path": "traffic.csv"}, **yaml.safe_load(snippet)}
    config = parse_config(content, "docs/teachers.md").teacher
    assert config.type in {"openai", "anthropic"}
    context = TeacherContext(Classify(("refund", "card")), (), Path())
    teacher = build_teacher(config, context)
    assert teacher.paid == bool(config.remote_host)
    assert (teacher.most_expensive([Prompt("1", TEXT)]) > 0) == config.costs


def test_the_page_shows_every_endpoint() -> None:
    assert len(SNIPPETS) >= 11
    hosts = " ".join(SNIPPETS)
    for part in ("azure", "openrouter.ai", "googleapis.com", "11434", "8080", ":8000", "anthropic"):
        assert part in hosts


@pytest.mark.parametrize(
    ("extra", "holds"),
    [
        ({"reasoning_effort": "low"}, True),
        ({"service_tier": "flex"}, True),  # cheaper
        ({"service_tier": "priority"}, False),
        ({"service_tier": "auto"}, False),
        ({"web_search_options": {}}, False),
    ],
)
def test_a_listed_price_is_taken_only_where_it_holds(
    extra: dict[str, Any], holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    address = {"url": "https://api.openai.com/v1", "model": "gpt-4.1-mini", "extra": extra}
    if holds:
        assert teacher_at(**address).most_expensive([Prompt("1", TEXT)]) > 0
    else:
        with pytest.raises(
            ConfigError, match=rf"doesn't hold with teacher\.extra\.{next(iter(extra))}.*Mend"
        ):
            teacher_at(**address)
    assert teacher_at(**address, price=PRICE).paid
