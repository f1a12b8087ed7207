"""How long `tutelage --help` and `tutelage status` take, as a user feels them: whole processes.

python benchmarks/startup.py [--repeats 11]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("tutelage")


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([COMMAND, "init", folder], check=True, capture_output=True)
        example = Path(__file__).parents[1] / "examples" / "support-inbox"
        finished = str(example) if (example / "ledger.jsonl").exists() else folder
        print(f"{'command':<42} {'median':>8} {'best':>8} {'worst':>8}")
        for arguments in (["--help"], ["status", folder], ["status", finished]):
            times = [seconds(*arguments) for _ in range(options.repeats)]
            name = "tutelage " + " ".join(arguments)
            print(f"{name[-42:]:<42} {statistics.median(times):7.3f}s {min(times):7.3f}s {max(times):7.3f}s")


if __name__ == "__main__":
    main()
