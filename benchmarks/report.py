"""How large a report is, and how soon it is there in a headless browser.

    python benchmarks/report.py                      the tests' made-up report with every section, 77 labels
    python benchmarks/report.py FOLDER/evaluation/RUN/report.html

First contentful paint (verdict, numbers and their picture), the first drawn figure and all of them, in ms from
navigation, and the processor time of the page's thread until then, which other work on the machine doesn't change:
median and range of the opens, each in a browser started anew with no cache. Needs Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "evaluation")]

import report_sections as sections  # noqa: E402
import report_world as world  # noqa: E402

from chromium import PROGRAM, Chromium  # noqa: E402

TIMES = """Object.fromEntries([...performance.getEntriesByType("paint"), ...performance.getEntriesByType("mark")]
  .map((entry) => [entry.name, entry.startTime]))"""
PROCESSOR = "processor, main thread"
SHOWN = ("first-contentful-paint", "first figure", "all figures")


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("page", nargs="?", type=Path)
    given.add_argument("--opens", type=int, default=9)
    arguments = given.parse_args()
    if PROGRAM is None:
        sys.exit("no Chromium is on this machine")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = arguments.page
        if page is None:
            started = time.perf_counter()
            world.rendered(folder, sections.with_all(world.small(world.BANKING, n=3_000)))
            print(f"rendered in {time.perf_counter() - started:.2f} s, 77 labels, 3,000 examples")
            page = folder / "report.html"
        size = page.stat().st_size
        measured = [_open(page.resolve(), folder / f"browser-{number}") for number in range(arguments.opens)]
    print(f"size                    {size / 1e6:.2f} MB")
    for what in (*SHOWN, PROCESSOR):
        values = [one[what] for one in measured]
        print(f"{what:<23} {statistics.median(values):.0f} ms ({min(values):.0f} to {max(values):.0f})")
    print(f"console errors          {sum(one['complaints'] for one in measured)}")


def _open(page: Path, folder: Path) -> dict[str, float]:
    folder.mkdir()
    with Chromium(folder, "--window-size=1280,900") as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        browser.open(page.as_uri())
        browser.wait(f"{list(SHOWN)}.every((name) => name in {TIMES})")
        told = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
        return {
            **browser.evaluate(TIMES),
            PROCESSOR: 1_000 * told["TaskDuration"],
            "complaints": len(browser.complaints()),
        }


if __name__ == "__main__":
    main()
