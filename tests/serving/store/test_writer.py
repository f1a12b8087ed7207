"""The thread that writes: killed at any moment it has kept what it acknowledged; a failing disk is sat out."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from captured import made
from waiting import until

import tutelage
from postgresql import PostgreSQL
from tutelage.serving.store import Store, open_store
from tutelage.serving.store import _store as store_module
from tutelage.serving.store import _writer as writer_module

HERE = Path(__file__).parent


def capturing(url: str, promise: str = "durable", **environment: str) -> subprocess.Popen[bytes]:
    python_path = os.pathsep.join([str(Path(tutelage.__file__).parent.parent), str(HERE)])
    return subprocess.Popen(
        [sys.executable, str(HERE / "capturing.py"), url, promise],
        env={**os.environ, "PYTHONPATH": python_path, **environment},
        stdout=subprocess.PIPE,
    )


def killed_after(child: subprocess.Popen[bytes], acknowledged: int, seconds: float) -> list[str]:
    """The ids that a child acknowledged until it was killed, so many and that much later."""
    assert child.stdout is not None
    read = b""
    while read.count(b"\n") < acknowledged and (part := os.read(child.stdout.fileno(), 1 << 16)):
        read += part
    time.sleep(seconds)
    child.kill()
    return whole_lines(read + child.communicate()[0])


def whole_lines(read: bytes) -> list[str]:
    return read[: read.rfind(b"\n") + 1].decode().split()


def check_all_is_there(url: str, acknowledged: list[str]) -> int:
    """Whether the store has what was acknowledged, and its counts fit; how many captures it has."""

    async def check() -> int:
        store = open_store(url)
        kept = [capture.id for capture in store.captures(limit=1_000_000)]
        assert set(acknowledged) <= set(kept)
        assert store.totals(0).total().requests == len(kept)
        assert store.monitors().get("count", 0) == len(kept), (
            "the state of a monitor is that after its captures"
        )
        await store.close()
        return len(kept)

    return asyncio.run(check())


def kill_often(url: str, times: int, promise: str = "durable") -> None:
    draw, acknowledged, kept = random.Random(7), list[str](), 0
    for _ in range(times):
        acknowledged += killed_after(capturing(url, promise), draw.randrange(1, 60), draw.random() / 20)
        kept = check_all_is_there(url, acknowledged)
        assert kept >= len(acknowledged) > 0
    print(
        f"{times} kills: {len(acknowledged):,} captures acknowledged, none of them lost; {kept:,} are there"
    )


@pytest.mark.parametrize("promise", ["durable", "written"])
def test_killed_at_any_moment_it_has_what_it_acknowledged(tmp_path: Path, promise: str) -> None:
    kill_often(f"sqlite:///{tmp_path / 's.sqlite'}", 2, promise)


@pytest.mark.long
@pytest.mark.parametrize("promise", ["durable", "written"])
def test_killed_a_hundred_times_it_has_what_it_acknowledged(
    url: str, promise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kill_often(url, 100, promise)


@pytest.mark.parametrize("point", ["capturing:1", "captured:1"])
def test_killed_around_a_commit_it_has_what_it_acknowledged(tmp_path: Path, point: str) -> None:
    url = f"sqlite:///{tmp_path / 's.sqlite'}"
    child = capturing(url, TUTELAGE_FAULT=point)
    acknowledged = whole_lines(child.communicate()[0])
    assert child.returncode == -signal.SIGKILL
    kept = check_all_is_there(url, acknowledged)
    # Whole but not committed is gone; committed is there, though nobody was told.
    assert not acknowledged and (kept > 0) == (point == "captured:1")


def test_killed_after_a_commit_nothing_that_was_written_counts_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.sqlite'}"
    child = capturing(url, "written", TUTELAGE_FAULT="captured:1")
    acknowledged = whole_lines(child.communicate()[0])
    assert child.returncode == -signal.SIGKILL and acknowledged
    left = sorted(tmp_path.glob("captures-*"))
    assert left[0].stat().st_size > 0, "the transaction has taken it, and its file is there yet"
    assert check_all_is_there(url, acknowledged) >= len(acknowledged)
    assert not any(path.exists() for path in left)


@contextmanager
def files_end_at(size: int) -> Iterator[Callable[[], None]]:
    """The kernel refuses every write past `size` bytes of a file, until what is yielded is called."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield lift
    finally:
        lift()


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """`folder` is a file system of 1 MB, until what is yielded makes it larger."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here: it takes root")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def captures_until_it_fails(store: Store, kept: list[str]) -> None:
    while not store.failure:
        capture = made("x" * 20_000)
        kept.append(capture.id)
        await store.capture(capture, promise="durable", monitors={"count": len(kept)})
        assert len(kept) < 1_000


def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The time-out of each wait for a disk from now on: counted, since a machine that halts waits as well."""
    seen, real = list[float | None](), asyncio.wait

    async def wait(futures: Any, *, timeout: float | None = None) -> Any:
        seen.append(timeout)
        return await real(futures, timeout=timeout)

    monkeypatch.setattr(asyncio, "wait", wait)
    return seen


