"""Latency and rate of `tutelage serve`, from a second process on loopback, beside what was asked.

Load is open-loop, from a process of its own (`open_loop.py`): a latency counts from the time at which a request
was due. The teacher is `tests/faulty_teacher.py`, another process, that answers after 50 ms. What passing
through adds is the difference from the same load on the teacher itself. Beside the student's figure stands what
a bare server makes of as much work a request (`bare_server.py`): its slowest answers are the machine's.

    python benchmarks/gateway.py [--seconds 20] [--export FOLDER] [--peer PYTHON] [--soak MINUTES]

`--export` names an exported int8 student (`my-programme/exports/RUN/int8`); `--peer` the python of an
environment with litellm[proxy], whose proxy is asked for the same in the same run; `--soak` keeps 100 requests
a second up for so long, and measures nothing else. Say beside figures how busy the machine was: it is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "serving")]

from served_child import ServerProcess, TeacherProcess, free_port, serving  # noqa: E402
from served_world import export, write_programme  # noqa: E402

from open_loop import Measured, load  # noqa: E402
from tutelage import storage  # noqa: E402
from tutelage.students.protocol import read_student_file  # noqa: E402
from tutelage.students.static import Features, StaticStudent  # noqa: E402

DATA = Path(os.environ.get("TUTELAGE_DATA", ROOT.parent / "shared" / "data"))
WARM = 1.0  # seconds left out of a figure
RATES = (2, 5, 10, 25, 50, 100, 200, 400, 600, 800, 1_200)
HELD = 0.1  # seconds of p99 beyond the teacher's delay, up to which a rate counts as held
DELAY = 0.05
IDLE = 80.0  # seconds after which a server has closed what nobody uses


def texts() -> list[str]:
    """Real messages; without the data, some of ours."""
    path = DATA / "banking77" / "test.csv"
    if not path.exists():
        return [f"please refund payment number {number}" for number in range(1_000)]
    with path.open(newline="") as lines:
        return [row["text"] for row in csv.DictReader(lines) if row["text"].strip()]


def static_student(messages: Sequence[str], labels: int = 77) -> StaticStudent:
    """As large as one that was trained on these messages; what it says doesn't matter to the time it takes."""
    words = sorted({word for text in messages for word in text.lower().split()})
    rng = np.random.default_rng(0)
    table = rng.normal(size=(len(words), labels)).astype(np.float32)
    names = tuple(f"label {number:02}" for number in range(labels))
    vocabulary = {word: row for row, word in enumerate(words)}
    features = Features(pairs=False, pieces=())
    return StaticStudent(names, False, features, vocabulary, table, np.zeros(labels, np.float32))


@contextmanager
def served(
    folder: Path, teacher: TeacherProcess, exported: Path | None = None, capture: str = "written"
) -> Iterator[ServerProcess]:
    """A server with the static student, or with one that was exported."""
    # What this student says is no label of the teacher's: an alarm that took it off would change what is measured.
    settings = {"audit": {"share": 0.05, "limit": 0.9999}, "capture": capture}
    programme = write_programme(folder / "inbox", teacher, settings)
    place = programme.folder / "exports" / "static"
    shutil.rmtree(place)
    if exported is None:
        student = static_student(texts())
        export(programme.folder, "float32", student)
        labels = student.labels
    else:
        shutil.copytree(exported, place / "int8")
        labels = tuple(read_student_file(place / "int8")["labels"])
    storage.write_json(programme.folder / "gold" / "seal.json", {"labels": dict.fromkeys(labels, "")})
    with serving(programme) as server:
        yield server


@dataclass(frozen=True)
class Figure:
    """A load, and the processor time that its server took a request (seconds; 0 where nobody looked)."""

    load: Measured
    processor: float = 0.0

    def quantile(self, share: float) -> float:
        """Of the latencies, in seconds; a request that failed counts as endless."""
        return self.load.quantile(share, WARM)


def measure(
    url: str,
    key: str,
    rate: float,
    seconds: float,
    bodies: Sequence[Any],
    server: ServerProcess | None = None,
) -> Figure:
    """One load. Prints where the generator itself was late, which is then part of the figures, and the
    server's processor time, which depends less than its latency on what else the machine does."""
    before = 0.0 if server is None else server.processor
    measured = load(url, key, rate, seconds + WARM, bodies)
    spent = 0.0 if server is None else (server.processor - before) / len(measured.latency)
    if spent:
        print(f"    (the server's processor time: {spent * 1e3:.2f} ms a request)", flush=True)
    if (late := measured.lateness(0.99, WARM)) > 0.002:
        print(f"    (1 request in 100 was sent {late * 1e3:.0f} ms late or more)", flush=True)
    return Figure(measured, spent)


