"""The pages on which people vote, over HTTP as a browser without scripts speaks it."""

from __future__ import annotations

import re
import socket

import pytest
from voting_world import BALLOTS, HOSTILE, Browser, served

from tutelage.config import is_loopback
from tutelage.errors import UsageError
from tutelage.records import Fields, Prompt
from tutelage.review import Ballot, Choice
from tutelage.web.voting import serve_poll


@pytest.fixture
def site(tmp_path):
    with served(tmp_path / "votes.sqlite") as (_, port, store):
        yield Browser(port), store


def shown_answers(page):
    return re.findall(r'<p class="prose said">(\w+)</p>', page)[1:]  # the first is gold's


def test_from_a_name_to_the_last_vote_without_a_script(site):
    browser, store = site
    assert "Two answers, side by side" in browser.get("/")
    page = browser.send("/", reviewer="  Ada / Grace ")
    for number in range(len(BALLOTS)):
        assert f"{number + 1} of 4" in page and f"prompt {number}" in page
        a, b = shown_answers(page)
        page = browser.send(
            "/as/Ada%20%2F%20Grace/vote", choice="a" if a == "yes" else "b", comment=f"c{number}"
        )
        last = store.standing()[-1]
        assert (last.reviewer, last.preferred, last.comment) == ("Ada / Grace", '"yes"', f"c{number}")
        assert {last.a, last.b} == {'"yes"', '"no"'} and {a, b} == {"yes", "no"}
    assert "All done, Ada / Grace" in page
    assert len(store.standing()) == 4


def test_a_vote_is_taken_back_with_its_comment(site):
    browser, store = site
    browser.get("/as/Ada")
    assert "disabled" in browser.text.split("Take back")[0].rsplit("<button", 1)[1]
    browser.send("/as/Ada/vote", choice="both", comment="a slip")
    page = browser.send("/as/Ada/undo")
    assert "prompt 0" in page and "a slip</textarea>" in page and store.standing() == []
    browser.send("/as/Ada/undo")  # nothing is left to take back
    assert browser.status == 200


def test_nothing_on_the_page_tells_whose_answer_is_whose(site):
    browser, _ = site
    page = browser.get("/as/Ada")
    assert not re.search("teacher|student|control", page)
    sides = {name: shown_answers(browser.get(f"/as/{name}")) for name in "ABCDEFGHIJ"}
    assert len({tuple(side) for side in sides.values()}) == 2


def test_reviewers_go_on_where_they_were_after_a_restart(tmp_path):
    path = tmp_path / "votes.sqlite"
    with served(path) as (_, port, _store):
        before = Browser(port)
        before.get("/as/Ada")
        before.send("/as/Ada/vote", choice="neither")
    with served(path) as (_, port, store):
        after = Browser(port)
        after.cookies, after.text = before.cookies, before.text
        page = after.send("/as/Ada/vote", choice="a", comment="typed before the restart")
        assert (
            after.status == 403 and "started anew" in page and "typed before the restart</textarea>" in page
        )
        assert len(store.standing()) == 1 and "prompt 1" in page
        after.send("/as/Ada/vote", choice="a")
        assert [vote.choice for vote in store.standing()] == [Choice.NEITHER, Choice.A]
        assert re.search(r'<a href="/as/Ada">Ada</a> <span>2 of 4', after.get("/"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1"])
def test_a_request_by_another_name_is_turned_away(site, host):
    browser, _ = site
    assert "prompt" not in browser.get("/as/Ada", Host=host)
    assert browser.status in {400, 421}


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8421"])
def test_a_tunnel_may_have_another_port(site, host):
    browser, _ = site
    assert "prompt 0" in browser.get("/as/Ada", Host=host)


def test_a_vote_needs_a_page_of_ours(site):
    browser, store = site
    browser.get("/as/Ada")
    key = BALLOTS[0].key
    for cookies, token in (({}, "x"), (browser.cookies, ""), ({"tutelage-vote": "theirs"}, "x")):
        forged = Browser(browser.port)
        forged.cookies = dict(cookies)
        for path in ("/as/Ada/vote", "/as/Ada/undo", "/"):
            forged.request("POST", path, f"ballot={key}&choice=a&token={token}&reviewer=Ada")
            assert forged.status == 403, path
    browser.request("POST", "/as/Ada/vote", "", Origin="http://evil.example")
    assert browser.status == 403 and "another server" in browser.text
    browser.request("POST", "/as/Ada/vote", "", Origin="null")
    assert browser.status == 403
    assert store.standing() == []


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"choice": "c"}, "choice"),
        ({"choice": ""}, "choice"),
        ({"ballot": "0" * 32, "choice": "a"}, "no ballot"),
        ({"choice": "a", "comment": "x" * 2_001}, "2,001 characters"),
    ],
)
def test_what_is_no_vote_is_told(site, changes, told):
    browser, store = site
    browser.get("/as/Ada")
    assert told in browser.send("/as/Ada/vote", **changes) and "Mend:" in browser.text
    assert browser.status == 400 and store.standing() == []


