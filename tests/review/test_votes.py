from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from tutelage.errors import DataError, UsageError
from tutelage.review import Choice, Vote, VoteStore, majority, reviewer_name


def vote(ballot="b1", reviewer="Ada", choice=Choice.A, comment=""):
    return Vote(ballot, f"prompt of {ballot}", reviewer, choice, '"yes"', '"no"', comment)


@pytest.fixture
def store(tmp_path):
    made = VoteStore(tmp_path / "evaluation" / "votes.sqlite")
    yield made
    made.close()


def test_the_last_vote_on_a_ballot_stands_and_none_is_deleted(store):
    store.cast(vote())
    store.cast(vote(reviewer="Ben", choice=Choice.NEITHER))
    store.cast(vote(choice=Choice.B, comment="on second thoughts"))
    assert store.standing() == [
        vote(reviewer="Ben", choice=Choice.NEITHER),
        vote(choice=Choice.B, comment="on second thoughts"),
    ]
    assert store.reviewers() == ["Ada", "Ben"]
    with sqlite3.connect(store.path) as file:
        assert file.execute("SELECT count(*) FROM votes").fetchone() == (3,)


def test_a_vote_taken_back_is_the_reviewers_last_of_this_poll(store):
    for name in ("b1", "b2", "b3"):
        store.cast(vote(name, comment=f"of {name}"))
    store.cast(vote("b2", "Ben"))
    assert store.withdraw_last("Ada", {"b1", "b2"}) == "b2"
    assert store.voted("Ada") == {"b1", "b3"} and store.voted("Ben") == {"b2"}
    assert store.last_comment("Ada", "b2") == "of b2"
    assert store.withdraw_last("Ada", {"b1", "b2"}) == "b1"
    assert store.withdraw_last("Ada", {"b1", "b2"}) is None
    assert store.withdraw_last("Eve", {"b1"}) is None


def test_preferred_is_the_answer_itself():
    assert [vote(choice=choice).preferred for choice in Choice] == ['"yes"', '"no"', None, None]


def test_a_vote_is_on_disk_when_cast_returns(tmp_path):
    path = tmp_path / "votes.sqlite"
    code = (
        "import os\nfrom pathlib import Path\nfrom tutelage.review import Choice, Vote, VoteStore\n"
        f"store = VoteStore(Path({str(path)!r}))\n"
        "store.cast(Vote('b', 'p', 'Ada', Choice.A, '1', '2'))\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    store = VoteStore(path)
    assert store.voted("Ada") == {"b"}
    store.close()


def test_two_servers_write_to_one_file(store):
    other = VoteStore(store.path)
    store.cast(vote())
    other.cast(vote(reviewer="Ben"))
    assert store.standing() == other.standing()
    other.close()


def test_a_file_that_is_none_of_ours_is_named(tmp_path):
    path = tmp_path / "votes.sqlite"
    path.write_bytes(b"something else entirely, and long enough to be looked at" * 40)
    with pytest.raises(DataError, match=r"votes\.sqlite can't be used.*Mend: check"):
        VoteStore(path)
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as file:
        file.execute("PRAGMA user_version=9")
    file.close()
    with pytest.raises(UsageError, match="schema version 9, and this Tutelage knows 1"):
        VoteStore(newer)


@pytest.mark.parametrize("name", ["", "  ", "\n", "x" * 61, "a\x00b"])
def test_a_name_that_is_none(name):
    with pytest.raises(UsageError, match="can't stand for a reviewer"):
        reviewer_name(name)


def test_a_name_has_one_spelling():
    assert reviewer_name("  Zoe\u0308   Quinn ") == "Zo\u00eb Quinn"


@pytest.mark.parametrize(
    "said, most",
    [([], None), (["a"], "a"), (["a", "b"], None), (["a", "b", "a"], "a"), (["a", "b", "c", "a"], None)],
)
def test_majority_is_more_than_half(said, most):
    assert majority(said) == most
