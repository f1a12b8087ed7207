"""The pages in a real browser: every page without a complaint, decisions by mouse, verdicts by keys."""

from __future__ import annotations

import time

import pytest
from served_world import KEY_NAME, TEACHER_KEY, label, live, write_programme

from chromium import NAMES, PROGRAM, Chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on this machine"),
]
ITEMS = 10


@pytest.fixture
def served(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    settings = {"people": {"second": 0.0}}
    with live(write_programme(tmp_path / "inbox", faulty_teacher, settings)) as served:
        for number in range(ITEMS):
            text = f"card {number} {'x' * 300}"
            faulty_teacher.answers[text] = label("refund")
            served.predict(text, slice=f"slice {number % 2}")
        yield served


def _log_in(browser, served, role):
    browser.open(f"{served.url}/login")
    browser.wait("document.activeElement.id === 'key'")
    browser.evaluate(f"document.getElementById('key').value = {served.keys[role]!r}")
    browser.evaluate("document.querySelector('.login button').click()")
    browser.wait("document.readyState === 'complete' && !!document.querySelector('.stages')")


def _shows(browser, selector, text):
    browser.wait(
        f"document.readyState === 'complete' && !!document.querySelector({selector!r})?.textContent.includes({text!r})"
    )


def test_a_walk_over_every_page_and_decisions_on_the_way(tmp_path, served):
    with Chromium(tmp_path) as browser:
        browser.resize(1280, 900)
        _log_in(browser, served, "admin")
        browser.wait("!!document.querySelector('#traffic canvas')")
        for width, scheme in ((1280, "light"), (360, "dark")):
            browser.resize(width, 800)
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.call("Emulation.setEmulatedMedia", features=[feature])
            for path in (
                "/",
                "/disagreements",
                "/review",
                "/decisions",
                "/decisions?stage=full",
                "/students",
            ):
                browser.open(f"{served.url}{path}")
                assert browser.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
                paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
                assert paper == ("rgb(20, 21, 24)" if scheme == "dark" else "rgb(253, 252, 250)")
                heights = browser.evaluate(
                    "[...document.querySelectorAll('main button, main .button')].map(b => b.getBoundingClientRect().height)"
                )
                assert min(heights, default=40) >= 40, path  # for thumbs
        browser.open(f"{served.url}/decisions")
        browser.evaluate("document.querySelector('input[value=full]').click()")
        browser.evaluate("document.querySelector('.ask button').click()")
        _shows(browser, "#gate", "The gate on full")
        browser.evaluate("document.querySelector('#step button').click()")  # the reason is wanted first
        assert browser.evaluate("document.activeElement.id") == "reason"
        browser.evaluate("document.getElementById('reason').value = 'it was tried for a week'")
        browser.evaluate("document.querySelector('#step button').click()")
        _shows(browser, ".journal li", "past the gate")
        assert served.server.rollouts.now.stage == "full"
        browser.open(f"{served.url}/")
        _shows(browser, ".stages [aria-current]", "full")
        served.predict("refund")  # what changes is shown without a hand
        browser.wait("document.querySelector('.sides-list .student')?.textContent.includes('1') === true")
        browser.evaluate("document.getElementById('back').click()")
        _shows(browser, ".journal li b", "shadow")
        assert served.server.rollouts.now.stage == "shadow"
        assert browser.complaints() == []
        assert all(url.startswith(f"{served.url}/") for url in browser.asked())


@pytest.mark.long
def test_ten_items_are_reviewed_by_keys(tmp_path, served):
    reviews = served.server.store.reviews
    ends = time.monotonic() + 60
    while reviews.counts(now=time.time()).open < ITEMS and time.monotonic() < ends:
        time.sleep(0.05)  # the server puts them there by itself
    with Chromium(tmp_path) as browser:
        _log_in(browser, served, "reviewer")
        browser.open(f"{served.url}/review")
        for done in range(ITEMS):
            _shows(browser, "#counts", f"{ITEMS - done} open")
            if done == 3:
                browser.press("c")
                browser.wait("document.activeElement.id === 'comment'")
                browser.press("2")  # in the comment no key is a verdict
                browser.press("Escape")
            browser.press("0" if done == 5 else "1")
        _shows(browser, "#counts", "0 open")
        browser.press("u")
        _shows(browser, "#counts", "1 open")
        browser.press("3")
        _shows(browser, "#counts", "0 open")
        assert browser.complaints() == []
    verdicts = [item.verdicts[0] for item in reviews.decided()]
    values = sorted(str(verdict.value) for verdict in verdicts)
    assert values == ['"card"'] * (ITEMS - 2) + ['"refund"', "None"]
    assert [verdict.comment for verdict in verdicts if verdict.comment] == ["2"]
