from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import RightsConfig
from tutelage.errors import GateRefused
from tutelage.gates import Verdict
from tutelage.rights import Subject, Use, load_registry, rights_gate

TODAY = date(2026, 11, 25)
REGISTRY = load_registry()


def _override(entry):
    return RightsConfig.model_validate(
        {
            "override": {
                "entry": entry,
                "name": "Ada Counsel",
                "reason": "Order form of 3 March covers this use",
            }
        }
    )


def _subject(entry):
    """A teacher that the entry is made for."""
    terms = REGISTRY.find(entry)
    teacher = terms.teachers[0] if terms and terms.teachers else "openai"
    host = terms.hosts[0] if terms and terms.hosts else ""
    model = terms.models[0].replace("*", "") if terms and terms.models else "some-model"
    return Subject(entry, teacher, model, host)


def _decide(entry, kind="classifier", config=None, today=TODAY):
    return rights_gate(_subject(entry), Use(kind, config or RightsConfig(), REGISTRY, today))


def _verdict(*arguments, **options):
    return _decide(*arguments, **options).verdict


def test_what_the_registry_says_decides_by_use():
    assert _verdict("openai-api") is Verdict.PASS
    assert _verdict("openai-api", config=RightsConfig(distribution="distributed")) is Verdict.FAIL
    assert _verdict("openai-api", "generator") is Verdict.FAIL
    assert _verdict("deepseek-api", "generator", RightsConfig(distribution="distributed")) is Verdict.PASS
    assert _verdict("xai-api") is Verdict.FAIL


@given(st.text(max_size=30))
def test_an_unknown_entry_never_passes(entry):
    if REGISTRY.find(entry) is None:
        assert _verdict(entry) is Verdict.FAIL


def test_an_unknown_entry_names_what_is_near():
    with pytest.raises(GateRefused, match="openai-api"):
        _decide("openai").require()


@pytest.mark.parametrize("terms", list(REGISTRY), ids=lambda terms: terms.id)
def test_every_entry_expires_and_second_hand_never_allows(terms):
    assert terms.source and terms.clause
    assert _verdict(terms.id, today=terms.expires) is Verdict.FAIL
    for kind in ("classifier", "extractor", "generator"):
        for use in ("internal", "distributed"):
            if terms.second_hand:
                assert terms.reading(kind, use) != "allow"
    assert terms.reading("classifier", "sold on the moon") == "deny"
    assert terms.read <= TODAY < terms.expires <= terms.read + timedelta(days=731)


@pytest.mark.parametrize("entry", ["gemini-api", "xai-api", "never-heard-of"])
def test_an_override_passes_and_says_who_and_why(entry):
    decision = _decide(entry, config=_override(entry))
    assert decision.verdict is Verdict.PASS
    assert decision.facts["overridden"] is True
    assert "Ada Counsel" in decision.evidence[0].reason and "Order form" in decision.evidence[0].reason


def test_an_override_is_not_noted_where_none_was_needed():
    assert _decide("openai-api", config=_override("openai-api")).facts["overridden"] is False


def test_an_override_for_one_teacher_opens_no_other():
    decision = _decide("xai-api", config=_override("gemini-api"))
    assert decision.verdict is Verdict.FAIL and "gemini-api" in decision.evidence[0].reason


@pytest.mark.parametrize(
    ("subject", "word"),
    [
        (Subject("own-model", "openai", "gpt-5", "api.openai.com"), "openai-api"),
        (Subject("human", "openai", "gpt-5", "api.openai.com"), "no entry for a teacher of type"),
        (Subject("apache-2.0-weights", "openai", "grok-9", "eu.api.x.ai"), "xai-api"),
        (Subject("openai-api", "openai", "claude", "api.anthropic.com"), "anthropic-api"),
        (Subject("apache-2.0-weights", "openai", "meta-llama/Llama-3.1-8B-Instruct"), "llama-3.1"),
        (Subject("mit-weights", "transformers", "google/gemma-3-4b-it"), "gemma-3"),
        (Subject("all-minilm-l6-v2", "encoder", "someorg/not-for-commerce"), "is for minilm-l6"),
        (Subject("apache-2.0-weights", "local", "meta-llama/Llama-3.3-70B-Instruct"), "llama-unread"),
        (Subject("llama-3.1", "local", "meta-llama/Llama-3.3-70B-Instruct"), "is for"),
        (Subject("mit-weights", "local", "google/gemma-1.1-7b-it"), "gemma-3"),
        (Subject("apache-2.0-weights", "local", "CohereLabs/aya-expanse-8b"), "aya-weights"),
        (Subject("own-model", "openai", "gpt-4.1-mini", "llm.example.org"), "openai-api"),
        (Subject("own-model", "anthropic", "claude-haiku-4-5", "llm.example.org"), "anthropic-api"),
        (Subject("own-model", "openai", "ours", "x.openai.azure.com"), "azure-openai"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.entry,
)
def test_an_entry_cannot_stand_for_a_teacher_that_others_terms_bind(subject, word):
    decision = rights_gate(subject, Use("classifier", RightsConfig(), REGISTRY, TODAY))
    assert decision.verdict is Verdict.FAIL and word in decision.evidence[0].reason


@pytest.mark.parametrize(
    "subject",
    [
        Subject("apache-2.0-weights", "openai", "Qwen/Qwen2.5-7B-Instruct", "llm.example.org"),
        Subject("own-model", "transformers", "models/llama-3.1-lookalike", on_disk=True),
        Subject("all-minilm-l6-v2", "encoder", "minilm-l6"),
        Subject("all-minilm-l6-v2", "encoder", "sentence-transformers/all-MiniLM-L6-v2"),
        Subject("openai-api", "openai", "gpt-5-mini", "api.openai.com"),
        Subject("openai-api", "openai", "gpt-5-mini"),
        Subject("openai-api", "openai", "our-name-for-it", "llm.example.org"),
        Subject("apache-2.0-weights", "openai", "openai/gpt-oss-20b", "llm.example.org"),
        Subject("apache-2.0-weights", "local", "google/gemma-4-12b"),
        Subject("apache-2.0-weights", "local", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
        Subject("llama-3.1", "local", "meta-llama/Llama-3.1-8B-Instruct"),
    ],
    ids=lambda subject: f"{subject.entry} {subject.model}",
)
def test_names_that_do_not_object_pass(subject):
    assert rights_gate(subject, Use("classifier", RightsConfig(), REGISTRY, TODAY)).verdict is Verdict.PASS