def test_a_body_has_a_limit(site):
    browser, store = site
    browser.get("/as/Ada")
    page = browser.send("/as/Ada/vote", choice="a", comment="x" * 70_000)
    assert browser.status == 413 and "64 KiB" in page and store.standing() == []


@pytest.mark.parametrize("path", ["/nothing", "/static/../voting.py", "/static/vote_page.html.j2", "/as/%20"])
def test_every_answer_has_the_headers(site, path):
    browser, _ = site
    for where in ("/", "/as/Ada", path):
        browser.get(where)
        policy = browser.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert browser.headers["X-Content-Type-Options"] == "nosniff"
        assert browser.headers["Cache-Control"] == "no-store"
    assert browser.status in {400, 404}


def test_markup_is_shown_as_it_stands(tmp_path):
    ballots = [
        Ballot(Prompt("1", HOSTILE, slice=HOSTILE), HOSTILE, (HOSTILE, None)),
        Ballot(Prompt("2", "record"), None, (Fields({HOSTILE: HOSTILE, "n": None}), ("a", "b"))),
    ]
    with served(tmp_path / "votes.sqlite", ballots, title=HOSTILE, instruction=HOSTILE) as (_, port, _s):
        browser = Browser(port)
        pages = [browser.get("/as/Ada")]
        pages.append(browser.send("/as/Ada/vote", choice="both", comment=HOSTILE + "\ud800"))
        pages.append(browser.send("/as/Ada/undo"))
        pages.append(browser.get("/as/%3Cscript%3E"))
    for page in pages:
        assert "<script>document" not in page and page.count("<script") == 1
    assert "&lt;script&gt;document" in pages[0] and "No usable answer" in pages[0] and "a, b" in pages[1]


def test_gold_can_be_kept_back(tmp_path):
    with served(tmp_path / "votes.sqlite", show_gold=False) as (_, port, _s):
        assert "Gold" not in Browser(port).get("/as/Ada")


def test_of_one_answer_people_say_whether_it_is_right(tmp_path):
    ballots = [Ballot(Prompt("1", "prompt"), None, ("yes", "yes"))]
    with served(tmp_path / "votes.sqlite", ballots) as (_, port, store):
        browser = Browser(port)
        assert "It is wrong" in browser.get("/as/Ada") and "is better" not in browser.text
        assert "are the same" in browser.send("/as/Ada/vote", choice="a")
        browser.get("/as/Ada")
        assert "All done" in browser.send("/as/Ada/vote", choice="neither")
        assert len(store.standing()) == 1


def test_beyond_this_machine_the_address_has_a_key(tmp_path):
    with served(tmp_path / "votes.sqlite", key="sesame") as (_, port, _s):
        browser = Browser(port)
        for path in ("/", "/as/Ada", "/?key=other", "/static/keys.js"):
            browser.get(path)
            assert browser.status == 403 and "prompt" not in browser.text
        browser.get("/?key=sesame")
        assert "prompt 0" in browser.get("/as/Ada")


def test_addresses_that_are_none():
    with pytest.raises(UsageError, match="every address of this machine"):
        serve_poll(None, host="0.0.0.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="another --port"):
            serve_poll(None, port=taken.getsockname()[1])
    assert is_loopback("127.0.0.2") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("10.0.0.1") and not is_loopback("example.org")
