"""Voting in a real browser, by keys: what a person presses is what is on disk."""

from __future__ import annotations

import pytest
from voting_world import BALLOTS, served

from chromium import NAMES, PROGRAM, Chromium
from tutelage.records import Prompt
from tutelage.review import Ballot, Choice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on this machine"),
]


def shows(number: int) -> str:
    """That the whole page of a ballot is there."""
    return f"document.readyState === 'complete' && document.querySelector('.prompt')?.textContent === 'prompt {number}'"


def test_keys_vote_comment_and_take_back(tmp_path):
    with served(tmp_path / "votes.sqlite") as (host, port, store), Chromium(tmp_path) as browser:
        browser.open(f"http://{host}:{port}/")
        browser.wait("document.activeElement.id === 'reviewer'")
        for letter in "Ada":
            browser.press(letter)
        browser.evaluate("document.querySelector('.names button').click()")
        browser.wait(shows(0))
        browser.press("c")
        browser.wait("document.activeElement.id === 'comment'")
        for letter in "a bun":  # in the comment no key is a vote
            browser.press(letter)
        browser.press("Escape")
        assert store.standing() == []
        browser.press("a")
        browser.wait(shows(1))
        browser.press("x")  # no vote at all
        browser.press("N")
        browser.wait(shows(2))
        browser.press("u")
        browser.wait(shows(1))
        browser.press("f")
        browser.wait(shows(2))
        browser.press("b")
        browser.wait(shows(3))
        said = [(vote.ballot, vote.choice, vote.comment) for vote in store.standing()]
        keys = [ballot.key for ballot in BALLOTS]
        assert said == [(keys[0], Choice.A, "a bun"), (keys[1], Choice.BOTH, ""), (keys[2], Choice.B, "")]
        assert browser.complaints() == []
        assert all(url.startswith(f"http://{host}:{port}/") for url in browser.asked())


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path, width):
    ballots = [Ballot(Prompt("1", "prompt " + "x" * 400), "yes", ("y" * 300, "no"))]
    with served(tmp_path / "votes.sqlite", ballots) as (host, port, _), Chromium(tmp_path) as browser:
        browser.resize(width, 800)
        for path in ("/", "/as/Ada"):
            browser.open(f"http://{host}:{port}{path}")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
        buttons = browser.evaluate(
            "[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect().height)"
        )
        assert min(buttons) >= 40  # for thumbs
