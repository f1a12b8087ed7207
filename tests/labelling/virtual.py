"""An event loop whose time leaps from timer to timer, and endpoints that answer in it.

A run that takes an hour of waiting takes none, and the same one each time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.config import LabellingConfig
from tutelage.errors import TeacherUnavailable
from tutelage.labelling import AnswerLedger, LabellingReport, ask
from tutelage.records import Answer, AnswerStatus, Prompt, Usage
from tutelage.tasks import Classify

TASK = Classify(("refund", "card", "card stolen"))
Result = TypeVar("Result")


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: time passes instead."""

    leap: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("the run waits for something that no timer and no call brings")
        self.leap(timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0. Work for threads is done at once, in none of the loop's time."""

    def __init__(self) -> None:
        selector = _Leaping()
        selector.leap = self._leap
        self._passed = 0.0
        super().__init__(selector)

    def _leap(self, seconds: float) -> None:
        self._passed += seconds

    def time(self) -> float:
        return self._passed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - for whoever awaits it
            done.set_exception(error)
        return done


def in_virtual_time(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` in a loop of that kind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(number), f"prompt {number}") for number in range(count)]


class Endpoint:
    """A teacher behind an endpoint that serves calls as `serve` does, which may raise what a teacher may.

    `log` has for each call when it went out and how many were under way with it; `answers` when answers came.
    """

    name, revision, paid, batch_size = "virtual", "1", False, 1
    concurrency: int | None = None

    def __init__(self, serve: Callable[[Endpoint], Awaitable[None]], tokens: int = 0, calls: int = 1) -> None:
        self._serve, self._tokens, self._calls = serve, tokens, calls
        self.under_way = 0
        self.refused = False
        self.log: list[tuple[float, int]] = []
        self.answers: list[float] = []

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        return 0.0

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        clock = asyncio.get_running_loop().time
        started = clock()
        self.under_way += 1
        self.log.append((started, self.under_way))
        try:
            await self._serve(self)
        finally:
            self.under_way -= 1
        self.answers.append(clock())
        usage = Usage(input_tokens=self._tokens, latency=clock() - started, calls=self._calls)
        return [Answer(AnswerStatus.OK, "card", usage=usage) for _ in prompts]

    async def close(self) -> None:
        pass

    def sent_between(self, start: float, end: float) -> int:
        return sum(start <= at < end for at, _ in self.log)

    def answered_between(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.answers)

    def under_way_between(self, start: float, end: float) -> list[int]:
        """Calls under way as each call of that time went out."""
        return [count for at, count in self.log if start <= at < end]


def flat(latency: Callable[[], float]) -> Callable[[Endpoint], Awaitable[None]]:
    """As many calls at once as anybody likes."""

    async def serve(endpoint: Endpoint) -> None:
        await asyncio.sleep(latency())

    return serve


def slots(count: int, latency: Callable[[], float]) -> Callable[[Endpoint], Awaitable[None]]:
    """`count` calls at once; others wait in a queue."""
    free = asyncio.Semaphore(count)

    async def serve(endpoint: Endpoint) -> None:
        async with free:
            await asyncio.sleep(latency())

    return serve


def turning_away(limit: int, latency: float) -> Callable[[Endpoint], Awaitable[None]]:
    """`limit` calls at once; others get a 429."""

    async def serve(endpoint: Endpoint) -> None:
        if endpoint.under_way > limit:
            raise TeacherUnavailable("slow down", fault="429")
        await asyncio.sleep(latency)

    return serve


def down_between(start: float, end: float, latency: float) -> Callable[[Endpoint], Awaitable[None]]:
    """Refuses connections for a time."""

    async def serve(endpoint: Endpoint) -> None:
        if start <= asyncio.get_running_loop().time() < end:
            raise TeacherUnavailable("the connection failed", fault="connection")
        await asyncio.sleep(latency)

    return serve


def labelled(
    endpoint: Endpoint, count: int, path: Path, progress: Any = None, **settings: Any
) -> LabellingReport:
    """A run over `count` prompts in virtual time, on a ledger of its own."""
    with AnswerLedger(path / "virtual.sqlite") as ledger:
        ledger._database.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug here
        config = LabellingConfig(**settings)
        return in_virtual_time(ask(prompts(count), endpoint, TASK, ledger, config, progress))
