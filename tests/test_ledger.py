"""The journal. What was done, paid and decided can't be changed without its first wrong line being named."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import IntegrityError
from tutelage.ledger import Journal, _entry_hash

ENTRIES = 50
WINDOW = 1 << 16  # how much of the file's end is read at first to find the last entry


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> list[bytes]:
    """The lines of a journal of 50 entries."""
    journal = Journal(tmp_path_factory.mktemp("whole") / "ledger.jsonl")
    for number in range(ENTRIES):
        journal.append("paid", prompt=f"Jürgen's message {number} ✓", cost=number / 8, tags=["a", None])
    return journal.path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "ledger.jsonl")


def _broken_at(journal: Journal, lines: list[bytes]) -> int:
    """The number of the line that verifying names."""
    journal.path.write_bytes(b"".join(lines))
    with pytest.raises(IntegrityError) as caught:
        journal.verify()
    found = re.search(r"ledger\.jsonl, line (\d+):", str(caught.value))
    assert found is not None, caught.value
    return int(found[1])


def _resealed(line: bytes, **changes) -> bytes:
    """A line as a careful forger writes it: its own hash fits what it says now."""
    content = json.loads(line) | changes
    content["hash"] = _entry_hash(
        *(content[name] for name in ("sequence", "time", "event", "data", "previous"))
    )
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def test_a_whole_journal_is_whole(journal, lines):
    journal.path.write_bytes(b"".join(lines))
    assert journal.verify() == ENTRIES
    entries = list(journal.entries())
    assert [entry.sequence for entry in entries] == list(range(1, ENTRIES + 1))
    assert [entry.previous for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert journal.head() == entries[-1]
    assert entries[2].data == {"prompt": "Jürgen's message 2 ✓", "cost": 0.25, "tags": ["a", None]}


def test_a_bit_flipped_anywhere_in_any_line_names_that_line(journal, lines):
    chance = random.Random(7)
    for index, line in enumerate(lines):
        for place in chance.sample(range(len(line) - 1), 8):
            flipped = bytearray(line)
            flipped[place] ^= 1 << chance.randrange(8)
            changed = [*lines[:index], bytes(flipped), *lines[index + 1 :]]
            assert _broken_at(journal, changed) == index + 1, (place, flipped)


@pytest.mark.parametrize("name", ["sequence", "time", "event", "data", "previous", "hash"])
def test_a_changed_part_of_any_line_names_that_line(journal, lines, name):
    other = {"sequence": 7.5, "data": {"cost": 0}}
    for index, line in enumerate(lines):
        changed = json.dumps(json.loads(line) | {name: other.get(name, "f" * 64)}).encode() + b"\n"
        assert _broken_at(journal, [*lines[:index], changed, *lines[index + 1 :]]) == index + 1


def test_a_deleted_line_is_named(journal, lines):
    for index in range(ENTRIES - 1):
        assert _broken_at(journal, lines[:index] + lines[index + 1 :]) == index + 1


def test_swapped_neighbours_are_named(journal, lines):
    for index in range(ENTRIES - 1):
        swapped = [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]]
        assert _broken_at(journal, swapped) == index + 1


def test_an_inserted_line_is_named(journal, lines):
    for index in range(1, ENTRIES + 1):
        for foreign in (lines[index - 1], lines[0], b"{}\n", b"\n", b"[]\n", b"\xff\n", b"null\n"):
            assert _broken_at(journal, [*lines[:index], foreign, *lines[index:]]) == index + 1


def test_a_forged_line_with_a_hash_of_its_own_breaks_the_next(journal, lines):
    for index in range(ENTRIES - 1):
        forged = _resealed(lines[index], event="refunded")
        assert _broken_at(journal, [*lines[:index], forged, *lines[index + 1 :]]) == index + 2


def test_a_forged_last_line_has_to_count_on(journal, lines):
    for sequence in (ENTRIES - 1, ENTRIES + 1, 0, "50"):
        forged = _resealed(lines[-1], sequence=sequence)
        assert _broken_at(journal, [*lines[:-1], forged]) == ENTRIES


def test_a_forged_insertion_breaks_the_line_after_it(journal, lines):
    for index in range(1, ENTRIES):
        before = json.loads(lines[index - 1])
        forged = _resealed(lines[0], sequence=index + 1, previous=before["hash"], event="refunded")
        assert _broken_at(journal, [*lines[:index], forged, *lines[index:]]) == index + 2


@pytest.mark.long
def test_at_each_of_a_thousand_entries_the_place_is_named(journal):
    for number in range(1_000):
        journal.append("paid", prompt=f"message {number} ✓", cost=number / 8)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    chance = random.Random(11)
    for index, line in enumerate(lines):
        flipped = bytearray(line)
        flipped[chance.randrange(len(line) - 1)] ^= 1 << chance.randrange(8)
        inserted = _resealed(lines[index - 1], sequence=index + 1, event="refunded")
        before, after = lines[:index], lines[index + 1 : index + 3]
        assert _broken_at(journal, [*before, bytes(flipped), *after]) == index + 1
        assert _broken_at(journal, [*before, inserted, line, *after]) == index + 1
        if after:  # a last line that was cut off can't be seen from the file
            assert _broken_at(journal, [*before, *after]) == index + 1
            assert _broken_at(journal, [*before, after[0], line, *after[1:]]) == index + 1


@pytest.mark.parametrize(
    "tampered",
    [
        pytest.param(rb'{"prompt": "\ud800"}', id="lone surrogate"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
        pytest.param(b"9" * 10_000, id="huge number"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b'"text"', id="text"),
    ],
)
def test_data_of_any_kind_put_into_a_line_names_it(journal, lines, tampered):
    # Whatever verifying stumbles over on the way, the line has to be named.
    content = json.loads(lines[9]) | {"data": "here"}
    changed = json.dumps(content).encode().replace(b'"here"', tampered) + b"\n"
    assert _broken_at(journal, [*lines[:9], changed, *lines[10:]]) == 10


def test_a_key_that_stands_twice_is_found(journal, lines):
    # Readers of JSON differ in which of the two they take.
    changed = lines[9].replace(b'"event": "paid"', b'"event": "refunded", "event": "paid"')
    assert changed != lines[9]
    assert _broken_at(journal, [*lines[:9], changed, *lines[10:]]) == 10


def test_a_torn_last_line_is_passed_over_and_mended_by_the_next_entry(journal, lines):
    for cut in (1, 2, 40, len(lines[-1]) - 1):
        journal.path.write_bytes(b"".join(lines)[:-cut])
        assert journal.verify() == ENTRIES - 1
        assert journal.head().sequence == ENTRIES - 1
        entry = journal.append("again")
        assert entry.sequence == ENTRIES
        assert journal.verify() == ENTRIES
        assert journal.path.read_bytes().count(b"\n") == ENTRIES


def test_a_torn_first_line_leaves_an_empty_journal(journal, lines):
    journal.path.write_bytes(lines[0][:30])
    assert (journal.verify(), journal.head()) == (0, None)
    assert journal.append("first").sequence == 1
    assert journal.verify() == 1


def test_nothing_is_written_after_a_last_line_that_is_no_entry(journal, lines):
    for damaged in (b"\n", b"{}\n", b"text\n", b"\xff\n"):
        content = b"".join(lines) + damaged
        journal.path.write_bytes(content)
        with pytest.raises(IntegrityError, match="last line"):
            journal.append("more")
        assert journal.path.read_bytes() == content


def test_an_absent_journal_is_empty_and_its_folder_is_made(tmp_path):
    journal = Journal(tmp_path / "new" / "ledger.jsonl")
    assert (journal.verify(), journal.head(), list(journal.entries())) == (0, None, [])
    assert not journal.path.parent.exists()
    assert journal.append("first").sequence == 1


@pytest.mark.parametrize(
    "sizes",
    [
        [WINDOW - 500, 10], [10, WINDOW * 3], [WINDOW * 3, 10], [WINDOW * 5, WINDOW * 5, 10, WINDOW * 5],
        *([WINDOW - 300 + more, 10] for more in range(0, 120, 10)),
    ],
    ids=str,
)  # fmt: skip
def test_entries_larger_than_the_window_are_chained(journal, sizes):
    for size in sizes:
        journal.append("large", text="é" * (size // 2))
    assert journal.append("small").sequence == len(sizes) + 1
    assert journal.verify() == len(sizes) + 1


@pytest.mark.parametrize("torn", [10, WINDOW, WINDOW * 3])
def test_a_torn_line_larger_than_the_window_is_mended(journal, torn):
    journal.append("large", text="x" * WINDOW * 2)
    journal.append("large", text="x" * WINDOW * 4)
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: content.index(b"\n") + 1 + torn])
    assert journal.append("again").sequence == 2
    assert journal.verify() == 2


_WRITER = """
import sys
from pathlib import Path
from tutelage.ledger import Journal
journal = Journal(Path(sys.argv[1]))
each = int(sys.argv[3])
for number in range(each):
    if number in (0, each // 2):  # where all wait for each other, so that nobody is done before others begin
        print("ready", flush=True)
        sys.stdin.readline()
    journal.append("written", by=sys.argv[2], number=number, text="x" * (number * 997 % 3000))
"""


def test_four_processes_at_once_leave_one_whole_chain(journal):
    each = 40
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(journal.path), str(writer), str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(4)
    ]
    for _ in range(2):
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert journal.verify() == 4 * each
    written = [(entry.data["by"], entry.data["number"]) for entry in journal.entries()]
    for writer in map(str, range(4)):
        assert [number for by, number in written if by == writer] == list(range(each))
    turns = sum(one[0] != next_[0] for one, next_ in itertools.pairwise(written))
    assert turns > 3, "the writers never met"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(entries=st.lists(st.dictionaries(st.sampled_from(["a", "b", "n"]), _values), min_size=1, max_size=4))
def test_whatever_is_written_is_read_back_and_whole(tmp_path_factory, entries):
    journal = Journal(tmp_path_factory.mktemp("any") / "ledger.jsonl")
    written = [journal.append("any", **data) for data in entries]
    assert list(journal.entries()) == written
    assert [entry.data for entry in written] == entries
    assert journal.verify() == len(entries)


def test_what_json_has_no_word_for_is_written_as_text(journal):
    entry = journal.append("any", path=Path("a/b"), labels=("x", "y"), nothing=float("nan"))
    assert (entry.data["path"], entry.data["labels"]) == ("a/b", ["x", "y"])
    journal.append("next")
    assert journal.verify() == 2


def test_text_that_is_no_unicode_can_be_written(journal):
    # As a file's name that isn't UTF-8 reaches Python.
    journal.append("any", path=b"caf\xe9.csv".decode("utf-8", "surrogateescape"))
    assert journal.append("next").sequence == 2
    assert journal.verify() == 2
