"""Time and memory of verifying a journal of 1,000,000 entries.

python benchmarks/journal.py [--entries 1000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

from tutelage.ledger import _ORIGIN, Entry, Journal, _entry_hash, _to_line


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        _write(path, arguments.entries)
        seconds = []
        for _ in range(arguments.rounds):
            begun = time.process_time()
            assert Journal(path).verify() == arguments.entries
            seconds.append(time.process_time() - begun)
        print(
            f"{arguments.entries:,} entries, {path.stat().st_size / 1e6:,.0f} MB: verified in "
            f"{statistics.median(seconds):.1f} s of one thread ({min(seconds):.1f} to {max(seconds):.1f}; asked: 20), "
            f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
        )


def _write(path: Path, count: int) -> None:
    """A journal as labelling leaves it, without a sync for each line."""
    previous = _ORIGIN
    with path.open("wb") as file:
        for sequence in range(1, count + 1):
            data = json.loads(
                json.dumps({"teacher": "openai:m", "revision": "a" * 32, "spent": 0.01 * sequence})
            )
            moment = "2026-11-27T00:00:00.000+00:00"
            digest = _entry_hash(sequence, moment, "labelled", data, previous)
            file.write(_to_line(Entry(sequence, moment, "labelled", data, previous, digest)))
            previous = digest


if __name__ == "__main__":
    main()
