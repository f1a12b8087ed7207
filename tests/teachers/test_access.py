"""What hides secrets, in whatever way they are spelt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.teachers._access import Secrets, _Secret

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=40)


@given(KEYS, st.text("ab \u00e9.", max_size=20), st.sampled_from(["+/=<>&'\"\\", "/", ""]))
def test_a_key_is_found_however_json_spells_it(key: str, around: str, escaped: str) -> None:
    spelt = json.dumps(f"{around}{key}{around}", ensure_ascii=False)
    for character in escaped:
        if character not in '"\\':
            spelt = spelt.replace(character, f"\\u{ord(character):04x}")
    hidden = Secrets([key]).out_of_reply(spelt)
    assert key not in hidden and key not in str(json.loads(hidden, strict=False))
    assert "[the key]" in hidden


@pytest.mark.parametrize("key", ["x", "none", "EMPTY", "ollama"])
def test_a_short_word_stays_in_answers_and_not_in_faults(key: str) -> None:
    secrets = Secrets([key])
    assert secrets.out_of_reply(f"an {key} a day") == f"an {key} a day"
    assert secrets.out_of_fault(f"an {key} a day") == "an [the key] a day"


def test_without_any_nothing_is_hidden() -> None:
    for secrets in (Secrets([]), Secrets([""])):
        assert secrets.out_of_fault("text") == secrets.out_of_reply("text") == "text"


def test_it_does_not_show_what_it_hides() -> None:
    assert "sk-1" not in repr(Secrets(["sk-1"])) + repr(_Secret.of("sk-1"))
