"""`tutelage collect` on traffic of any size: time, CPU, memory, and whether exactly the bad rows are rejected.

The traffic is made of Banking77's and HWU64's texts, joined, varied and given details, among them personal
data; a tenth repeats an earlier row but for case and spaces, as many differ from one in a character or two,
one in a hundred is a row of sealed gold, and as many are malformed in one of nine ways. Gold is Banking77's
test part. `collect` runs as a command of its own; memory is the sum over its processes, each page that they
share counted once (PSS), the largest of samples every quarter of a second.

With `--more` that many rows are added to the traffic then, and collected.

    python benchmarks/collect.py [--rows 100000 1000000] [--more 1000] [--seed 0] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

from tutelage import storage
from tutelage.programme import Programme

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
CONFIG = """\
task:
  instruction: Say what the customer of a bank asks for.
  labels: {labels}
gold:
  path: ${{TUTELAGE_DATA}}/banking77/test.csv
  columns: {{label: category}}
  training: {{path: "${{TUTELAGE_DATA}}/banking77/train.csv", share: 0.1}}
  margin: 0.05
traffic:
  path: traffic.csv
  columns: {{id: id, slice: channel}}
privacy:
  url: mask
teacher:
  type: encoder
"""
FIRST = [
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Elena",
    "Felix",
    "Grace",
    "Hugo",
    "Irene",
    "Jonas",
    "Kate",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sam",
    "Tina",
]
LAST = [
    "Meyer",
    "Smith",
    "Rossi",
    "Novak",
    "Larsen",
    "Dubois",
    "Garcia",
    "Silva",
    "Kowalski",
    "Jansen",
    "Brown",
    "Weber",
    "Moreau",
    "Fischer",
]
CITIES = [
    "Berlin",
    "Lisbon",
    "Oslo",
    "Madrid",
    "Vienna",
    "Dublin",
    "Prague",
    "Milan",
    "Ghent",
    "Porto",
    "Lyon",
    "Turku",
    "Graz",
    "Leeds",
]
SHOPS = [
    "the supermarket",
    "a petrol station",
    "my landlord",
    "an online shop",
    "the airline",
    "a hotel",
    "the gym",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CHANNELS = ("normal", "app", "mail")
BAD = {
    "malformed_row": "two cells too many",
    "malformed_row ": "a cell too few",
    "empty_text": "no text",
    "empty_text ": "spaces alone",
    "not_utf8": "Latin-1 bytes",
    "nul": "a NUL character",
    "too_long": "100,001 characters",
    "missing_column": "no id",
    "duplicate_id": "an id that came before",
}  # each reason with what is done; a space at its end tells two of a reason apart


def card(draw: random.Random) -> str:
    """A Visa number whose check digit holds."""
    digits = [4] + [draw.randrange(10) for _ in range(14)]
    total = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits))
    return "".join(map(str, [*digits, -total % 10]))


def detail(draw: random.Random) -> str:
    """What a customer adds to a question; a fifth holds personal data."""
    kind = draw.random()
    name = f"{draw.choice(FIRST)} {draw.choice(LAST)}"
    if kind < 0.05:
        return f"My name is {name}."
    if kind < 0.10:
        return f"Write to {name.replace(' ', '.').lower()}{draw.randrange(100)}@example.org please."
    if kind < 0.15:
        return f"You can call me on +49 30 {draw.randrange(10**7, 10**8)}."
    if kind < 0.20:
        return f"The card is {card(draw)}."
    if kind < 0.50:
        return f"It was {draw.randrange(1, 3000)}.{draw.randrange(100):02d} EUR at {draw.choice(SHOPS)} in {draw.choice(CITIES)}."
    if kind < 0.75:
        return f"This began last {draw.choice(DAYS)}, around {draw.randrange(1, 13)} o'clock, in {draw.choice(CITIES)}."
    return f"The reference is {draw.choice('ABCDEFGHJK')}{draw.randrange(10**5, 10**6)}, from {draw.choice(SHOPS)}."


def near(text: str, draw: random.Random) -> str:
    """The text with a character or two changed."""
    for _ in range(draw.randint(1, 2)):
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice("abcdefghij.,!") + text[place + 1 :]
    return text


def texts(draw: random.Random) -> Iterator[tuple[str, str]]:
    """Texts of the traffic without end, each with its kind."""
    with (DATA / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        base = [row["text"] for row in csv.DictReader(file)]
    with (DATA / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        gold = [row["text"] for row in csv.DictReader(file)]
    base += (DATA / "hwu64" / "train" / "seq.in").read_text(encoding="utf-8").split("\n")[:-1]
    earlier: list[str] = []
    while True:
        kind = draw.random()
        if kind < 0.1 and earlier:
            text = draw.choice(earlier)
            yield draw.choice((text.upper(), f" {text}", text.replace(" ", "  "))), "repeat"
        elif kind < 0.2 and earlier:
            yield near(draw.choice(earlier), draw), "near"
        elif kind < 0.21:
            yield draw.choice(gold), "gold"
        else:
            parts = (
                [draw.choice(base), detail(draw)] if kind < 0.8 else [draw.choice(base), draw.choice(base)]
            )
            text = " ".join(" ".join(parts).split())
            earlier.append(text)
            if len(earlier) > 50_000:
                earlier = earlier[-25_000:]
            yield text, "new"


def write_traffic(path: Path, rows: int, bad: int, seed: int) -> dict[int, str]:
    """Write a CSV file; return the number of each malformed row with its reason."""
    draw = random.Random(seed)
    places = set(draw.sample(range(2, rows + 1), bad))
    planted = {}
    source = texts(draw)
    with path.open("wb") as file:
        file.write(b"id,text,channel\r\n")
        for number in range(1, rows + 1):
            text, _ = next(source)
            cells = [f"r{number}".encode(), text.encode(), draw.choice(CHANNELS).encode()]
            if number in places:
                kind = list(BAD)[len(planted) % len(BAD)]
                planted[number] = kind.strip()
                cells = spoilt(cells, BAD[kind])
            file.write(b",".join(b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells) + b"\r\n")
    return planted


def spoilt(cells: list[bytes], how: str) -> list[bytes]:
    """The cells of a row that must not be taken."""
    id_, text, channel = cells
    return {
        "two cells too many": [id_, text, channel, b"x", b"y"],
        "a cell too few": [id_, text],
        "no text": [id_, b"", channel],
        "spaces alone": [id_, b"  \t ", channel],
        "Latin-1 bytes": [id_, text + b" \xe9t\xe9", channel],
        "a NUL character": [id_, text + b"\0", channel],
        "100,001 characters": [id_, b"x" * 100_001, channel],
        "no id": [b" ", text, channel],
        "an id that came before": [b"r1", text, channel],
    }[how]


class Memory(threading.Thread):
    """Samples what a process and its children hold."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.peak, self.largest = psutil.Process(pid), 0, 0

    def run(self) -> None:
        """Until the process ends."""
        while self._process.is_running():
            total = 0
            try:
                for one in (self._process, *self._process.children(recursive=True)):
                    info = one.memory_full_info()
                    total += info.pss
                    self.largest = max(self.largest, info.rss)
            except psutil.Error:
                pass
            self.peak = max(self.peak, total)
            time.sleep(0.25)


