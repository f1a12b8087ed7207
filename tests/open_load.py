"""Load on a server, from a thread of its own: open loop, so that a server that stalls isn't spared.

Requests are sent when it is their time, whether those before were answered or not, and a latency counts from
the time at which a request should have been sent. That keeps a slow server, or a slow generator, from hiding
its delays (coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aiohttp

Body = Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True)
class Sent:
    """One request. `latency` in seconds; `status` 0 where no whole answer came. `answer` is its JSON."""

    at: float
    latency: float
    status: int
    retry_after: str
    answer: Mapping[str, Any]

    @property
    def about(self) -> Mapping[str, Any]:
        """Who answered: the extension of a completion, or the answer itself."""
        extension: Mapping[str, Any] = self.answer.get("tutelage", self.answer)
        return extension


class Load:
    """So many requests a second to one address, from `start` to `stop`."""

    def __init__(
        self,
        url: str,
        rate: float,
        body: Body,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.sent: list[Sent] = []
        self.lag = 0.0
        self._url, self._rate, self._body, self._timeout = url, rate, body, timeout
        self._headers = dict(headers or {})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._drive()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send no more, and wait for what is under way."""
        self._stopping.set()
        self._thread.join(self._timeout + 10)

    async def _drive(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=self._headers
        ) as session:
            began, number = perf_counter(), 0
            under_way: set[asyncio.Task[None]] = set()
            while not self._stopping.is_set():
                due = began + number / self._rate
                if (early := due - perf_counter()) > 0:
                    await asyncio.sleep(early)
                self.lag = max(self.lag, perf_counter() - due)
                task = asyncio.create_task(self._ask(session, number, due))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
            if under_way:
                await asyncio.wait(under_way)

    async def _ask(self, session: aiohttp.ClientSession, number: int, due: float) -> None:
        status, retry_after, answer = 0, "", {}
        try:
            async with session.post(self._url, json=self._body(number)) as response:
                content = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After", "")
                answer = json.loads(content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            status, answer = 0, {"error": repr(error)}
        self.sent.append(Sent(due, perf_counter() - due, status, retry_after, answer))

    @property
    def statuses(self) -> Counter[int]:
        """How many answers there are of each status."""
        return Counter(each.status for each in self.sent)

    @property
    def failed(self) -> Sequence[Sent]:
        """What was answered with another status than 200, or not at all."""
        return [each for each in self.sent if each.status != 200]

    def quantile(self, q: float, after: float = 0.0) -> float:
        """Of latencies in seconds, leaving out the first `after` seconds."""
        began = min(each.at for each in self.sent)
        times = sorted(each.latency for each in self.sent if each.at - began >= after)
        return times[min(len(times) - 1, int(q * len(times)))]
