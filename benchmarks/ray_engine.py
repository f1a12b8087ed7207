"""Labelling by workers of a Ray cluster: two against one beside an endpoint, and one killed midway.

Two nodes of one processor each run on this machine, and the endpoint (tests/faulty_teacher.py) in a process of its
own, which answers after DELAY seconds. Each worker asks so many prompts at once; the job is bound by the endpoint's
delay. Timed is `label` from its first request to its last answer on disk, workers being there. Each repeat asks all
prompts by 1 worker and by 2, in a shuffled order (the seed is printed), and ratios are of pairs within a repeat. Then
one of two workers is killed at half of the answers.

    python benchmarks/ray_engine.py [--prompts 800] [--delay 0.5] [--concurrency 8] [--repeats 3] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tutelage.config import EngineConfig, LabellingConfig, OpenAITeacherConfig
from tutelage.labelling import AnswerLedger, LabellingReport, label
from tutelage.progress import Silent
from tutelage.records import Prompt
from tutelage.scale import open_engine
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path += [str(TESTS / "scale")]

from ray_nodes import LocalNodes  # noqa: E402

from labelling_contenders import INSTRUCTION, LABELS, MODEL, texts_of  # noqa: E402

PRICE = {"input": 1000.0, "output": 2000.0}  # so that what is booked can be seen


class Server:
    """The endpoint's process; `counts` is what it has seen so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    @property
    def counts(self) -> dict[str, Any]:
        """What the server tells."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, Any] = json.loads(self._line())
        return counts


@contextmanager
def server(delay: float) -> Iterator[Server]:
    """A server that runs for the block."""
    command = [sys.executable, str(TESTS / "faulty_teacher.py"), "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


def labelled(
    options: argparse.Namespace,
    address: str,
    workers: int,
    beside: Callable[[Server], None] = lambda server: None,
) -> dict[str, Any]:
    """One job; `beside` runs in a thread beside it."""
    engine_config = EngineConfig(type="ray", address=address, workers=workers)
    texts = texts_of(options.prompts + workers)
    prompts = [Prompt(str(number), text) for number, text in enumerate(texts)]
    task = Classify(LABELS, INSTRUCTION)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(options.delay) as endpoint,
        AnswerLedger(Path(folder) / "answers.sqlite") as ledger,
        open_engine(engine_config, Silent()) as engine,
    ):
        config = OpenAITeacherConfig(rights="own", model=MODEL, base_url=endpoint.url, samples=1, price=PRICE)
        teacher = engine.build_teacher(config, TeacherContext(task, (), Path(folder)))
        asking = engine.labelling(LabellingConfig(concurrency=options.concurrency))

        def put(some: list[Prompt]) -> LabellingReport:
            return label(some, teacher, task, ledger, asking)

        put(prompts[:workers])  # the workers start
        wait_for_all(workers)
        thread = threading.Thread(target=beside, args=(endpoint,))
        thread.start()
        started = time.perf_counter()
        report = put(prompts[workers:])
        seconds = time.perf_counter() - started
        thread.join()
        [summary] = ledger.summary()
        return {
            "seconds": seconds,
            "rate": options.prompts / seconds,
            "at once": report.at_once,
            "answers": summary.answers,
            "asked again": endpoint.counts["requests"] - len(prompts),
            "told": dict(report.faults),
            "cost": summary.cost,
            "unaccounted": summary.unaccounted,
        }


def processes() -> list[psutil.Process]:
    """Those in which teachers are asked."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if (process.cmdline() or [""])[0].startswith("ray::TeacherWorker"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for_all(workers: int) -> None:
    """Until every worker has started, which the first answers needn't wait for."""
    while len(processes()) < workers:
        time.sleep(0.1)
    time.sleep(5.0)  # and has opened its teacher


def killing(options: argparse.Namespace) -> Callable[[Server], None]:
    """What kills one worker at half of the answers."""

    def kill(endpoint: Server) -> None:
        while endpoint.counts["proper"] < options.prompts / 2:
            time.sleep(0.05)
        processes()[0].kill()

    return kill


def spread(values: list[float], form: str) -> str:
    """The median, and from what to what."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def compare(options: argparse.Namespace, address: str) -> None:
    """Two workers against one."""
    chance = random.Random(options.seed)
    rates: dict[int, list[float]] = {1: [], 2: []}
    at_once = dict.fromkeys(rates, 0)
    for _ in range(options.repeats):
        for workers in chance.sample([1, 2], 2):
            found = labelled(options, address, workers)
            rates[workers].append(found["rate"])
            at_once[workers] = max(at_once[workers], found["at once"])
            print(f"  {workers}: {found}", file=sys.stderr)
    print("| workers | most at once | answers/s |")
    print("|---|---|---|")
    for workers, found_rates in rates.items():
        print(f"| {workers} | {at_once[workers]} | {spread(found_rates, '.1f')} |")
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"\n2 workers against 1: {spread(ratios, '.2f')}x")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=800)
    parser.add_argument("--delay", type=float, default=0.5)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"{options.prompts} prompts, answered after {options.delay:g} s, {options.concurrency} at once by each "
        f"worker; seed {options.seed}"
    )
    nodes = LocalNodes()
    try:
        compare(options, nodes.address)
        found = labelled(options, nodes.address, 2, killing(options))
        prompts = options.prompts + 2
        print(
            f"a worker killed midway: {found['answers']} of {prompts} prompts answered, {prompts - found['answers']} "
            f"lost; {found['asked again']} requests more than prompts, {found['told']}; ${found['cost']:.3f} for "
            f"answers, ${found['unaccounted']:.3f} at their bound for calls under way"
        )
    finally:
        nodes.stop()


if __name__ == "__main__":
    main()
