"""Time and memory of purging one person, and all that expired, from a collected programme.

python benchmarks/purge.py [--prompts 100000]
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.purge import purge_expired, purge_subjects

_WORDS = [
    f"{head}{tail}"
    for head in "bcdfghklmnprst"
    for tail in ("alo", "eri", "ima", "oru", "unte", "aske", "ilo")
]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        programme = _collected(Path(folder), arguments.prompts)
        size = sum(path.stat().st_size for path in programme.folder.rglob("*") if path.is_file())
        print(f"{arguments.prompts:,} prompts collected, {size / 1e6:,.0f} MB with their source")
        for what, act in (
            ("one person (5 rows)", lambda: purge_subjects(programme, ["customer-77"], Silent())),
            ("half of the rows, expired", lambda: purge_expired(programme, Silent())),
        ):
            before, begun = time.process_time(), time.monotonic()
            purged = act()
            assert not purged.left, purged.left
            print(
                f"{what}: {purged.rows['prompts/prompts.parquet']:,} prompts in {time.monotonic() - begun:.1f} s "
                f"({time.process_time() - before:.1f} s of one thread), at most "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
            )


def _collected(folder: Path, count: int) -> Programme:
    draw = random.Random(1)
    columns = {"subject": "whose", "time": "at", "sensitivity": "personal"}
    content = {
        "gold": {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.4},
        "traffic": {"path": "traffic.csv", "columns": columns, "near_repeats": "ignore"},
        "retention": {"personal": "365d"},
        "teacher": {"type": "encoder"},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    with (folder / "gold.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((f"gold {n} {n * n}", "ab"[n % 2]) for n in range(40))]
        )
    with (folder / "traffic.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "whose", "at"))
        for number in range(count):
            text = f"{' '.join(draw.choices(_WORDS, k=14))} {number}"
            writer.writerow((text, f"customer-{number // 5}", ("2020-01-01", "2026-11-01")[number // 5 % 2]))
    programme = Programme.open(folder)
    late = {"retention": {}}
    (folder / "tutelage.yaml").write_text(json.dumps(content | late))
    for stage in ("gold", "collect"):
        run_stage(Programme.open(folder), stage)
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    return programme


if __name__ == "__main__":
    main()
