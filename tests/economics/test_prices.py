"""The list of prices: sound, sourced, and found by host and model."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.economics import describe, price_of
from tutelage.economics.prices import _entries, read_entries
from tutelage.errors import ConfigError

DAY = date(2026, 11, 25)
ONE = """
- id: one
  provider: One
  hosts: [api.one.example]
  models: [a]
  input: 1
  output: 2
  source: https://one.example/prices
  read: 2026-01-01
  checked: provider
"""


def test_a_model_has_its_price() -> None:
    price = price_of("api.openai.com", "gpt-4.1-mini", DAY)
    assert price is not None
    assert (price.input, price.output, price.cached_input, price.batch_discount) == (0.4, 1.6, 0.1, 0.5)


@pytest.mark.parametrize(
    ("host", "model", "entry"),
    [
        ("api.openai.com", "gpt-4.1-mini-2025-04-14", "openai-gpt-4.1-mini"),
        ("api.openai.com", "GPT-4.1", "openai-gpt-4.1"),
        ("eu.api.openai.com", "gpt-5", "openai-gpt-5"),
        ("api.anthropic.com", "claude-haiku-4-5-20251001", "anthropic-haiku-4.5"),
        ("generativelanguage.googleapis.com", "models/gemini-2.5-flash", "google-gemini-2.5-flash"),
        ("generativelanguage.googleapis.com", "gemini-2.5-flash-lite", "google-gemini-2.5-flash-lite"),
        ("api.deepseek.com", "deepseek-flash", "deepseek-flash"),
    ],
)
def test_names_are_found_with_their_dates(host: str, model: str, entry: str) -> None:
    price = price_of(host, model, DAY)
    assert price is not None and price.entry == entry


@pytest.mark.parametrize(
    ("host", "model"),
    [
        ("openrouter.ai", "gpt-4.1-mini"),
        ("api.openai.com.evil.example", "gpt-4.1-mini"),
        ("api.openai.com", "gpt-4.1-mini-audio"),
        ("api.openai.com", "gpt-4"),
        ("api.openai.com", "claude-opus-5"),
        ("", ""),
    ],
)
def test_what_the_list_does_not_know_has_no_price(host: str, model: str) -> None:
    assert price_of(host, model, DAY) is None


def test_a_price_changes_on_its_day() -> None:
    where = ("generativelanguage.googleapis.com", "gemini-3.6-flash")
    before, after = price_of(*where, date(2026, 12, 31)), price_of(*where, date(2027, 1, 1))
    assert before is not None and after is not None
    assert (before.input, after.input) == (0.75, 1.5)


def test_every_entry_is_sourced_and_no_day_lies_ahead() -> None:
    for entry in _entries():
        assert entry.read <= DAY, entry.id
        assert 0 < entry.input <= entry.output, entry.id
        assert entry.cached_input is None or entry.cached_input <= entry.input, entry.id


def test_an_old_price_is_used_and_warned_of() -> None:
    price = price_of("api.anthropic.com", "claude-opus-5", DAY)
    assert price is not None and not price.stale(DAY)
    later = price.read + timedelta(days=366)
    assert price.stale(later)
    assert "more than a year ago" in describe(price, later)
    assert "more than a year ago" not in describe(price, DAY)


def test_a_description_names_price_source_and_limit() -> None:
    price = price_of("api.anthropic.com", "claude-haiku-5-5", DAY)
    assert price is not None
    text = describe(price, DAY)
    assert "$0.1 a million tokens in, $0.5 out, $0.01 from the cache" in text
    assert "up to 100,000 tokens" in text
    assert f"read {price.read}: {price.source}" in text


@pytest.mark.parametrize(
    "text",
    [
        ONE + ONE,
        ONE.replace("input: 1", "input: -1"),
        ONE.replace("https", "http"),
        ONE + "  more: 1\n",
        "- [",
    ],
)
def test_an_unsound_list_is_refused(text: str) -> None:
    assert len(read_entries(ONE)) == 1
    with pytest.raises(ConfigError):
        read_entries(text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_name_is_looked_up(host: str, model: str) -> None:
    assert price_of(host, model, DAY) is None or host
