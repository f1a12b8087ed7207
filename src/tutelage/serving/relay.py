"""A teacher's stream on its way to whoever asked: read to its end even where nobody listens any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from tutelage.errors import TeacherError, TeacherUnavailable
from tutelage.serving.chat import StreamReader
from tutelage.serving.upstream import ChatEndpoint

_MOST_BYTES = 32 << 20  # of one stream: what nobody takes from here waits in memory
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that has begun: its first bytes are there. `kind` is its content type."""

    teacher: str
    response: aiohttp.ClientResponse
    first: bytes
    stack: AsyncExitStack

    @property
    def status(self) -> int:
        """HTTP's."""
        return self.response.status

    @property
    def kind(self) -> str:
        """What the bytes are: events, or where the request was turned down what the teacher calls it."""
        return _EVENTS if self.status == 200 else self.response.content_type


async def open_stream(teacher: ChatEndpoint, body: Mapping[str, Any], text: str) -> Opened:
    """Ask for a stream and wait for its first bytes. Raises TeacherError where none come."""
    stack = AsyncExitStack()
    try:
        response = await stack.enter_async_context(teacher.stream(body, text))
        first = await response.content.readany()
        if not first:
            raise TeacherUnavailable(f"the stream of {teacher.name} is empty", fault="body")
    except (aiohttp.ClientError, OSError) as error:
        await stack.aclose()
        raise _broken(teacher.name, error) from error
    except BaseException:
        await stack.aclose()
        raise
    return Opened(teacher.name, response, first, stack)


class Relay:
    """Reads a stream and hands it on. What was asked for is paid for, and so it is read and kept whole."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._ready: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._held = opened.first
        self.said = StreamReader()
        self.status = opened.status

    async def read(self, within: float) -> TeacherError | None:
        """Read to the end; why that is no proper one, if so. The last bytes are held back until `end`."""
        opened, size = self._opened, 0
        content = opened.response.content
        try:
            async with asyncio.timeout(within):
                while data := await content.readany():
                    self._hand_on(data)
                    if (size := size + len(data)) > _MOST_BYTES:
                        return TeacherUnavailable(f"{opened.teacher} streams without end", fault="body")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one of them
            return _broken(opened.teacher, error)
        finally:
            self._hand_on(b"")
            await opened.stack.aclose()
        return None

    def _hand_on(self, data: bytes) -> None:
        """Hand on what was held, and hold this."""
        if self._held:
            self.said.feed(self._held)
            if data:
                self._ready.put_nowait(self._held)
        self._held = data or self._held

    def add(self, data: bytes) -> None:
        """Say something more, in place of what the teacher didn't; half an event is left out."""
        whole = self._held.rfind(b"\n\n") + 1
        self._held = self._held[: whole + 1 if whole else 0] + data

    def end(self) -> None:
        """Hand on the last bytes."""
        if self._held:
            self._ready.put_nowait(self._held)
        self._ready.put_nowait(None)

    async def events(self) -> AsyncIterator[bytes]:
        """The bytes, as they come."""
        while (data := await self._ready.get()) is not None:
            yield data


def _broken(name: str, error: Exception) -> TeacherUnavailable:
    if isinstance(error, TimeoutError):
        return TeacherUnavailable(f"the stream of {name} did not end in time", fault="time-out")
    return TeacherUnavailable(f"the stream of {name} broke off: {type(error).__name__}", fault="connection")
