"""An open-loop load that costs next to nothing, for `benchmarks/gateway.py`: a process of its own.

A latency is only as good as the clock that measures it. Two threads, one that sends when it is time and one that
reads, work on plain sockets with requests that were put into bytes beforehand; no event loop (whose timers tick
in milliseconds), no garbage collector, no JSON. A latency counts from the time at which a request was due, so that
neither a slow server nor a late generator hides anything; how late requests were sent is told beside it.

    python benchmarks/open_loop.py URL --rate 300 --seconds 20 [--key KEY] < bodies.jsonl

Standard input has one body a line, sent in turn for ever; standard output gets one JSON object: counts, and for
each request sent (in order) its second, latency and lateness. `load` runs it and reads that.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

_PATIENCE = 30.0  # seconds for what is under way at the end
_FIRST = 8  # connections opened beforehand; more as they are needed


@dataclass(eq=False)
class _Connection:
    """One request at a time: which, and what of its answer has come."""

    socket: socket.socket
    number: int = -1
    read: bytearray = field(default_factory=bytearray)


class Generator:
    """Sends `requests` in turn, so many a second. Times in seconds; 0 where no whole answer came."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes], rate: float, seconds: float) -> None:
        self._address, self._requests, self._rate = (host, port), requests, rate
        count = int(rate * seconds)
        self.due = array("d", bytes(8 * count))
        self.late = array("d", bytes(8 * count))
        self.latency = array("d", bytes(8 * count))
        self.statuses: Counter[str] = Counter()
        self.by: Counter[str] = Counter()
        self.fault = ""
        self._free: deque[_Connection] = deque()
        self._by_file: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self._answered, self._sending = 0, True

    def run(self) -> None:
        """All of it."""
        for _ in range(_FIRST):
            self._free.append(self._open())
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._send()
        self._sending = False
        reader.join(_PATIENCE + 1)

    def _open(self) -> _Connection:
        connection = _Connection(socket.create_connection(self._address))
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._by_file[connection.socket.fileno()] = connection
        self._poll.register(connection.socket.fileno(), select.EPOLLIN)
        return connection

    def _send(self) -> None:
        began, clock = time.perf_counter() + 0.1, time.perf_counter
        for number in range(len(self.due)):
            due = began + number / self._rate
            if (early := due - clock()) > 0:
                time.sleep(early)
            self.due[number], self.late[number] = due, clock() - due
            self._ask(number, self._requests[number % len(self._requests)])

    def _ask(self, number: int, request: bytes) -> None:
        """On the connection used last, so that those that a lag has opened fall idle and are closed."""
        while True:
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._open()
            connection.number = number
            try:
                connection.socket.sendall(request)
            except OSError:  # the server has closed it just now
                connection.number = -1
                continue
            return

    def _read(self) -> None:
        ends = float("inf")
        while self._answered < len(self.due):
            if not self._sending:
                ends = min(ends, time.perf_counter() + _PATIENCE)
            if time.perf_counter() > ends:
                break
            for file, _ in self._poll.poll(0.2):
                self._take(self._by_file[file])

    def _take(self, connection: _Connection) -> None:
        data, now = self._received(connection), time.perf_counter()
        read = connection.read
        read += data
        if data and not _is_whole(read):
            return
        idle = connection.number < 0
        if not idle:
            self._note(connection.number, now, bytes(read))
        closes = not data or b"\r\nconnection: close" in read[: read.find(b"\r\n\r\n") + 2].lower()
        connection.number = -1
        read.clear()
        if closes:
            self._poll.unregister(connection.socket.fileno())
            connection.socket.close()
            if idle:
                with suppress(ValueError):  # it was taken to be used meanwhile
                    self._free.remove(connection)
        elif not idle:
            self._free.append(connection)

    @staticmethod
    def _received(connection: _Connection) -> bytes:
        try:
            return connection.socket.recv(1 << 16)
        except OSError:
            return b""

    def _note(self, number: int, now: float, answer: bytes) -> None:
        self._answered += 1
        head = answer[: answer.find(b"\r\n\r\n")].lower()
        status = head[9:12].decode() or "none"
        self.statuses[status] += 1
        if status.startswith("2"):
            self.latency[number] = now - self.due[number]
        elif not self.fault:
            self.fault = answer[:500].decode("utf-8", "replace")
        _, _, rest = head.partition(b"\r\nx-tutelage-by:")
        self.by[rest.partition(b"\r\n")[0].strip().decode() or "-"] += 1


def _is_whole(read: bytearray) -> bool:
    ends = read.find(b"\r\n\r\n")
    if ends < 0:
        return False
    head = bytes(read[:ends]).lower()
    _, declared, rest = head.partition(b"\r\ncontent-length:")
    if declared:
        return len(read) >= ends + 4 + int(rest.partition(b"\r\n")[0])
    return read.endswith(b"\r\n0\r\n\r\n")


def request(url: str, key: str, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(frozen=True)
class Measured:
    """What a load found. `latency`, `late`: float64 [requests sent], seconds; a failed one has latency 0."""

    statuses: dict[str, int]
    by: dict[str, int]
    fault: str
    latency: np.ndarray
    late: np.ndarray
    rate: float

    @property
    def failed(self) -> int:
        """Requests without a whole answer of status 2xx."""
        return int((self.latency == 0).sum())

    def quantile(self, share: float, warm: float = 0.0) -> float:
        """Of the latencies of what was sent after `warm` seconds; a failed one counts as endless."""
        counted = self.latency[int(warm * self.rate) :]
        return float(np.quantile(np.where(counted == 0, np.inf, counted), share, method="inverted_cdf"))

    def lateness(self, share: float, warm: float = 0.0) -> float:
        """Of the seconds by which requests were sent too late, which is part of the latencies."""
        return float(np.quantile(self.late[int(warm * self.rate) :], share))


def load(url: str, key: str, rate: float, seconds: float, bodies: Sequence[Any]) -> Measured:
    """Run a load in a process of its own."""
    command = [sys.executable, str(Path(__file__)), url, "--rate", str(rate), "--seconds", str(seconds)]
    lines = "\n".join(json.dumps(body) for body in bodies)
    ran = subprocess.run([*command, "--key", key], input=lines, capture_output=True, text=True, check=True)
    told = json.loads(ran.stdout)
    latency, late = np.array(told.pop("latency")), np.array(told.pop("late"))
    return Measured(**told, latency=latency, late=late, rate=rate)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--key", default="none")
    options = parser.parse_args()
    parts = urlsplit(options.url)
    requests = [request(options.url, options.key, line.encode()) for line in sys.stdin.read().splitlines()]
    generator = Generator(parts.hostname or "", parts.port or 80, requests, options.rate, options.seconds)
    gc.disable()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a server that lags has many connections open
    generator.run()
    told = {"statuses": generator.statuses, "by": generator.by, "fault": generator.fault}
    json.dump(told | {"latency": list(generator.latency), "late": list(generator.late)}, sys.stdout)


if __name__ == "__main__":
    main()
