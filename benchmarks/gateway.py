"""Latency and rate of `tutelage serve`, from a second process on loopback, beside what was asked.

The server is a child process that keeps every request durably. Load is open-loop (`tests/open_load.py`): a
latency counts from the time at which a request was due. The teacher is `tests/faulty_teacher.py`, a third
process that answers after 50 ms. What passing through adds is the difference from the same load on the teacher
itself.

    python benchmarks/gateway.py [--seconds 20] [--export FOLDER] [--peer PYTHON] [--soak MINUTES]

`--export` names an exported int8 student (`my-programme/exports/RUN/int8`); `--peer` the python of an
environment with litellm[proxy], whose proxy is asked for the same in the same run; `--soak` keeps 100 requests
a second up for so long. Say beside figures how busy the machine was: it is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "serving")]

from served_child import ServerProcess, TeacherProcess, free_port, serving  # noqa: E402
from served_world import export, write_programme  # noqa: E402

from open_load import Load  # noqa: E402
from tutelage import storage  # noqa: E402
from tutelage.students.protocol import read_student_file  # noqa: E402
from tutelage.students.static import Features, StaticStudent  # noqa: E402

DATA = Path(os.environ.get("TUTELAGE_DATA", ROOT.parent / "shared" / "data"))
WARM = 1.0  # seconds left out of a figure
RATES = (10, 25, 50, 100, 200, 400, 600, 800, 1_200)
HELD = 0.1  # seconds of p99 beyond the teacher's delay, up to which a rate counts as held
DELAY = 0.05


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
    folder: Path, teacher: TeacherProcess, exported: Path | None = None, capture: str = "durable"
) -> Iterator[ServerProcess]:
    """A server with the static student, or with one that was exported."""
    settings = {"audit": {"share": 0.05, "limit": 0.99}, "capture": capture}
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


def measure(
    url: str,
    key: str,
    rate: float,
    seconds: float,
    body: Callable[[int], Any],
    server: ServerProcess | None = None,
) -> Load:
    """One load. Prints where the generator itself was late, which is then part of the figures, and the
    server's processor time, which depends less than its latency on what else the machine does."""
    before = 0.0 if server is None else server.processor
    with Load(url, rate, body, {"Authorization": f"Bearer {key}"}) as load:
        time.sleep(seconds + WARM)
    if server is not None:
        spent = (server.processor - before) / len(load.sent)
        print(f"    (the server's processor time: {spent * 1e3:.2f} ms a request)", flush=True)
    if load.lag > 0.02:
        print(f"    (the generator was up to {load.lag * 1e3:.0f} ms late)", flush=True)
    return load


def row(what: str, asked: str, p50: float, p99: float, load: Load, ok: bool | None) -> None:
    """A line of the table; times in seconds."""
    verdict = "" if ok is None else ("yes" if ok else "NO")
    failed = len(load.failed)
    for each in load.failed[:1]:
        print(f"    (a failed one: {each.status} {each.answer})", flush=True)
    print(
        f"| {what} | {len(load.sent):,} | {failed} | {p50 * 1e3:.2f} | {p99 * 1e3:.2f} | {asked} | {verdict} |",
        flush=True,
    )


def prediction(messages: Sequence[str]) -> Callable[[int], Any]:
    """The body of the n-th typed request."""
    return lambda number: {"input": messages[number % len(messages)]}


def completion(number: int) -> Any:
    """A chat request that isn't the task."""
    return {"model": "big-model", "messages": [{"role": "user", "content": f"write poem {number}"}]}


def in_process(what: str, server: ServerProcess, seconds: float) -> None:
    """The student answers."""
    server.roll("full")
    url = f"{server.url}/v1/predict"
    load = measure(url, server.key, 300, seconds, prediction(texts()), server)
    p50, p99 = load.quantile(0.5, WARM), load.quantile(0.99, WARM)
    others = sum(each.about.get("by") != "student" for each in load.sent)
    if others:
        print(f"    ({others} were not answered by the student)", flush=True)
    ok = p50 <= 0.002 and p99 <= 0.008 and not load.failed and not others
    row(f"{what}, 300/s", "p50 ≤ 2, p99 ≤ 8", p50, p99, load, ok)


