"""Near duplicates within large traffic: processor time of each pass of `collect` by itself, in one process.

The traffic is that of `benchmarks/collect.py`, without redaction and gold. Printed are also how many pairs were
compared by their texts, how many of them are alike, and a hash of all groups, by which two versions can be compared.

    python benchmarks/near_groups.py [--rows 30000 100000 300000] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import patch

from collect import texts
from tutelage import storage
from tutelage.data import intake
from tutelage.data.known_rows import KnownRows
from tutelage.data.preparation import Preparation, batches_of
from tutelage.records import Prompt

THRESHOLD = 0.85


def measure(folder: Path, rows: int, seed: int) -> None:
    """Take so many rows, and say what each pass took."""
    compared: Counter[str] = Counter()
    by_grams = intake._alike_by_grams

    def counted(pairs: Iterable[tuple[str, str]], threshold: float) -> Iterator[bool]:
        for alike in by_grams(pairs, threshold):
            compared["pairs"] += 1
            compared["alike"] += alike
            yield alike

    source = texts(random.Random(seed))
    prompts = (Prompt(f"r{row}", next(source)[0]) for row in range(rows))
    names = ("kept.parquet", "rejected.parquet", "known.parquet", "scratch")
    files = intake.Collected(*(folder / name for name in names))
    prepare, begun, steps = Preparation(None, [], THRESHOLD), time.process_time(), []
    with (
        patch.object(intake, "_alike_by_grams", counted),
        intake.Intake(files, threshold=THRESHOLD) as taken,
    ):
        for batch in batches_of("traffic", None, prompts):
            taken.add(prepare(batch))
        prepared = time.process_time()
        taken.finish("group", KnownRows.none(), lambda _: steps.append(time.process_time()))
    groups = storage.read_table(files.prompts)["group"].to_pylist()
    print(
        f"{rows:>9,} rows  prepared {prepared - begun:6.1f} s  repeats {steps[0] - prepared:5.1f} s  "
        f"near duplicates {steps[-2] - steps[0]:6.1f} s  written {steps[-1] - steps[-2]:5.1f} s  of CPU; "
        f"{compared['pairs']:,} pairs compared, {compared['alike']:,} alike; {len(groups):,} kept, "
        f"groups {hashlib.sha256(repr(groups).encode()).hexdigest()[:12]}",
        flush=True,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 100_000, 300_000])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), rows, options.seed)


if __name__ == "__main__":
    main()
