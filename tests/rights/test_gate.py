from __future__ import annotations

from datetime import date, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import RightsConfig
from tutelage.errors import ConfigError, GateRefused
from tutelage.gates import Verdict
from tutelage.rights import load_registry, rights_gate

TODAY = date(2026, 11, 25)
REGISTRY = load_registry()
OVERRIDE = RightsConfig.model_validate(
    {"override": {"name": "Ada Counsel", "reason": "Order form of 3 March covers this use"}}
)


def _verdict(entry, kind="classifier", config=None, today=TODAY):
    return rights_gate(entry, kind, config or RightsConfig(), REGISTRY, today).verdict


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
        rights_gate("openai", "classifier", RightsConfig(), REGISTRY, TODAY).require()


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
    decision = rights_gate(entry, "classifier", OVERRIDE, REGISTRY, TODAY)
    assert decision.verdict is Verdict.PASS
    assert decision.facts["overridden"] is True
    assert "Ada Counsel" in decision.evidence[0].reason and "Order form" in decision.evidence[0].reason


def test_an_override_is_not_noted_where_none_was_needed():
    assert rights_gate("openai-api", "classifier", OVERRIDE, REGISTRY, TODAY).facts["overridden"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second_hand": True}, "second hand"),
        ({"expires": date(2020, 1, 1)}, "not after read"),
        ({"surprise": 1}, "surprise"),
        ({"verdicts": {"classifier": {"internal": "perhaps"}}}, "perhaps"),
    ],
)
def test_a_registry_that_is_not_sound_is_refused(tmp_path, change, message):
    entry = {
        "id": "mine",
        "provider": "p",
        "access": "api",
        "clause": "c",
        "source": "s",
        "read": date(2026, 1, 1),
        "expires": date(2027, 1, 1),
        "verdicts": {"classifier": {"internal": "allow"}},
    }
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump([entry | change]))
    with pytest.raises(ConfigError, match=message):
        load_registry(path)