def added(what: str, load: Load, bare: Load) -> None:
    """What a way takes beyond the teacher's own time."""
    p50 = load.quantile(0.5, WARM) - bare.quantile(0.5, WARM)
    p99 = load.quantile(0.99, WARM) - bare.quantile(0.99, WARM)
    ok = p50 <= 0.002 and p99 <= 0.008 and not load.failed
    row(f"added by {what}, 200/s", "p50 ≤ 2, p99 ≤ 8", p50, p99, load, ok)


def passing(server: ServerProcess, teacher: TeacherProcess, seconds: float) -> None:
    """The teacher answers: what isn't the task, and the task in shadow."""
    server.roll("shadow")
    direct = f"{teacher.url}/chat/completions"
    bare = measure(direct, "none", 200, seconds, completion)
    row("the teacher itself, 200/s", "", bare.quantile(0.5, WARM), bare.quantile(0.99, WARM), bare, None)
    through = measure(f"{server.url}/v1/chat/completions", server.key, 200, seconds, completion, server)
    added("passing through", through, bare)
    messages = texts()
    task = {"model": "inbox"}

    def asked(number: int) -> Any:
        return {**task, "messages": [{"role": "user", "content": messages[number % len(messages)]}]}

    shadow = measure(f"{server.url}/v1/chat/completions", server.key, 200, seconds, asked, server)
    added("the task in shadow, captured", shadow, bare)


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
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        ends = time.monotonic() + 120
        while time.monotonic() < ends and process.poll() is None:
            with Load(url, 1, completion, {"Authorization": f"Bearer {key}"}, timeout=10) as tried:
                time.sleep(1.5)
            if tried.statuses[200]:
                yield url, key
                return
        raise SystemExit(f"LiteLLM did not start: {(folder / 'litellm.log').read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(20)


def held(name: str, url: str, key: str, seconds: float) -> dict[int, float]:
    """p99 by rate, up to the highest rate that is held."""
    found: dict[int, float] = {}
    for rate in RATES:
        load = measure(url, key, rate, seconds, completion)
        p99 = load.quantile(0.99, WARM)
        good = not load.failed and p99 <= DELAY + HELD
        what = f"{name}, {rate}/s: {'held' if good else 'not held'}"
        row(what, "", load.quantile(0.5, WARM), p99, load, None)
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
    ratio = f"{most / other:.1f}×" if other else "no ratio"
    lower = all(ours[rate] < theirs[rate] for rate in ours.keys() & theirs.keys())
    print(f"\nHighest rate held: {most}/s against {other}/s, {ratio} (asked: ≥ 5×). ", end="")
    print(f"p99 lower at every rate that both hold: {'yes' if lower else 'NO'}.")


def soak(server: ServerProcess, minutes: float) -> None:
    """Memory and open files over time."""
    server.roll("full")
    with Load(
        f"{server.url}/v1/predict", 100, prediction(texts()), {"Authorization": f"Bearer {server.key}"}
    ) as load:
        time.sleep(min(60.0, minutes * 20))
        before = (server.resident, server.descriptors)
        ends = time.monotonic() + minutes * 60
        while time.monotonic() < ends:
            time.sleep(min(60.0, max(0.0, ends - time.monotonic())))
            print(f"    {server.resident >> 20} MiB, {server.descriptors} files", flush=True)
        after = (server.resident, server.descriptors)
    growth, files = after[0] / before[0] - 1, after[1] - before[1]
    ok = not load.failed and growth < 0.05 and abs(files) <= 2
    print(
        f"\nSoak of {minutes:g} min at 100/s: {len(load.sent):,} requests, {len(load.failed)} failed, memory "
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
            with served(place / "static", teacher) as server:
                in_process("static student in process, capture durable", server, options.seconds)
                passing(server, teacher, options.seconds)
                for capture in ("written", "batched"):
                    with served(place / capture, teacher, capture=capture) as other:
                        in_process(f"static student in process, capture {capture}", other, options.seconds)
                if options.export is not None:
                    with served(place / "int8", teacher, options.export) as other:
                        in_process("int8 student in process", other, options.seconds)
                if options.peer is not None:
                    beside(server, teacher, options.peer, place, options.seconds / 4)
                if options.soak:
                    soak(server, options.soak)
    finally:
        teacher.kill()
    print(f"\nload average after: {json.dumps(os.getloadavg())}")


if __name__ == "__main__":
    main()
