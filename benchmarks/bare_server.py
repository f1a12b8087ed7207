"""A server that only computes: what a machine makes of so much work a request, for `benchmarks/gateway.py`.

It answers every request with two bytes once it has done a fixed amount of work, about SECONDS of it on a quiet
machine; no framework, no capture, no second thread. Where its slowest answers are slow too, it is the machine's
processors that stall (those of a virtual machine are often lent to others for some tens of milliseconds), and
no server on it can do better.

    python benchmarks/bare_server.py PORT SECONDS
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from time import perf_counter
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_UNIT = 20  # keys of a step: some ten microseconds


def work(steps: int) -> None:
    """What a request's handling is made of: objects, strings, JSON."""
    for _ in range(steps):
        json.dumps({str(number): [number] for number in range(_UNIT)})


def steps_for(seconds: float) -> int:
    """How many steps take so long here, of the fastest of several tries."""
    tries = []
    for _ in range(20):
        began = perf_counter()
        work(100)
        tries.append((perf_counter() - began) / 100)
    return max(1, round(seconds / min(tries)))


class _Computing(asyncio.Protocol):
    def __init__(self, steps: int) -> None:
        self._steps = steps

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        work(self._steps)
        self._transport.write(_ANSWER)


async def _serve(port: int, steps: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Computing(steps), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    uvloop.run(_serve(int(sys.argv[1]), steps_for(float(sys.argv[2]))))