async def sits_out(store: Store, lift: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is full: nobody waits, what came is kept while there is room, and nothing else is lost."""
    monkeypatch.setattr(writer_module, "QUEUE", 50)
    kept: list[str] = []
    await captures_until_it_fails(store, kept)
    assert store.lost == 0 and store.late >= 1 and "Mend:" in store.failure
    late, waited = store.late, waits(monkeypatch)
    while store.lost < 5:
        capture = made()
        await store.capture(capture, promise="durable")
        if not store.lost:
            kept.append(capture.id)
    assert waited == [], "no answer waits for a disk that is full"
    assert store.late > late and store.waiting <= 50
    assert len(store.captures()) >= 1, "pages still work"
    lift()
    await until(lambda: not store.failure and not store.waiting)
    after = made()
    await store.capture(after, promise="durable")
    assert {capture.id for capture in store.captures(limit=2_000)} == {*kept, after.id}
    assert store.monitors()["count"] >= 1
    [alert] = store.alerts()
    assert alert.kind == "captures lost" and alert.text.startswith(f"{store.lost} captures could not be kept")


def test_a_file_that_cant_grow_costs_captures_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        with files_end_at(500_000) as lift:
            await sits_out(store, lift, monkeypatch)
        await store.close()

    asyncio.run(use())


def test_a_full_disk_costs_captures_and_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(lift: Callable[[], None]) -> None:
        store = open_store(tmp_path / "disk" / "s.sqlite")
        await sits_out(store, lift, monkeypatch)
        await store.close()

    with small_disk(tmp_path / "disk") as lift:
        asyncio.run(use(lift))


def test_closed_on_a_full_disk_it_counts_what_it_had(tmp_path: Path) -> None:
    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        await store.capture(made(), promise="durable")
        with files_end_at(1):
            for promise in ("durable", "batched", "written", "batched"):
                await store.capture(made(), promise=promise)
            await store.close()
        assert (store.lost, store.late) == (4, 2)

    asyncio.run(use())


def test_a_file_that_another_process_keeps_locked_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 0.3)

    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        captures, waited = [made(str(number)) for number in range(20)], waits(monkeypatch)
        for capture in captures:
            await store.capture(capture, promise="durable")
        assert waited == [0.3], "the first waits in vain, the others not at all"
        assert (store.late, store.lost, store.failure) == (20, 0, "")
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: store.captures() == captures[::-1])
        await store.capture(made(), promise="durable")
        assert store.late == 20, "and then they wait again"
        await store.close()

    asyncio.run(use())


def test_a_database_that_hangs_keeps_no_server_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_CLOSED_WITHIN", 0.2)
    monkeypatch.setattr(store_module, "PATIENCE", 0.1)

    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await store.capture(made("taken by the transaction that hangs"), promise="durable")
        await store.capture(made("waits"), promise="durable")
        await store.close()
        assert (store.lost, store.late) == (1, 2)
        other.execute("ROLLBACK")
        other.close()

    asyncio.run(use())


def test_a_server_that_is_started_anew_has_all_captures_of_meanwhile(
    server: PostgreSQL, postgresql_url: str
) -> None:
    async def use() -> None:
        store = open_store(postgresql_url)
        captures = [made(str(number)) for number in range(30)]
        for number, capture in enumerate(captures):
            if number == 10:
                server.stop()
            if number == 20:
                server.start()
            await store.capture(capture, promise="durable")
        await until(lambda: not store.waiting and not store.failure)
        assert (store.captures(), store.lost) == (captures[::-1], 0)
        assert 10 <= store.late <= 20
        await store.close()

    asyncio.run(use())


def test_what_no_database_can_take_costs_itself_alone(url: str) -> None:
    async def use() -> None:
        store = open_store(url)
        captures = [made(str(number)) for number in range(10)]
        await asyncio.gather(
            *(
                store.capture(
                    capture,
                    promise="durable",
                    monitors={"bad": object()} if number == 4 else {"good": number},
                )
                for number, capture in enumerate(captures)
            )
        )
        assert store.lost == 1 and "not JSON serializable" in store.alerts()[0].text
        assert {capture.id for capture in store.captures()} == {
            c.id for c in captures if c is not captures[4]
        }
        assert store.monitors() == {"good": 9}
        await store.close()

    asyncio.run(use())


def test_what_a_database_refuses_is_told_without_its_content(url: str) -> None:
    async def use() -> None:
        store = open_store(url)
        refused = replace(made("my secret text"), reason=None)  # type: ignore[arg-type]
        await store.capture(refused, promise="durable")
        assert (store.lost, store.late, store.failure) == (1, 1, ""), (
            "one that is refused makes no server unready"
        )
        await store.capture(made("my secret text"), promise="durable")
        [alert] = store.alerts()
        assert "refused" in alert.text and "reason" in alert.text and "secret" not in alert.text
        assert store.late == 1
        await store.close()

    asyncio.run(use())


def test_texts_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "HELD", 10_000)

    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        for _ in range(10):
            await store.capture(made("x" * 5_000), promise="batched")  # sooner than they are written
        lost = store.lost
        assert 6 <= lost <= 8
        await until(lambda: len(store.captures()) == 10 - lost and not store.failure)
        await store.capture(made("x" * 5_000), promise="durable")
        assert (store.late, store.lost) == (0, lost)
        await store.close()

    asyncio.run(use())


def test_captures_of_several_event_loops_are_each_told_in_their_own(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.sqlite")

    async def some(number: int) -> None:
        await asyncio.gather(*(store.capture(made(str(number)), promise="durable") for _ in range(50)))

    async def use() -> None:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, some(number)) for number in range(4)))
        assert len(store.captures(limit=1_000)) == 200 and store.late == 0
        await store.close()

    asyncio.run(use())


def test_an_event_loop_that_ends_while_it_waits_stops_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.sqlite")

    async def abandoned() -> Any:
        return asyncio.ensure_future(store.capture(made(), promise="durable"))

    asyncio.run(abandoned())

    async def use() -> None:
        await store.capture(made(), promise="durable")
        assert store.late == 0 and store.lost == 0
        await store.close()

    asyncio.run(use())