def row(what: str, asked: str, p50: float, p99: float, figure: Figure, ok: bool | None) -> None:
    """A line of the table; times in seconds."""
    verdict = "" if ok is None else ("yes" if ok else "NO")
    sent, failed = len(figure.load.latency), figure.load.failed
    if figure.load.fault:
        print(f"    (a failed one: {figure.load.fault})", flush=True)
    print(
        f"| {what} | {sent:,} | {failed} | {p50 * 1e3:.2f} | {p99 * 1e3:.2f} | {asked} | {verdict} |",
        flush=True,
    )


def predictions() -> list[Any]:
    """Bodies of typed requests."""
    return [{"input": text} for text in texts()]


def completions() -> list[Any]:
    """Bodies of chat requests that aren't the task."""
    return [
        {"model": "big-model", "messages": [{"role": "user", "content": f"write poem {number}"}]}
        for number in range(1_000)
    ]


def in_process(what: str, server: ServerProcess, seconds: float) -> None:
    """The student answers; then a bare server has as much to do."""
    server.roll("full")
    figure = measure(f"{server.url}/v1/predict", server.key, 300, seconds, predictions(), server)
    others = len(figure.load.latency) - figure.load.by.get("student", 0)
    if others:
        print(f"    ({others} were not answered by the student)", flush=True)
    p50, p99 = figure.quantile(0.5), figure.quantile(0.99)
    ok = p50 <= 0.002 and p99 <= 0.008 and not figure.load.failed and not others
    row(f"{what}, 300/s", "p50 ≤ 2, p99 ≤ 8", p50, p99, figure, ok)
    with bare_server(figure.processor) as url:
        bare = measure(url, "none", 300, seconds, [{}])
        what = f"a bare server with {figure.processor * 1e3:.2f} ms of work, 300/s"
        row(what, "", bare.quantile(0.5), bare.quantile(0.99), bare, None)


@contextmanager
def bare_server(seconds: float) -> Iterator[str]:
    """One with so much to do for every request: its address."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("bare_server.py")), str(port), str(seconds)]
    process = subprocess.Popen(command)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def wait_for(port: int, patience: float = 30.0) -> None:
    """Until somebody listens there. Raises SystemExit."""
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"nobody listens on port {port} after {patience:g} s")


def added(what: str, figure: Figure, bare: Figure) -> None:
    """What a way takes beyond the teacher's own time."""
    p50 = figure.quantile(0.5) - bare.quantile(0.5)
    p99 = figure.quantile(0.99) - bare.quantile(0.99)
    ok = p50 <= 0.002 and p99 <= 0.008 and not figure.load.failed
    row(f"added by {what}, 200/s", "p50 ≤ 2, p99 ≤ 8", p50, p99, figure, ok)


def passing(server: ServerProcess, teacher: TeacherProcess, seconds: float, capture: str) -> None:
    """The teacher answers: what isn't the task, and the task in shadow."""
    server.roll("shadow")
    others = completions()
    bare = measure(f"{teacher.url}/chat/completions", "none", 200, seconds, others)
    row("the teacher itself, 200/s", "", bare.quantile(0.5), bare.quantile(0.99), bare, None)
    url = f"{server.url}/v1/chat/completions"
    added("passing through", measure(url, server.key, 200, seconds, others, server), bare)
    asked = [{"model": "inbox", "messages": [{"role": "user", "content": text}]} for text in texts()]
    shadow = measure(url, server.key, 200, seconds, asked, server)
    added(f"the task in shadow, capture {capture}", shadow, bare)


@contextmanager
def peer(python: Path, teacher: TeacherProcess, folder: Path) -> Iterator[tuple[str, str]]:
    """LiteLLM's proxy in front of the same teacher: its address, and a key of its own, without which it
    doesn't start."""
    key = f"sk-{secrets.token_hex(32)}"
    params = {"model": "openai/big-model", "api_base": teacher.url, "api_key": "none"}
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump({"model_list": [{"model_name": "big-model", "litellm_params": params}]}))
    port = free_port()
    command = [str(python.parent / "litellm"), "--config", str(config), "--port", str(port)]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    environment |= {"LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": key}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=log, stderr=log, env=environment)
    try:
        wait_for(port, 120.0)
        yield f"http://127.0.0.1:{port}/v1/chat/completions", key
    finally:
        process.terminate()
        process.wait(20)


