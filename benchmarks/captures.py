"""What a durable capture adds to an answer, and how many captures a second are kept: `captures.py [URL]`.

Captures of a real size (a text of 240 characters, two values, a monitor's state) come at 300 a second, each
waited for, as answers do; then as fast as 200 requests at once can send them, durable, written and batched. Beside
them what the disk itself needs to sync 24 kB, the pages of one commit. Five runs; medians, with the lowest
and highest.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tutelage.records import text_hash
from tutelage.serving.captures import Capture, Promise, new_id
from tutelage.serving.store import Store, open_store

RATE, SECONDS, RUNS = 300, 10, 5
AT_ONCE, MANY = 200, 20_000
TEXT = "please tell me where the card is that I ordered two weeks ago " * 4


def capture(number: int) -> Capture:
    audited = number % 20 == 0
    return Capture(
        new_id(), time.time(), f"user-{number % 500}", "normal", f"{number} {TEXT}"[:240], text_hash(str(number)),
        "cascade", "student", "", "0123456789abcdef", '"card_arrival"', 0.93, '"card_arrival"',
        '"card_arrival"' if audited else None, True if audited else None, audited, 0.001, 0.0,
    )  # fmt: skip


def state(number: int) -> dict[str, object]:
    return {"disagreement": {"trials": number, "errors": 3, "sums": [0.5] * 7, "blocks": 4, "spent": 0.1}}


async def paced(store: Store) -> list[float]:
    waited: list[float] = []

    async def one(number: int) -> None:
        began = time.perf_counter()
        await store.capture(capture(number), promise="durable", monitors=state(number))
        waited.append(time.perf_counter() - began)

    begun, tasks = time.perf_counter(), []
    for number in range(RATE * SECONDS):
        delay = begun + number / RATE - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return waited


async def at_most(store: Store, promise: Promise) -> float:
    async def some(start: int) -> None:
        for number in range(start, MANY, AT_ONCE):
            await store.capture(capture(number), promise=promise)
            if promise != "durable":
                await asyncio.sleep(0)

    begun = time.perf_counter()
    await asyncio.gather(*(some(start) for start in range(AT_ONCE)))
    while store.waiting:
        await asyncio.sleep(0.001)
    return MANY / (time.perf_counter() - begun)


def synced(folder: Path) -> list[float]:
    """Seconds of writes of 24 kB and their sync, over what the file already has, as a log is written."""
    took = []
    with (folder / "synced").open("w+b", buffering=0) as file:
        file.write(b"x" * 24_576 * 500)
        os.fsync(file.fileno())
        for number in range(500):
            began = time.perf_counter()
            os.pwrite(file.fileno(), b"y" * 24_576, number * 24_576)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return took


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


async def measured(url: str, folder: Path) -> dict[str, float]:
    disk = synced(folder)
    store = open_store(url)
    waited = await paced(store)
    found = {
        "the disk alone, p50 ms": 1e3 * quantile(disk, 0.5),
        "the disk alone, p99 ms": 1e3 * quantile(disk, 0.99),
        f"durable at {RATE}/s, p50 ms": 1e3 * quantile(waited, 0.5),
        f"durable at {RATE}/s, p99 ms": 1e3 * quantile(waited, 0.99),
        f"durable, {AT_ONCE} at once, captures/s": await at_most(store, "durable"),
        "written, captures/s": await at_most(store, "written"),
        "batched, captures/s": await at_most(store, "batched"),
    }
    if store.lost or store.late:
        print(f"{store.lost} lost, {store.late} late")
    await store.close()
    return found


def main(url_of: Callable[[Path, int], str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = [asyncio.run(measured(url_of(Path(folder), run), Path(folder))) for run in range(RUNS)]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:40} {statistics.median(values):10,.2f}  [{min(values):,.2f}, {max(values):,.2f}]")


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else ""
    main(lambda folder, run: given or f"sqlite:///{folder / f'{run}.sqlite'}")
