"""A process that captures until it is killed: `python capturing.py URL PROMISE`.

It prints the id of each capture that was acknowledged. Each carries the state of a monitor that counts them.
"""

from __future__ import annotations

import asyncio
import os
import sys

from captured import made

from tutelage.serving.captures import Promise
from tutelage.serving.store import open_store


async def main(url: str, promise: Promise) -> None:
    store = open_store(url)
    count = store.monitors().get("count", 0)

    async def capture_on() -> None:
        nonlocal count
        while True:
            capture = made("x" * (count % 2_000))
            count += 1
            await store.capture(capture, promise=promise, monitors={"count": count})
            if not (store.lost or store.late):
                os.write(1, f"{capture.id}\n".encode())
            await asyncio.sleep(0)  # only a durable one waits by itself

    await asyncio.gather(*(capture_on() for _ in range(20)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))  # type: ignore[arg-type]
