"""What an arm costs to run: latency, throughput and size."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.economics import EnergyMeter
from tutelage.errors import UsageError

BATCH = 64
_WARM_UP_CALLS = 10
_LEAST_CALLS = 5
_BATCHES = 20
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Footprint:
    """Latency in milliseconds for one text at a time and throughput in texts a second in batches of 64, both
    on one thread; size on disk in MB (10^6 bytes); weights; joules of the whole machine for one text, alone,
    where it has counters (`EnergyMeter`). `processor_p95_ms` is the processor time that the calling thread
    takes for one text, which nothing else on the machine lengthens. None where it isn't known.
    """

    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    throughput: float | None = None
    size_mb: float | None = None
    parameters: int | None = None
    joules: float | None = None
    processor_p95_ms: float | None = None


def measure_footprint(
    predict: Callable[[Sequence[str]], Any],
    texts: Sequence[str],
    *,
    folder: Path | None,
    parameters: int | None,
    size_mb: float | None = None,
    calls: int = 200,
    seconds: float = 5.0,
) -> Footprint:
    """Time `predict` (texts to an array) on one thread, over `texts` in turn.

    The thread counts of torch, BLAS and OpenMP are set to one meanwhile and restored. `calls` texts are
    timed one at a time, fewer where that took more than `seconds`; then batches of 64, for no longer again.
    Size is that of all files in `folder`, or `size_mb` where there is none. Raises UsageError without texts.
    """
    if not texts:
        raise UsageError("there is no text to measure with. Mend: give at least one")
    if calls < 1:
        raise UsageError(f"calls is {calls}. Mend: time at least one call")
    with one_thread():
        _warm_up(predict, texts, min(_WARM_UP_CALLS, calls), seconds)
        with EnergyMeter() as meter:
            latencies, processor = _latencies(predict, texts, calls, seconds)
        throughput = _throughput(predict, texts, seconds)
    median, slow = np.percentile(latencies, [50, 95]) * 1000
    return Footprint(
        latency_p50_ms=float(median),
        latency_p95_ms=float(slow),
        throughput=throughput,
        size_mb=folder_size_mb(folder) if folder is not None else size_mb,
        parameters=parameters,
        joules=None if meter.joules is None else meter.joules / len(latencies),
        processor_p95_ms=float(np.percentile(processor, 95)) * 1000,
    )


def _warm_up(
    predict: Callable[[Sequence[str]], Any], texts: Sequence[str], calls: int, seconds: float
) -> None:
    """At least one call, and no longer than the measuring may take: what writes takes seconds a text."""
    begun = time.perf_counter()
    for position in range(calls):
        predict([texts[position % len(texts)]])
        if time.perf_counter() - begun > seconds:
            break


def _latencies(
    predict: Callable[[Sequence[str]], Any], texts: Sequence[str], calls: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Seconds of each call by the clock, and of the processor."""
    taken: list[float] = []
    processor: list[float] = []
    deadline = time.perf_counter() + seconds
    for position in range(calls):
        text = texts[position % len(texts)]
        begun, worked = time.perf_counter(), time.thread_time()
        predict([text])
        ended = time.perf_counter()
        taken.append(ended - begun)
        processor.append(time.thread_time() - worked)
        if ended > deadline and len(taken) >= _LEAST_CALLS:
            break
    return taken, processor


def _throughput(predict: Callable[[Sequence[str]], Any], texts: Sequence[str], seconds: float) -> float:
    """Texts a second, the first batch (new shapes, new buffers) not counted where there is time for more."""
    starts = range(0, _BATCHES * BATCH, BATCH)
    batches = [[texts[(start + step) % len(texts)] for step in range(BATCH)] for start in starts]
    begun = time.perf_counter()
    predict(batches[0])
    first = time.perf_counter() - begun
    if first > seconds:
        return BATCH / first
    begun = time.perf_counter()
    for done, batch in enumerate(batches, start=1):  # noqa: B007
        predict(batch)
        if time.perf_counter() - begun > seconds:
            break
    return done * BATCH / max(time.perf_counter() - begun, 1e-9)


def folder_size_mb(folder: Path) -> float:
    """Size of all files in `folder` and below, in MB (10^6 bytes)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / _MEGABYTE


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch, BLAS, OpenMP and Rust tokenizers to one thread. Torch only where it is loaded already."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with ExitStack() as stack:
        torch = sys.modules.get("torch")
        if torch is not None:
            # Before the limits below, which would have torch report one thread, and so restored after them.
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        stack.enter_context(threadpool_limits(limits=1))
        stack.enter_context(_environment("TOKENIZERS_PARALLELISM", "false"))
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
