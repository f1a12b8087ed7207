"""What a server does now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from captured import made
from waiting import until

from tutelage.config import PeopleConfig, ServingConfig
from tutelage.serving import upkeep as upkeep_module
from tutelage.serving.captures import new_id
from tutelage.serving.store import Alert, Store, open_store
from tutelage.serving.store import _writer as writer_module
from tutelage.serving.upkeep import Upkeep


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "_ENQUEUED", 0.02)
    monkeypatch.setattr(upkeep_module, "_LOOKED", 0.02)


def kept_up(path: Path, config: ServingConfig, use: Callable[[Store, list[Alert]], object]) -> None:
    async def run() -> None:
        store, told = open_store(path), list[Alert]()

        def announce(alert: Alert) -> None:
            asyncio.get_running_loop()  # as alerts need it, to post them
            told.append(alert)

        upkeep = Upkeep(store, config, announce)
        await upkeep.begin()
        await use(store, told)  # type: ignore[misc]
        await upkeep.close()
        await store.close()

    asyncio.run(run())


def test_requests_come_before_people_also_those_of_before_the_start(tmp_path: Path) -> None:
    async def before() -> None:
        store = open_store(tmp_path / "s.sqlite")
        await store.capture(made("earlier", agree=False), promise="durable")
        await store.close()

    async def use(store: Store, told: list[Alert]) -> None:
        await until(lambda: len(store.reviews.waiting()) == 1)
        later = made("later")
        await store.capture(later, promise="durable")
        await store.complete(later.id, teacher_value='"fee"', agree=False, cost=0.0, promise="durable")
        await until(lambda: len(store.reviews.waiting()) == 2)
        assert told == []

    asyncio.run(before())
    kept_up(tmp_path / "s.sqlite", ServingConfig(), use)


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    async def use(store: Store, told: list[Alert]) -> None:
        await until(lambda: len(store.captures()) == 1)

    async def before() -> None:
        store = open_store(tmp_path / "s.sqlite")
        old = time.time() - 2 * 86_400
        id = f"{int(old * 1000) << 80:032x}"[:20] + new_id()[20:]
        await store.capture(made("old", id=id, at=old), promise="durable")
        await store.capture(made("new"), promise="durable")
        assert len(store.captures()) == 2
        await store.close()

    asyncio.run(before())
    kept_up(tmp_path / "s.sqlite", ServingConfig(retention_days=1), use)


def test_losses_are_told_once_while_they_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(store: Store, told: list[Alert]) -> None:
        for _ in range(2):
            with monkeypatch.context() as full:
                full.setattr(writer_module, "QUEUE", 0)
                for _ in range(3):
                    await store.capture(made(), promise="batched")
                    await asyncio.sleep(0.05)
            await store.capture(made(), promise="durable")
            await until(lambda: not store.failure)
            await asyncio.sleep(0.1)
        assert [alert.kind for alert in told] == ["captures lost"] * 2
        assert all("lost so far" in alert.text for alert in told) and store.lost == 6

    kept_up(tmp_path / "s.sqlite", ServingConfig(), use)


def test_a_database_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(store: Store, told: list[Alert]) -> None:
        await store.capture(made(agree=False), promise="durable")
        real, calls = store.reviews.enqueue, [0]

        def failing(*args: object, **more: object) -> int:
            calls[0] += 1
            if calls[0] < 3:
                raise OSError("gone")
            return real(*args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(store.reviews, "enqueue", failing)
        await until(lambda: calls[0] > 3 and len(store.reviews.waiting()) == 1)

    kept_up(tmp_path / "s.sqlite", ServingConfig(), use)


def test_items_that_wait_too_long_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(store: Store, told: list[Alert]) -> None:
        counts, looks = store.reviews.counts, list[float]()

        def counted(now: float) -> object:
            looks.append(now)
            return counts(now=now)

        async def look_twice() -> None:
            seen = len(looks)
            await until(lambda: len(looks) >= seen + 3)  # the first may have begun before

        monkeypatch.setattr(store.reviews, "counts", counted)
        for number in range(2):
            late = [made(f"{number} {again}", agree=False, at=time.time() - 2 * 86_400) for again in range(3)]
            for capture in late:
                await store.capture(capture, promise="durable")
            await until(lambda: counts(now=time.time()).overdue == 3)
            await until(lambda expected=number + 1: len(told) == expected)  # type: ignore[misc]
            await look_twice()
            for capture in late:
                store.reviews.decide(capture.id, "ann", '"a"', now=time.time())
            await look_twice()
        assert [alert.kind for alert in told] == ["reviews overdue"] * 2

    kept_up(tmp_path / "s.sqlite", ServingConfig(people=PeopleConfig(second=0.0)), use)
