"""The pages on which people label gold, over HTTP as a browser without scripts speaks it."""

from __future__ import annotations

import operator
from contextlib import contextmanager

import pytest
from voting_world import HOSTILE, Browser, serving

from tutelage.records import Fields, Prompt
from tutelage.review import AnnotationProject, AnnotationStore
from tutelage.tasks import Classify, Extract, Generate, Judge
from tutelage.web.annotating import make_app

PROMPTS = [Prompt(str(n), f"prompt {n}") for n in range(3)]
RECORD = {"type": "object", "properties": {"n": {"type": "integer"}, "who": {"type": ["string", "null"]}}}


@contextmanager
def annotating(folder, task, prompts=PROMPTS, *, key="", **settings):
    store = AnnotationStore(folder / "annotations.sqlite")
    project = AnnotationProject(prompts, store, task, agree=operator.eq, **settings)
    try:
        with serving(make_app(project, key=key)) as (_, port):
            yield Browser(port), store, project
    finally:
        store.close()


def test_two_people_label_and_a_third_settles_without_a_script(tmp_path):
    with annotating(tmp_path, Classify(("x", "y")), title="inbox") as (browser, store, project):
        assert "3 prompts, each to be answered by 2 people, independently" in browser.get("/")
        for name, choices in (("Ada", "011"), ("Bob", "010")):
            browser.get("/")
            page = browser.send("/", reviewer=name)
            for number, choice in enumerate(choices):
                assert f"prompt {number}" in page and f"{3 - number} left" in page
                page = browser.send(f"/as/{name}/answer", choice=choice, comment=f"{name} {number}")
                last = store.standing()[-1]
                assert (last.annotator, last.value, last.comment) == (
                    name,
                    "xy"[int(choice)],
                    f"{name} {number}",
                )
        page = browser.get("/as/Cem")
        assert "People disagree" in page and "prompt 2" in page
        assert "Ada 2" in page and "Ada 1" not in page, "comments on this prompt, and no other"
        page = browser.send("/as/Cem/answer", take='"x"')
        assert "Nothing waits for you, Cem" in page
        assert project.tally().settled == 3
        assert "Ada</a> <span>3 answered" in browser.get("/")


def test_nobody_sees_what_another_said_before_answering(tmp_path):
    with annotating(tmp_path, Classify(("x", "y"))) as (browser, _, _project):
        before = browser.get("/as/Bob")
        browser.get("/as/Ada")
        browser.send("/as/Ada/answer", choice="1", comment="surely y")
        after = browser.get("/as/Bob")
        assert "surely y" not in after
        assert before.split("<form")[1].split("token")[0] == after.split("<form")[1].split("token")[0]


def test_skip_undo_and_what_was_skipped(tmp_path):
    with annotating(tmp_path, Classify(("x", "y"))) as (browser, store, _):
        browser.get("/as/Ada")
        assert "prompt 1" in browser.send("/as/Ada/answer", skip="yes", comment="unclear")
        assert "prompt 2" in browser.send("/as/Ada/answer", choice="0")
        page = browser.send("/as/Ada/undo")
        assert "prompt 1" in page and "option before" in page, "what was said is still marked"
        browser.send("/as/Ada/answer", choice="0")
        page = browser.send("/as/Ada/answer", choice="0")
        assert "Go through the 1 you skipped" in page
        page = browser.send("/as/Ada/skipped")
        assert "prompt 0" in page and "unclear</textarea>" in page
        assert len(store.standing()) == 2


def test_several_labels_a_scale_a_record_and_a_text(tmp_path):
    several = Classify(("x", "y", "z"), multi_label=True)
    scale = Judge(("1", "2", "3"), "rubric", scored=True)
    cases = [
        (several, {"choice-0": "on", "choice-2": "on"}, ("x", "z")),
        (scale, {"choice": "2"}, "3"),
        (Extract(RECORD), {"field-0": "7", "field-1": ""}, Fields({"n": 7, "who": None})),
        (Generate(), {"text": " a reply "}, "a reply"),
    ]
    for number, (task, sent, value) in enumerate(cases):
        with annotating(tmp_path / str(number), task) as (browser, store, _):
            browser.get("/as/Ada")
            browser.send("/as/Ada/answer", **sent)
            assert [item.value for item in store.standing()] == [value]