def command(folder: Path, *verb: str) -> tuple[float, float, int, int]:
    """Run a verb; seconds, seconds of CPU, bytes of all its processes and of the largest."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tutelage", *verb, str(folder)], env=os.environ | {"TUTELAGE_DATA": str(DATA)}
    )
    memory = Memory(process.pid)
    memory.start()
    if process.wait():
        raise SystemExit(f"tutelage {' '.join(verb)} failed")
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, memory.peak, memory.largest


def measure(folder: Path, rows: int, more: int, seed: int) -> dict[str, float]:
    """Make the programme, run it, and say what came out; then once more with `more` rows."""
    with (DATA / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        labels = sorted({row["category"] for row in csv.DictReader(file)})
    (folder / "tutelage.yaml").write_text(CONFIG.format(labels=json.dumps(labels)), encoding="utf-8")
    planted = write_traffic(folder / "traffic.csv", rows, rows // 100, seed)
    command(folder, "gold")
    load = os.getloadavg()[0]
    seconds, cpu, peak, largest = command(folder, "collect")
    programme = Programme.open(folder)
    table = storage.read_table(programme.prompts_rejected)
    found = dict(zip(table["row"].to_pylist(), table["reason"].to_pylist(), strict=True))
    cleaned = {"duplicate_text", "duplicate_of_gold", "near_duplicate_of_gold"}
    refused = {row: reason for row, reason in found.items() if reason not in cleaned}
    right = refused == planted
    print(
        f"{rows:>9,} rows  {seconds:6.1f} s  {cpu:6.1f} s CPU  {rows / seconds:7,.0f} rows/s  "
        f"memory {peak / 1e6:6,.0f} MB (largest process {largest / 1e6:,.0f} MB RSS)  load before {load:.1f}"
    )
    print(f"          planted {len(planted):,} bad rows; exactly those rejected, with their reasons: {right}")
    print(f"          {dict(sorted(Counter(found.values()).items()))}")
    profile = storage.read_json(programme.profile)
    print(f"          accepted {profile['accepted']:,}; groups {profile.get('groups')}")
    if more:
        add(folder, rows, more, seed)
    return {"seconds": seconds, "cpu": cpu}


def add(folder: Path, rows: int, more: int, seed: int) -> None:
    """Put rows below the traffic's, collect them, and say what that took; then everything anew."""
    write_traffic(folder / "more.csv", more, 0, seed + 1)
    lines = (folder / "more.csv").read_bytes().split(b"\r\n", 1)[1]
    (folder / "more.csv").unlink()
    with (folder / "traffic.csv").open("ab") as file:
        file.write(re.sub(rb"(?m)^\"r", b'"more-', lines))
    for verb in (("collect",), ("collect", "--anew")):
        seconds, cpu, peak, _ = command(folder, *verb)
        print(
            f"          {more:,} rows more: {' '.join(verb)}  {seconds:.1f} s  {cpu:.1f} s CPU  "
            f"memory {peak / 1e6:,.0f} MB"
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--more", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="make the programmes here, and leave them")
    arguments = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        for rows in arguments.rows:
            folder = (arguments.keep or Path(temporary)) / f"rows-{rows}"
            folder.mkdir(parents=True, exist_ok=True)
            measured.append(measure(folder, rows, arguments.more, arguments.seed))
    for before, after in pairwise(measured):
        growth = {name: after[name] / before[name] for name in before}
        print(f"growth: {growth['seconds']:.1f} times the time, {growth['cpu']:.1f} times the CPU")


if __name__ == "__main__":
    main()
