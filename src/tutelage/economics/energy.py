"""Energy as the machine's own counters tell it: processors by RAPL, NVIDIA GPUs by NVML."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

POWERCAP = Path("/sys/class/powercap")
_EVERY = 60.0  # seconds between two readings: a processor's counter comes round within minutes at full power
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of energy: `read` gives joules, which begin at 0 again after `range` joules (None: never)."""

    name: str
    read: Callable[[], float]
    range: float | None = None


class EnergyMeter:
    """Joules that the machine took while a block ran, whatever ran beside it; what idling takes is in it too.

    `joules` is None where nothing could be read: there is no counter, or it is only root's to read. `source`
    names the counters, `seconds` is how long it ran. After the block they stand.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._counters = [*_processors(powercap), *_gpus()]
        self._last: list[float] = []
        self._total = 0.0
        self._begun = 0.0
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None
        self.joules: float | None = None
        self.seconds = 0.0

    @property
    def source(self) -> str:
        """The counters' names; empty where there is none."""
        return ", ".join(counter.name for counter in self._counters)

    def to_json(self) -> dict[str, float | str] | None:
        """{joules, seconds, source}; None where nothing could be read."""
        if self.joules is None:
            return None
        return {"joules": self.joules, "seconds": self.seconds, "source": self.source}

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        try:
            self._last = [counter.read() for counter in self._counters]
        except OSError:
            self._counters = []
        if self._counters:
            self._watch = threading.Thread(target=self._watching, name="energy", daemon=True)
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._begun
        self._ended.set()
        if self._watch is not None:
            self._watch.join()
        if self._counters and self._add():
            self.joules = self._total

    def _watching(self) -> None:
        while not self._ended.wait(_EVERY):
            if not self._add():
                return

    def _add(self) -> bool:
        """Add what was taken since the last reading; whether all could be read."""
        try:
            now = [counter.read() for counter in self._counters]
        except OSError:
            self._counters = []
            return False
        for counter, before, after in zip(self._counters, self._last, now, strict=True):
            taken = after - before
            if taken < 0 and counter.range is not None:
                taken += counter.range
            self._total += max(taken, 0.0)
        self._last = now
        return True


def _processors(powercap: Path) -> Iterator[Counter]:
    """The packages' counters; what is in them (cores, memory) has zones of its own and counts once."""
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue
        with suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            if name.startswith("package"):
                whole = float((zone / "max_energy_range_uj").read_text()) * _MICRO
                yield Counter(f"RAPL {name}", _reader(zone / "energy_uj"), whole)


def _reader(path: Path) -> Callable[[], float]:
    def read() -> float:
        try:
            return float(path.read_text()) * _MICRO
        except ValueError as error:
            raise OSError(f"{path} holds no number") from error

    return read


def _gpus() -> Iterator[Counter]:
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return
    for index, handle in enumerate(handles):
        yield Counter(f"NVML GPU {index}", _gpu_reader(pynvml, handle))


def _gpu_reader(pynvml: ModuleType, handle: object) -> Callable[[], float]:
    def read() -> float:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * _MILLI
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    return read
