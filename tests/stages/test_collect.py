"""`collect` a second time: what is new is added, and what was there stays as it was."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import storage
from tutelage.data import prompts_from_table
from tutelage.data.duplicates import normalise
from tutelage.errors import DataError
from tutelage.programme import Programme
from tutelage.stages import forget_collected, run_stage

WORDS = "parcel invoice password refund courier charge account payment tracking price".split()
GOLD = [
    (f"{one} of {other}", "a" if one < other else "b") for one in WORDS for other in WORDS if one != other
]


class Heard:
    """A Progress that keeps what was told."""

    def __init__(self):
        self.lines = []

    def stage(self, name, text, *, quiet=False):
        self.lines.append(text)

    note = warn = lambda self, text: self.lines.append(text)

    def __getattr__(self, name):
        from tutelage.progress import Silent

        return getattr(Silent(), name)


def _write(path, rows, header=("text",)):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(row if isinstance(row, tuple) else (row,) for row in rows)])


def _programme(folder, traffic=None, **sections):
    folder.mkdir(exist_ok=True)
    if not (folder / "gold.csv").exists():
        _write(folder / "gold.csv", GOLD, ("text", "label"))
    config = {
        "gold": {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.1},
        "traffic": traffic or {"path": "traffic.csv"},
        "teacher": {"type": "encoder"},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(config | sections))
    programme = Programme.open(folder)
    run_stage(programme, "gold")
    return programme


def _collect(programme, force=False):
    heard = Heard()
    run_stage(programme, "collect", heard, force=force)
    return prompts_from_table(storage.read_table(programme.prompts)), "\n".join(heard.lines)


def _rejected(programme):
    return storage.read_table(programme.prompts_rejected).to_pylist()


TEXTS = [f"{one} and {other}: what now with number {n}" for n, (one, other) in enumerate(zip(WORDS, WORDS[3:], strict=False))]  # fmt: skip


def test_a_second_collect_adds_what_is_new_and_says_so(tmp_path):
    programme = _programme_of(tmp_path, TEXTS[:4])
    first, told = _collect(programme)
    assert "4 of 4 rows taken" in told
    _write(tmp_path / "traffic.csv", [TEXTS[5], *TEXTS[:5], TEXTS[0].upper(), TEXTS[5]])
    second, told = _collect(programme)
    assert second[:4] == first
    assert [prompt.text for prompt in second[4:]] == [TEXTS[5], TEXTS[4]]
    assert len({prompt.id for prompt in second}) == 6 and second[5].id == "traffic-6"
    assert "2 of 4 new rows taken; 4 rows known, 6 prompts in all" in told
    assert [item["reason"] for item in _rejected(programme)] == ["duplicate_text"] * 2
    third, told = _collect(programme, force=True)
    assert (
        third == second and "0 of 0 new rows taken; 8 rows known" in told and len(_rejected(programme)) == 2
    )
    about = storage.read_json(programme.profile)
    assert (about["total"], about["accepted"], about["rejected"]) == (8, 6, {"duplicate_text": 2})


def test_a_source_that_shrank_or_was_added_leaves_what_was_taken(tmp_path):
    programme = _programme_of(tmp_path, TEXTS[:4])
    first, _ = _collect(programme)
    _write(tmp_path / "traffic.csv", TEXTS[3:5])
    second, told = _collect(programme)
    assert [prompt.text for prompt in second] == TEXTS[:5] and second[:4] == first
    assert "3 rows that were read at an earlier time are in no source any more" in told
    _write(tmp_path / "more.csv", TEXTS[4:6])
    programme = _programme(tmp_path, {"sources": [{"path": "traffic.csv"}, {"path": "more.csv"}]})
    third, told = _collect(programme)
    assert [prompt.text for prompt in third] == TEXTS[:6]
    assert "1 of 2 new rows taken; 2 rows known" in told
    forget_collected(programme)
    anew, told = _collect(programme, force=True)
    assert [prompt.text for prompt in anew] == TEXTS[3:6] and "3 of 4 rows taken" in told


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"privacy": {"email": "mask"}}, "privacy changed"),
        ({"traffic": {"path": "traffic.csv", "near_repeats": "drop"}}, "traffic.near_repeats changed"),
        ({"traffic": {"path": "traffic.csv", "limit": 3}}, "the limit of traffic.csv is smaller"),
        ({"traffic": {"path": "traffic.csv", "columns": {"slice": "text"}}}, "read in another way"),
        ({"traffic": {"path": "other.csv"}}, "traffic.csv is no source any more"),
    ],
)
def test_terms_that_changed_have_everything_read_anew(tmp_path, change, why):
    _write(tmp_path / "other.csv", TEXTS[2:5])
    _collect(_programme_of(tmp_path, [*TEXTS[:4], "write to anna@example.org about this"]))
    sections = dict(change)
    programme = _programme(tmp_path, sections.pop("traffic", None), **sections)
    after, told = _collect(programme)
    assert "every row is read anew, also those that are known: " in told and why in told
    assert "rows known" not in told
    if "privacy" in change:
        assert not any("anna@" in prompt.text for prompt in after)


def test_gold_that_grew_takes_its_texts_out_and_the_others_stay(tmp_path):
    _write(tmp_path / "traffic.csv", TEXTS[:4])
    _write(
        tmp_path / "train.csv", [("an example to learn from", "a"), ("and one of b", "b")], ("text", "label")
    )
    untouched = {"gold": {"path": "gold.csv", "margin": 0.1, "training": {"path": "train.csv"}}}
    first, _ = _collect(_programme(tmp_path, **untouched))
    _write(tmp_path / "gold.csv", [*GOLD, (TEXTS[1], "a")], ("text", "label"))
    programme = _programme(tmp_path, **untouched)
    second, told = _collect(programme)
    assert second == [first[0], *first[2:]]
    assert (
        "0 of 0 new rows taken; 4 rows known, 3 prompts in all, 1 fewer of the known ones, which gold has now"
        in told
    )
    assert [(item["id"], item["reason"]) for item in _rejected(programme)] == [
        ("traffic-2", "duplicate_of_gold")
    ]


KILLED = """
import os, signal, sys
from pathlib import Path
from tutelage.programme import Programme
from tutelage.stages import run_stage
folder, name, parent = sys.argv[1:]
replace = Path.replace
def killed(self, target):
    if (target.name, target.parent.name) == (name, parent):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killed