def test_what_was_typed_stays_where_it_does_not_fit(tmp_path):
    with annotating(tmp_path, Extract(RECORD)) as (browser, store, _):
        browser.get("/as/Ada")
        page = browser.send(
            "/as/Ada/answer", **{"field-0": "seven", "field-1": "Bob", "comment": "see line 3"}
        )
        assert browser.status == 400 and "n is &#39;seven&#39;" in page and "Mend:" in page
        assert 'value="seven"' in page and 'value="Bob"' in page and "see line 3</textarea>" in page
        assert store.standing() == []


def test_what_was_typed_stays_after_a_restart(tmp_path):
    with annotating(tmp_path, Generate()) as (before, _, _p):
        before.get("/as/Ada")
    with annotating(tmp_path, Generate()) as (after, store, _p):
        after.cookies, after.text = before.cookies, before.text
        page = after.send("/as/Ada/answer", text="a long reply")
        assert after.status == 403 and "started anew" in page and "a long reply</textarea>" in page
        after.send("/as/Ada/answer", text="a long reply")
        assert [item.value for item in store.standing()] == ["a long reply"]


def test_an_answer_needs_a_page_of_ours(tmp_path):
    with annotating(tmp_path, Classify(("x", "y"))) as (browser, store, _):
        browser.get("/as/Ada")
        for cookies, token in (({}, "x"), (browser.cookies, ""), ({"tutelage-annotate": "theirs"}, "x")):
            forged = Browser(browser.port)
            forged.cookies = dict(cookies)
            for path in ("/as/Ada/answer", "/as/Ada/undo", "/as/Ada/skipped", "/"):
                body = f"prompt={PROMPTS[0].hash}&choice=0&token={token}&reviewer=Ada"
                forged.request("POST", path, body)
                assert forged.status == 403, path
        browser.request("POST", "/as/Ada/answer", "", Origin="http://evil.example")
        assert browser.status == 403
        assert store.standing() == []
        browser.get("/as/Ada", Host="evil.example")
        assert browser.status == 421


def test_an_answer_that_nobody_gave_is_none(tmp_path):
    with annotating(tmp_path, Classify(("x", "y"))) as (browser, store, _):
        browser.get("/as/Ada")
        assert "nobody gives that answer" in browser.send("/as/Ada/answer", take='"z"')
        browser.get("/as/Ada")
        assert "no prompt" in browser.send("/as/Ada/answer", prompt="0" * 32, choice="0")
        assert store.standing() == []


def test_markup_is_shown_as_it_stands_and_every_answer_has_the_headers(tmp_path):
    task = Classify((HOSTILE[:40], "y"), descriptions={"y": HOSTILE})
    with annotating(tmp_path, task, [Prompt("1", HOSTILE, slice=HOSTILE)], title=HOSTILE) as (browser, *_):
        for path in ("/", "/as/Ada", "/as/%3Cscript%3E", "/nothing"):
            page = browser.get(path)
            assert "<script>document" not in page
            policy = browser.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert browser.headers["Cache-Control"] == "no-store"


def test_beyond_this_machine_the_address_has_a_key(tmp_path):
    with annotating(tmp_path, Classify(("x", "y")), key="sesame") as (browser, *_):
        for path in ("/", "/as/Ada", "/?key=other"):
            assert "prompt" not in browser.get(path) and browser.status == 403
        browser.get("/?key=sesame")
        assert "prompt 0" in browser.get("/as/Ada")


@pytest.mark.parametrize("count, shown", [(9, 9), (10, 0)])
def test_few_labels_have_keys_and_many_are_searched(tmp_path, count, shown):
    labels = tuple(f"label_{n}" for n in range(count))
    with annotating(tmp_path, Classify(labels)) as (browser, *_):
        page = browser.get("/as/Ada")
        assert page.count("data-key=") - 2 == shown  # skip and undo have theirs
        assert ('type="search"' in page) is (shown == 0)
