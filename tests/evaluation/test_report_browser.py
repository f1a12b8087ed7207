"""The report in a real browser: every figure is drawn, hostile content does nothing, nothing is loaded."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import pytest
import report_sections as sections
import report_world as world

from chromium import NAMES, PROGRAM, Chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on this machine"),
]

ALL = "performance.getEntriesByName('all figures').length === 1 || !window.echarts"
DRAWN = r'data-chart="[^"]+"[^>]*><div[^>]*><svg'


def browse(page: Path, folder: Path, *more: str) -> tuple[str, list[str], set[str]]:
    """The DOM after the page's scripts ran, what stood on the console, and what the page asked the network for.

    The browser's own errands have no origin in its log. No name resolves, so nothing leaves in any case.
    """
    log = folder / "net.json"
    with Chromium(folder, f"--log-net-log={log}", "--window-size=1280,2000", *more) as browser:
        browser.open(page.as_uri())
        browser.wait(ALL)
        dom, complaints = browser.evaluate("document.documentElement.outerHTML"), browser.complaints()
    events = [event.get("params") or {} for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    asked = {
        event["url"]
        for event in events
        if event.get("initiator", "not an origin") != "not an origin"
        and re.match(r"(https?|wss?):", event.get("url", ""))
    }
    return dom, complaints, asked


def test_the_browser_would_tell_of_a_request(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><img src="http://tutelage.invalid/pixel.png">', encoding="utf-8")
    assert browse(page, tmp_path)[2] == {"http://tutelage.invalid/pixel.png"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_nothing_is_loaded(tmp_path: Path, scheme: str) -> None:
    metrics, made, about = world.harmed(world.HOSTILE, "http://tutelage.invalid")
    before = world.Page(world.rendered(tmp_path, metrics, made, about))
    choice = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom, console, asked = browse(tmp_path / "report.html", tmp_path, choice)
    after = world.Page(dom)
    assert console == []
    assert asked == set()
    charts = [given for tag, given in before.elements if tag == "div" and "data-chart" in given]
    assert len(charts) == 7
    assert len(re.findall(DRAWN, dom)) == len(charts)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    assert html.unescape(title[1]) == f"{world.HOSTILE[0]}: Fail – release report"
    assert not {"img", "iframe", "video", "object", "embed", "base"} & {tag for tag, _ in after.elements}
    assert len(after.scripts) == len(before.scripts) == 3
    assert ("#9aa8f0" in dom.split("<body>")[1].split("<script")[0]) == (scheme == "dark")


def test_a_report_of_an_api_teacher_draws_what_there_is(tmp_path: Path) -> None:
    world.rendered(tmp_path, world.small(api=True), about={})
    dom, console, _ = browse(tmp_path / "report.html", tmp_path, "--window-size=420,2000")
    assert console == []
    assert len(re.findall(DRAWN, dom)) == 6
    assert 'data-chart="calibration-teacher"' not in dom


def test_a_whole_report_on_a_phone_and_on_paper(tmp_path: Path) -> None:
    page = world.rendered(tmp_path, sections.with_all(world.small()))
    charts = page.count('<div class="chart"')
    assert charts == 10 and len(page.encode()) < 3_000_000
    with Chromium(tmp_path) as browser:
        browser.resize(390, 844)
        browser.open((tmp_path / "report.html").as_uri())
        browser.wait(ALL)
        assert browser.complaints() == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert len(re.findall(DRAWN, browser.evaluate("document.documentElement.outerHTML"))) == charts
        assert "meets every term" in browser.evaluate("document.querySelector('h1').textContent")
        printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and 5 <= printed.count(b"/Type /Page\n") <= 40