run_stage(Programme.open(folder), "collect")
"""


@pytest.mark.parametrize(
    ("file", "parent"),
    [
        (".whole", ".collecting"),
        ("rejected.parquet", "prompts"),
        ("collect.json", "state"),
    ],
)
def test_killed_at_any_moment_it_leaves_the_earlier_state_or_the_new_one(tmp_path, file, parent):
    programme = _programme_of(tmp_path, TEXTS[:4])
    first, _ = _collect(programme)
    _write(tmp_path / "traffic.csv", TEXTS[:7])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), file, parent], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = prompts_from_table(storage.read_table(programme.prompts))
    assert there[:4] == first and len(there) == (4 if file == ".whole" else 7)
    after, _ = _collect(programme)
    assert [prompt.text for prompt in after] == TEXTS[:7] and after[:4] == first
    assert not _rejected(programme) and not programme.collecting.exists()


SAID = st.lists(st.sampled_from([*TEXTS, *(text.upper() for text in TEXTS), TEXTS[0] + "!", " ", GOLD[0][0]]), max_size=8)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(before=SAID, after=SAID)
def test_in_two_steps_or_in_one_the_prompts_are_the_same(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("collect")
    before = [*before, "a text that is always there"]
    steps = _programme_of(folder, before)
    first, _ = _collect(steps)
    _write(folder / "traffic.csv", [*before, *after])
    second, _ = _collect(steps, force=True)
    rejected, about = _rejected(steps), storage.read_json(steps.profile)
    forget_collected(steps)
    at_once, _ = _collect(steps, force=True)
    assert second == at_once and second[: len(first)] == [second[n] for n in range(len(first))]
    assert [(one.id, one.text) for one in second[: len(first)]] == [(one.id, one.text) for one in first]
    # A text of gold that comes again repeats one in one reading; in two it is gold's, as the first was.
    assert sorted(item["row"] for item in rejected) == sorted(item["row"] for item in _rejected(steps))
    now = storage.read_json(steps.profile)
    assert about.pop("rejected").keys() <= now.pop("rejected").keys() | {"duplicate_of_gold"}
    assert about == now
    assert len({normalise(prompt.text) for prompt in second}) == len(second)


def _programme_of(folder, rows):
    _write(folder / "traffic.csv", rows)
    return _programme(folder)


def test_a_split_by_time_needs_times_and_leaves_what_was_there(tmp_path):
    programme = _programme_of(tmp_path, TEXTS[:4])
    first, _ = _collect(programme)
    with pytest.raises(DataError, match=r"traffic.split is time, and no row of traffic.csv has one. Mend"):
        _collect(_programme(tmp_path, {"path": "traffic.csv", "split": "time"}))
    assert prompts_from_table(storage.read_table(programme.prompts)) == first
    _write(
        tmp_path / "timed.csv", [(text, f"2025-06-1{n}") for n, text in enumerate(TEXTS[:4])], ("text", "at")
    )
    timed = {"path": "timed.csv", "split": "time", "columns": {"time": "at"}}
    after, _ = _collect(_programme(tmp_path, timed))
    assert [prompt.time for prompt in after] == sorted(prompt.time for prompt in after)


def test_a_database_is_asked_for_what_is_new(tmp_path):
    with sqlite3.connect(tmp_path / "support.db") as database:
        database.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY, body TEXT)")
        database.executemany("INSERT INTO requests (body) VALUES (?)", [(text,) for text in TEXTS[:4]])
    database.close()
    source = {
        "path": "sqlite:///support.db",
        "query": "SELECT id, body FROM requests ORDER BY id DESC",
        "columns": {"text": "body", "id": "id"},
    }
    programme = _programme(tmp_path, source)
    first, _ = _collect(programme)
    with sqlite3.connect(tmp_path / "support.db") as database:
        database.execute("INSERT INTO requests (body) VALUES (?)", (TEXTS[4],))
        database.execute("UPDATE requests SET body = 'edited since' WHERE id = 1")
    database.close()
    second, told = _collect(programme, force=True)
    assert second == [*first, *second[4:]] and [prompt.id for prompt in second[4:]] == ["5"]
    assert "1 of 2 new rows taken; 3 rows known, 5 prompts in all" in told
    assert [(item["id"], item["reason"]) for item in _rejected(programme)] == [("1", "duplicate_id")]
