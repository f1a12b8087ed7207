"""Labelling against a loopback server: how near its ceiling, at what cost of CPU and memory, and beside peers.

The server (tests/faulty_teacher.py) runs in a process of its own and answers after 50 ms; every contender has a
process of its own too, asks such prompts 64 at a time for the same JSON, and is timed from its first request
to its last answer, its imports left out. Each repeat runs all contenders in a shuffled order (the seed is
printed), and ratios are of pairs within a repeat.

    python benchmarks/labelling.py [--prompts 20000] [--repeats 3] [--peers /tmp/peers/bin/python]
                                   [--memory 100000] [--rows 1000000] [--short]

Peers, in an environment of theirs: pip install 'distilabel[openai]' litellm openai aiohttp
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ledger_reading
from labelling_contenders import CONTENDERS

HERE = Path(__file__).parent
SERVER = HERE.parent / "tests" / "faulty_teacher.py"
PEERS = ("distilabel", "litellm", "openai")
DELAY, IN_FLIGHT = 0.05, 64


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that runs for the block."""
    command = [sys.executable, str(SERVER), "--delay", str(DELAY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def measure(python: str, name: str, prompts: int, url: str) -> dict[str, Any] | None:
    """What a contender says of its run; None where it can't run here."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(HERE / "labelling_contenders.py"), name, url, str(prompts), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        print(f"{name}: n/a ({(done.stderr.strip().splitlines() or ['no output'])[-1][:120]})")
        return None
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def spread(values: list[float], form: str = ".3f") -> str:
    """The median, and from what to what."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def compare(options: argparse.Namespace) -> None:
    """Throughput of all contenders, repeat by repeat."""
    chance = random.Random(options.seed)
    names = ["bare", "tutelage", *(PEERS if options.peers else ())]
    if not options.peers:
        print(f"{', '.join(PEERS)}: n/a (no --peers)")
    rates: dict[str, list[float]] = {name: [] for name in names}
    cpu: list[float] = []
    for repeat in range(options.repeats):
        chance.shuffle(names)
        for name in list(names):
            is_peer = name in PEERS
            python, prompts = (
                (options.peers, options.peer_prompts) if is_peer else (sys.executable, options.prompts)
            )
            with server() as url:
                found = measure(python, name, prompts, url)
            if found is None:
                names.remove(name)
                continue
            if found["answers"] != prompts:
                sys.exit(f"{name} answered {found['answers']:,} of {prompts:,} prompts")
            rates[name].append(found["answers"] / found["seconds"])
            if name == "tutelage":
                cpu.append(1000 * found["cpu"] / found["answers"])
            print(
                f"repeat {repeat}, {name}: {rates[name][-1]:,.0f} answers/s, "
                f"{1000 * found['cpu'] / found['answers']:.2f} ms of CPU an answer, {found['answers']:,} answers"
            )
    ours = rates["tutelage"]
    print(f"ideal at {DELAY * 1000:g} ms and {IN_FLIGHT} in flight: {IN_FLIGHT / DELAY:,.0f} answers/s")
    print(f"client CPU, ms an answer: {spread(cpu, '.2f')}")
    for name, found_rates in rates.items():
        if name != "tutelage" and len(found_rates) == len(ours):
            ratios = [own / other for own, other in zip(ours, found_rates, strict=True)]
            print(f"tutelage / {name}: {spread(ratios)} over {len(ratios)} repeats, seed {options.seed}")


def memory(options: argparse.Namespace) -> None:
    """Resident memory of one long run, at a tenth, at half and at the end."""
    with server() as url:
        found = measure(sys.executable, "tutelage", options.memory, url)
    if found is not None:
        sizes = ", ".join(f"{size:,.0f} MB at {count}" for count, size in found["rss"].items())
        print(f"{found['answers']:,} answers: resident {sizes}; {found['answers'] / found['seconds']:,.0f}/s")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--peer-prompts", type=int, default=3_000, help="Fewer, since peers take longer.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--peers", help="A Python that has the peers installed.")
    parser.add_argument("--short", action="store_true", help="Shows that it runs; its figures mean little.")
    options = parser.parse_args()
    if options.short:
        options.prompts = options.peer_prompts = 1_000
        options.repeats, options.memory, options.rows = 1, 2_000, 20_000
    print(f"contenders: {', '.join(CONTENDERS)}; seed {options.seed}")
    compare(options)
    memory(options)
    seconds = ledger_reading.reading(options.rows)
    print(f"{options.rows:,} answers from the ledger into Arrow: {seconds:.1f} s")


if __name__ == "__main__":
    main()
