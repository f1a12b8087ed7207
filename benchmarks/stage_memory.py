"""What memory each stage holds that reads the prompts, by how many of these there are.

python benchmarks/stage_memory.py [--rows 30000 300000] [--stages label economics coverage synthesise] [--folder F]

The traffic is generated: short texts of 40 to 140 characters about an order, none twice. Gold of 120 comes from the same
generator. The teacher is a plugin that answers at once by the text's length, in this machine's memory. Each stage runs in
a process of its own; what is told is the largest size that it ever had (VmHWM), and what each prompt adds between two
numbers of rows. Every stage but the one before the measured one is made ready by its own command.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

STAGES = ("label", "economics", "coverage", "synthesise")
LABELS = ("delivery", "billing", "login")
_WORDS = [
    "parcel",
    "courier",
    "package",
    "shipment",
    "tracking",
    "invoice",
    "charge",
    "refund",
    "price",
    "payment",
    "password",
    "account",
    "code",
    "username",
    "yesterday",
    "today",
    "tomorrow",
    "monday",
    "morning",
    "evening",
    "street",
    "house",
    "office",
    "customer",
    "again",
    "never",
    "always",
    "broken",
    "late",
    "early",
    "wrong",
    "missing",
    "double",
    "green",
    "small",
    "large",
    "new",
    "old",
    "first",
    "second",
    "third",
    "please",
    "thanks",
    "help",
    "answer",
    "question",
    "urgent",
]
_TEACHER = """
from tutelage.records import Answer, AnswerStatus


class Lengths:
    name, revision, paid, batch_size, concurrency = "lengths", "1", False, 16, 1

    def __init__(self, config, context):
        self._task = context.task

    def most_expensive(self, prompts):
        return 0.0

    async def answer(self, prompts):
        return [self._one(prompt.text) for prompt in prompts]

    def _one(self, text):
        labels = self._task.labels
        return Answer(AnswerStatus.OK, labels[len(text) % len(labels)] if labels else f"{text[::-1]} once more")

    async def close(self):
        pass
"""


def texts(seed: int) -> Iterator[str]:
    """Without end, and none twice: each has its number."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield f"order {seed}{number:08d} {' '.join(chance.choices(_WORDS, k=chance.randint(4, 18)))}"


def make(folder: Path, rows: int) -> None:
    """A programme with sealed gold and so many prompts, as `collect` would have left them."""
    import csv

    from tutelage import storage
    from tutelage.data import prompts_to_table
    from tutelage.programme import Programme
    from tutelage.records import Prompt, prompt_schema
    from tutelage.stages import run_stage

    gold = list(islice(texts(1), 120))
    with (folder / "gold.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((one, LABELS[len(one) % 3]) for one in gold)])
    with (folder / "traffic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text",), *((one,) for one in islice(texts(2), 200))])
    plugin = {"type": "plugin", "name": "lengths", "rights": "own-model"}
    content = {
        "gold": {"path": "gold.csv", "training": {"share": 0.3}, "margin": 0.2},
        "traffic": {"path": "traffic.csv"},
        "teacher": plugin,
        "student": {"family": "static"},
        "economics": {"monthly": 300_000, "teacher_per_1000": [1.0, 2.0, 3.0]},
        "synthesis": {"prompts": 200, "writer": plugin},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(folder)
    for stage in ("gold", "collect"):
        run_stage(programme, stage)
    generated = texts(2)
    with storage.table_writer(programme.prompts, prompt_schema()) as write:
        for start in range(0, rows, 10_000):
            part = islice(generated, min(10_000, rows - start))
            prompts = [Prompt(f"t{start + n}", text, "traffic.csv") for n, text in enumerate(part)]
            write(prompts_to_table(prompts))


def work(folder: Path, stage: str) -> None:
    """One stage, in this process; prints its seconds and the most memory that the process had."""
    from tutelage.programme import Programme
    from tutelage.progress import Silent
    from tutelage.stages.coverage import COVERAGE
    from tutelage.stages.economics import programme_economics
    from tutelage.stages.label import LABEL
    from tutelage.stages.synthesise import SYNTHESISE

    programme = Programme.open(folder)
    started = time.perf_counter()
    if stage == "economics":
        programme_economics(programme)
    else:
        found = {one.name: one for one in (LABEL, COVERAGE, SYNTHESISE)}
        found[stage].work(programme, Silent())
    seconds = time.perf_counter() - started
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(json.dumps({"seconds": seconds, "mb": int(peak.split()[1]) * 1_024 / 1e6}))


def install_teacher(folder: Path) -> None:
    """The plugin as an installed package would be found."""
    (folder / "lengths_teacher.py").write_text(_TEACHER)
    known = folder / "lengths_teacher-1.dist-info"
    known.mkdir(exist_ok=True)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: lengths-teacher\nVersion: 1\n")
    (known / "entry_points.txt").write_text("[tutelage.teachers]\nlengths = lengths_teacher:Lengths\n")


def child(plugin: Path, *arguments: str) -> str:
    """This script anew, with the plugin installed; what it printed."""
    paths = [str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 300_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--folder", type=Path, help="where programmes are made; absent: a temporary one")
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        make(options.folder, options.make)
    elif options.work is not None:
        work(options.folder, options.work)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(options.folder or Path(folder), options.rows, options.stages)


def compare(folder: Path, sizes: list[int], stages: list[str]) -> None:
    """The table: a line a stage and number of rows, with what each prompt adds since the line before."""
    plugin = folder / "plugin"
    plugin.mkdir(parents=True, exist_ok=True)
    install_teacher(plugin)
    for rows in sizes:
        place = folder / f"of-{rows}"
        if not place.exists():
            place.mkdir()
            child(plugin, "--folder", str(place), "--make", str(rows))
    print(f"{'stage':<12}{'rows':>12}{'seconds':>10}{'MB':>8}  bytes a prompt more")
    for stage in stages:
        before: tuple[int, float] | None = None
        for rows in sizes:
            found = json.loads(
                child(plugin, "--folder", str(folder / f"of-{rows}"), "--work", stage).splitlines()[-1]
            )
            more = "" if before is None else f"{(found['mb'] - before[1]) * 1e6 / (rows - before[0]):,.0f}"
            print(f"{stage:<12}{rows:>12,}{found['seconds']:>10.1f}{found['mb']:>8,.0f}  {more}", flush=True)
            before = rows, found["mb"]


if __name__ == "__main__":
    main()
