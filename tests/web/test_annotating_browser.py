"""Labelling in a real browser, by keys alone: what a person presses is what is on disk."""

from __future__ import annotations

import operator

import pytest
from voting_world import serving

from chromium import NAMES, PROGRAM, Chromium
from tutelage.records import Fields, Prompt
from tutelage.review import AnnotationProject, AnnotationStore
from tutelage.tasks import Classify, Extract
from tutelage.web.annotating import make_app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on this machine"),
]

LABELS = tuple(
    f"{noun}_{verb}" for noun in ("card", "transfer", "top_up") for verb in "lost arrival fee pin".split()
)
PROMPTS = [Prompt(str(n), f"prompt {n}") for n in range(10)]
MANY = Classify(LABELS)
RECORD = {"type": "object", "properties": {"n": {"type": "integer"}, "kind": {"enum": ["a", "b"]}}}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def site(tmp_path):
    """`site(task, prompts)` serves them; the address, and the store."""
    stacks = []

    def serve(task, prompts=PROMPTS):
        store = AnnotationStore(tmp_path / "annotations.sqlite")
        project = AnnotationProject(prompts, store, task, agree=operator.eq)
        server = serving(make_app(project))
        host, port = server.__enter__()
        stacks.append((server, store))
        return f"http://{host}:{port}", store

    yield serve
    for server, store in stacks:
        server.__exit__(None, None, None)
        store.close()


def shows(text):
    """That the whole page of a prompt is there."""
    return (
        f"document.readyState === 'complete' && document.querySelector('.prompt')?.textContent === '{text}'"
    )


def typed(browser, text):
    for letter in text:
        browser.press(letter)


@pytest.mark.long
def test_ten_prompts_by_keys_among_many_labels(browser, site):
    address, store = site(MANY)
    browser.open(f"{address}/")
    browser.wait("document.activeElement.id === 'reviewer'")
    typed(browser, "Ada")
    browser.evaluate("document.querySelector('.names button').click()")
    wanted = []
    for number in range(10):
        browser.wait(shows(f"prompt {number}"))
        browser.wait("document.activeElement.id === 'find'")
        if number == 4:
            browser.press("Escape")
            browser.press("k")  # skipped
            continue
        label = LABELS[number]
        typed(browser, label.replace("_", " "))
        browser.press("Enter")
        wanted.append(label)
    browser.wait("document.body.textContent.includes('Nothing waits for you')")
    said = [(item.prompt, item.value) for item in store.standing()]
    kept = [prompt.hash for prompt in PROMPTS if prompt.id != "4"]
    assert [pair for pair in said if pair[1]] == list(zip(kept, wanted, strict=True))
    browser.press("s")  # what was skipped
    browser.wait(shows("prompt 4"))
    typed(browser, "fee")
    browser.press("ArrowDown")
    browser.press("Enter")
    browser.wait("document.body.textContent.includes('Nothing waits for you')")
    assert store.standing()[-1].value == "transfer_fee", "the second of those that have a fee"
    browser.press("u")
    browser.wait(shows("prompt 4"))
    browser.press("Escape")
    browser.press("m")
    typed(browser, "k u")  # in the comment no key is a command
    browser.press("Escape")
    browser.press("/")
    browser.wait("document.activeElement.id === 'find'")
    typed(browser, "arrival")
    browser.press("Enter")
    browser.wait("document.body.textContent.includes('Nothing waits for you')")
    assert (store.standing()[-1].value, store.standing()[-1].comment) == ("card_arrival", "k u")
    assert browser.complaints() == []
    assert all(url.startswith(address) for url in browser.asked() if url != "about:blank")


def test_nothing_found_chooses_nothing(browser, site):
    address, store = site(MANY)
    browser.open(f"{address}/as/Bob")
    browser.wait("document.activeElement.id === 'find'")
    typed(browser, "zzz")
    browser.press("Enter")
    assert browser.evaluate("!document.getElementById('nothing').hidden")
    assert store.standing() == []


def test_several_labels_are_ticked_and_saved(browser, site):
    address, store = site(Classify(("x", "y", "z"), multi_label=True))
    browser.open(f"{address}/as/Ada")
    browser.press("1")
    browser.press("3")
    browser.press("1")
    browser.press("2")
    browser.press("s")
    browser.wait(shows("prompt 1"))
    browser.press("s")  # none of them
    browser.wait(shows("prompt 2"))
    assert [item.value for item in store.standing()] == [("y", "z"), ()]


def test_a_record_is_saved_by_enter_and_told_where_it_does_not_fit(browser, site):
    address, store = site(Extract(RECORD))
    browser.open(f"{address}/as/Ada")
    browser.wait("document.activeElement.id === 'field-0'")
    typed(browser, "x7")
    browser.evaluate("document.getElementById('field-1').value = '1'")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, text="\r")
    browser.wait("document.querySelector('.told')?.textContent.includes(\"n is 'x7'\") ?? false")
    browser.evaluate("document.getElementById('field-0').value = '7'")
    browser.evaluate("document.getElementById('answer').requestSubmit()")
    browser.wait(shows("prompt 1"))
    assert [item.value for item in store.standing()] == [Fields({"n": 7, "kind": "b"})]


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(browser, site, width):
    labels = tuple("x" * 60 + str(n) for n in range(12))
    address, _ = site(Classify(labels), [Prompt("1", "prompt " + "y" * 400)])
    browser.resize(width, 800)
    for path in ("/", "/as/Ada"):
        browser.open(f"{address}{path}")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    heights = (
        "[...document.querySelectorAll('button:not([hidden])')].map(b => b.getBoundingClientRect().height)"
    )
    assert min(browser.evaluate(heights)) >= 40  # for thumbs


def test_dark_mode_has_its_colours(browser, site):
    address, _ = site(MANY)
    colours = []
    for scheme in ("light", "dark"):
        browser.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        browser.open(f"{address}/as/Ada")
        colours.append(
            browser.evaluate("getComputedStyle(document.querySelector('.option')).backgroundColor")
        )
    assert len(set(colours)) == 2
