from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import storage
from tutelage.data import prompts_to_table
from tutelage.data.profile import Profile
from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection


def _rejection(reason: RejectReason) -> Rejection:
    return Rejection("a.csv", 1, "1", reason, "", "")


def _profile(prompts, rejected, total):
    made = Profile()
    for start in range(0, len(prompts), 3):
        made.add(prompts_to_table(prompts[start : start + 3]))
    made.reject(rejected)
    return made.content(total)


def test_counts_and_lengths_of_traffic(tmp_path):
    prompts = [
        Prompt(str(n), "x" * n, "a.csv", "hard" if n > 8 else "normal", group="g" if n < 4 else "")
        for n in range(1, 11)
    ]
    rejected = [
        _rejection(reason) for reason in (RejectReason.NUL, RejectReason.EMPTY_TEXT, RejectReason.NUL)
    ]
    storage.write_json(tmp_path / "profile.json", _profile(prompts, rejected, 13))
    assert storage.read_json(tmp_path / "profile.json") == {
        "total": 13,
        "accepted": 10,
        "rejected": {"empty_text": 1, "nul": 2},
        "slices": {"hard": 2, "normal": 8},
        "sources": {"a.csv": 10},
        "groups": {"count": 1, "prompts": 3, "largest": 3},
        "characters": {"min": 1, "median": 5.5, "p95": pytest.approx(9.55), "max": 10},
    }


def test_no_traffic_at_all_is_said_in_noughts(tmp_path):
    about = _profile([], [_rejection(RejectReason.NOT_UTF8)], 1)
    storage.write_json(tmp_path / "profile.json", about)
    assert (about["accepted"], about["rejected"], about["slices"]) == (0, {"not_utf8": 1}, {})
    assert set(about["characters"].values()) == {0}


def test_characters_are_counted_and_not_bytes():
    assert _profile([Prompt("1", "日本🙂")], [], 1)["characters"]["max"] == 3


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_lengths_are_in_order_and_every_prompt_counts_once(lengths):
    prompts = [Prompt(str(n), "x" * length, slice=f"s{length % 3}") for n, length in enumerate(lengths)]
    about = _profile(prompts, [], len(prompts))
    characters = about["characters"]
    assert characters["min"] <= characters["median"] <= characters["p95"] <= characters["max"]
    assert characters["median"] == np.median(lengths)
    assert sum(about["slices"].values()) == about["accepted"] == len(lengths)