def held(name: str, url: str, key: str, seconds: float) -> dict[int, float]:
    """p99 by rate, up to the highest rate that is held."""
    found: dict[int, float] = {}
    measure(url, key, 5, 2.0, completions())  # what a server loads with its first requests
    for rate in RATES:
        figure = measure(url, key, rate, seconds, completions())
        p99 = figure.quantile(0.99)
        good = not figure.load.failed and p99 <= DELAY + HELD
        what = f"{name}, {rate}/s: {'held' if good else 'not held'}"
        row(what, "", figure.quantile(0.5), p99, figure, None)
        if not good:
            break
        found[rate] = p99
    return found


def beside(
    server: ServerProcess, teacher: TeacherProcess, python: Path, folder: Path, seconds: float
) -> None:
    """Both in the same run, one after the other."""
    with peer(python, teacher, folder) as (url, key):
        theirs = held("LiteLLM", url, key, seconds)
    ours = held("Tutelage", f"{server.url}/v1/chat/completions", server.key, seconds)
    most, other = max(ours, default=0), max(theirs, default=0)
    # Who doesn't hold the lowest rate holds less than it.
    ratio = (
        f"{most / other:.1f}×" if other else f"more than {most / RATES[0]:.0f}× ({RATES[0]}/s was not held)"
    )
    lower = all(ours[rate] < theirs[rate] for rate in ours.keys() & theirs.keys())
    print(f"\nHighest rate held: {most}/s against {other}/s, {ratio} (asked: ≥ 5×). ", end="")
    print(f"p99 lower at every rate that both hold: {'yes' if lower else 'NO'}.")


def soak(server: ServerProcess, minutes: float) -> None:
    """Memory and open files before and after, each time once idle connections are closed."""
    server.roll("full")
    url = f"{server.url}/v1/predict"

    def idle() -> tuple[int, int]:
        time.sleep(IDLE)
        return server.resident, server.descriptors

    load(url, server.key, 100, min(60.0, minutes * 20), predictions())
    before = idle()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load, url, server.key, 100, minutes * 60, predictions())
        while not wait([loading], timeout=60.0).done:
            print(f"    {server.resident >> 20} MiB, {server.descriptors} files", flush=True)
    measured, after = loading.result(), idle()
    growth, files = after[0] / before[0] - 1, after[1] - before[1]
    ok = not measured.failed and growth < 0.05 and abs(files) <= 2
    print(
        f"\nSoak of {minutes:g} min at 100/s: {len(measured.latency):,} requests, {measured.failed} failed, "
        f"{measured.by.get('student', 0):,} answered by the student, p50 {measured.quantile(0.5) * 1e3:.2f} ms, "
        f"p99 {measured.quantile(0.99) * 1e3:.2f} ms, memory "
        f"{growth:+.1%} (asked: < 5%), files {files:+d} (asked: ± 2): {'yes' if ok else 'NO'}"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each figure")
    parser.add_argument("--export", type=Path, help="an exported int8 student")
    parser.add_argument("--peer", type=Path, help="the python of an environment with litellm[proxy]")
    parser.add_argument("--soak", type=float, default=0.0, help="minutes")
    options = parser.parse_args()
    print(f"load average of the machine before: {json.dumps(os.getloadavg())}, {os.cpu_count()} cores\n")
    print("| figure | requests | failed | p50 ms | p99 ms | asked | reached |\n|---|---|---|---|---|---|---|")
    teacher = TeacherProcess("--delay", str(DELAY))
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            if options.soak:
                with served(place / "long", teacher) as server:
                    soak(server, options.soak)
                return
            for capture in ("written", "durable", "batched"):
                with served(place / capture, teacher, capture=capture) as server:
                    in_process(f"static student in process, capture {capture}", server, options.seconds)
                    if capture == "written":
                        passing(server, teacher, options.seconds, capture)
            if options.export is not None:
                with served(place / "int8", teacher, options.export) as server:
                    in_process("int8 student in process, capture written", server, options.seconds)
            if options.peer is not None:
                with served(place / "beside", teacher) as server:
                    beside(server, teacher, options.peer, place, options.seconds / 4)
    finally:
        teacher.kill()
    print(f"\nload average after: {json.dumps(os.getloadavg())}")


if __name__ == "__main__":
    main()
