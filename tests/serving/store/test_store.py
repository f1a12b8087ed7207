"""The store on SQLite: what goes in comes out, totals are sums, and nothing is lost unseen."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from captured import made

from tutelage.errors import IntegrityError, UsageError
from tutelage.serving.captures import Capture
from tutelage.serving.store import Alert, ApiKey, RolloutChange, Store, open_store

Use = Callable[[Store], Coroutine[Any, Any, None]]


@asynccontextmanager
async def opened(url: str | Path) -> AsyncIterator[Store]:
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


def within(url: str | Path, use: Use) -> None:
    async def run() -> None:
        async with opened(url) as store:
            await use(store)

    asyncio.run(run())


def test_a_durable_capture_is_there_at_once_and_after_reopening(url: str) -> None:
    full = made(
        "caf\N{LATIN SMALL LETTER E WITH ACUTE} \U0001f600",
        audited=True,
        teacher_value='"fee"',
        agree=False,
        reason="audit",
    )
    bare = made("x", key="", confidence=None, student_value=None, value=None, by="nobody")
    bare = replace(bare, text=None)

    async def put(store: Store) -> None:
        for capture in (full, bare):
            await store.capture(capture, promise="durable")
            assert store.captures(limit=1) == [capture]

    async def read(store: Store) -> None:
        assert store.captures() == [bare, full]
        assert store.lost == 0 and store.late == 0 and store.failure == ""

    within(url, put)
    within(url, read)


def test_captures_that_nobody_waits_for_are_there_soon_and_surely_after_closing(url: str) -> None:
    captures = [made(str(number)) for number in range(1_500)]

    async def put(store: Store) -> None:
        for capture in captures:
            await store.capture(capture, promise="batched")

    async def read(store: Store) -> None:
        assert store.captures(limit=10_000) == captures[::-1]

    within(url, put)
    within(url, read)


def test_pages_go_through_all_captures_that_fit_newest_first(url: str) -> None:
    captures = [
        made(
            str(number),
            by="student" if number % 2 else "teacher",
            audited=number % 3 == 0,
            agree=[None, True, False][number % 3],
        )
        for number in range(30)
    ]

    async def use(store: Store) -> None:
        await asyncio.gather(*(store.capture(capture, promise="durable") for capture in captures))

        def walked(**filters: Any) -> list[Capture]:
            found: list[Capture] = []
            while page := store.captures(limit=4, before=found[-1].id if found else None, **filters):
                found += page
            return found

        newest = captures[::-1]
        assert walked() == newest
        assert walked(by="teacher") == [capture for capture in newest if capture.by == "teacher"]
        assert walked(disagreeing=True) == [capture for capture in newest if capture.agree is False]
        assert walked(disagreeing=False) == [capture for capture in newest if capture.agree]
        assert walked(audited=True, by="student") == [
            capture for capture in newest if capture.audited and capture.by == "student"
        ]
        assert walked(since=captures[-1].at + 1) == []
        assert walked(slice="hard") == [] and walked(slice="normal", by="teacher") == walked(by="teacher")

    within(url, use)


def test_an_audit_that_comes_back_later_completes_its_capture_once(url: str) -> None:
    capture = made(cost=0.25)

    async def use(store: Store) -> None:
        await store.capture(capture, promise="batched")
        for _ in range(2):  # the second changes nothing: no error counts twice
            await store.complete(capture.id, teacher_value='"fee"', agree=False, cost=0.5, promise="durable")
        await store.complete("0" * 32, teacher_value='"fee"', agree=False, cost=0.5, promise="durable")
        assert store.captures() == [
            replace(capture, teacher_value='"fee"', agree=False, cost=0.75, audited=True)
        ]
        total = store.totals(0).total()
        assert (total.requests, total.disagreed, total.audit_disagreed, total.cost) == (1, 1, 1, 0.75)

    within(url, use)


def test_totals_are_the_sums_over_captures_by_stage_by_and_slice(url: str) -> None:
    captures = [
        made(
            str(number),
            by=("student", "teacher")[number % 2],
            stage=("canary", "cascade")[number // 50],
            slice=("normal", "hard", "critical")[number % 3],
            audited=number % 4 == 0,
            agree=(True, False, None)[number % 5 % 3],
            latency=number / 8,
            cost=1.0,
        )
        for number in range(100)
    ]

    async def use(store: Store) -> None:
        for capture in captures:
            await store.capture(capture, promise="batched")
        await store.capture(replace(made(), at=captures[0].at - 3_600, cost=100.0), promise="durable")
        totals = store.totals(captures[0].at)
        assert len(totals.tallies) == 12
        for tally in totals.tallies:
            mine = [c for c in captures if (c.stage, c.by, c.slice) == (tally.stage, tally.by, tally.slice)]
            audits = [c for c in mine if c.audited and c.by == "student"]
            assert tally.requests == len(mine) == tally.cost
            assert tally.agreed == sum(c.agree is True for c in mine)
            assert tally.disagreed == sum(c.agree is False for c in mine)
            assert tally.audit_agreed == sum(c.agree is True for c in audits)
            assert tally.audit_disagreed == sum(c.agree is False for c in audits)
            assert tally.latency == sum(c.latency for c in mine)
        assert totals.total(by="student", stage="canary").requests == 25
        assert store.totals(0).total().requests == 101

    within(url, use)


def test_a_series_has_the_totals_of_each_stretch_in_which_anything_came(url: str) -> None:
    begin = 1_800_000_000.0 // 3_600 * 3_600
    captures = [
        made(str(minute), at=begin + 60 * minute + 1, cost=float(minute)) for minute in (0, 1, 4, 5, 59, 61)
    ]

    async def use(store: Store) -> None:
        for capture in [*captures, made("before", at=begin - 1)]:
            await store.capture(capture, promise="durable")
        assert [totals.since - begin for totals in store.series(begin)] == [0, 60, 240, 300, 3_540, 3_660]
        by_five = store.series(begin + 30, minutes=5)
        assert [(totals.since - begin, totals.total().requests) for totals in by_five] == [
            (0, 3),
            (300, 1),
            (3_300, 1),
            (3_600, 1),
        ]
        assert by_five[0].total().cost == 5.0
        assert sum(totals.total().requests for totals in store.series(0, minutes=60)) == 7

    within(url, use)


def test_an_id_that_is_there_already_costs_that_capture_alone(url: str) -> None:
    captures = [made(str(number)) for number in range(20)]

    async def use(store: Store) -> None:
        await store.capture(captures[7], promise="durable")
        await asyncio.gather(*(store.capture(capture, promise="durable") for capture in captures))
        assert store.lost == 1
        assert {capture.id for capture in store.captures()} == {capture.id for capture in captures}
        assert store.totals(0).total().requests == 20
        await store.capture(made(), promise="durable")
        assert [alert.kind for alert in store.alerts(open_only=True)] == ["captures lost"]
        assert store.failure == ""

    within(url, use)


def test_texts_that_a_database_refuses_are_kept_readable(url: str) -> None:
    async def use(store: Store) -> None:
        await store.capture(replace(made(), text="a\0b \udcff"), promise="durable")
        assert store.lost == 0
        assert store.captures()[0].text == "a\N{SYMBOL FOR NULL}b \\udcff"

    within(url, use)


def test_monitors_are_written_with_the_capture_that_moved_them(url: str) -> None:
    async def use(store: Store) -> None:
        for number in range(3):
            await store.capture(
                made(),
                promise="durable" if number == 2 else "batched",
                monitors={"normal": {"trials": number, "sums": [0.5]}},
            )
        store.save_monitors({"hard": {"trials": 9}})
        store.save_monitors({})
        assert store.monitors() == {"normal": {"trials": 2, "sums": [0.5]}, "hard": {"trials": 9}}
        store.save_monitors({"har%d": {}})
        assert store.monitors("har", "x").keys() == {"hard", "har%d"} and store.monitors("har%").keys() == {
            "har%d"
        }
        store.forget_monitors(["har%d", "none"])
        store.forget_monitors([])
        assert store.monitors().keys() == {"normal", "hard"}

    within(url, use)


def test_rollout_changes_are_chained_and_tampering_is_found(url: str) -> None:
    steps = [
        RolloutChange(1.0, "ann", "shadow", revision="r1"),
        RolloutChange(
            2.0, "ann", "canary", share=1, threshold=0.75, revision="r1", evidence={"bound": [0.01, None]}
        ),
        RolloutChange(3.0, "alarm", "off", reason="bound crossed \udcff"),
    ]

    async def use(store: Store) -> None:
        assert store.rollout() is None
        recorded = [store.change_rollout(step) for step in steps]
        assert [change.sequence for change in recorded] == [1, 2, 3]
        assert recorded[2].previous == recorded[1].hash
        assert store.rollout() == recorded[2]
        assert store.rollout_changes(2) == [recorded[2], recorded[1]]
        assert store.verify_rollout() == 3
        with pytest.raises(UsageError, match="last change is number 3, and this one was made upon number 1"):
            store.change_rollout(steps[0], after=1)
        assert store.change_rollout(steps[0], after=3).sequence == 4

    async def tampered(store: Store) -> None:
        with pytest.raises(IntegrityError, match="rollout change 2: the chain is broken"):
            store.verify_rollout()

    within(url, use)
    database = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE rollout_changes SET actor = 'bob' WHERE sequence = 2"))
    database.dispose()
    within(url, tampered)


def test_keys_are_recorded_used_and_revoked_once(url: str) -> None:
    key = ApiKey("k1", "the shop", "viewer", "$argon2id$secret", 1.0)
    assert "secret" not in repr(key)

    async def use(store: Store) -> None:
        store.add_key(key)
        with pytest.raises(IntegrityError, match="api_keys"):
            store.add_key(key)
        store.use_key("k1", "2026-02-03")
        store.use_key("k1", "2026-02-01")
        store.revoke_key("k1", 5.0)
        store.revoke_key("k1", 9.0)
        with pytest.raises(UsageError, match="no key 'k2'"):
            store.revoke_key("k2", 5.0)
        assert store.keys() == [replace(key, last_used="2026-02-03", revoked=5.0)]

    within(url, use)


def test_alerts_stay_until_somebody_acknowledges_them(url: str) -> None:
    async def use(store: Store) -> None:
        first, second = (store.add_alert(Alert(float(at), "bound", "crossed")) for at in (1, 2))
        store.acknowledge_alert(first.id, by="ann", at=3.0)
        store.acknowledge_alert(first.id, by="bob", at=4.0)
        assert store.alerts(open_only=True) == [second]
        assert store.alerts() == [second, replace(first, acknowledged_by="ann", acknowledged_at=3.0)]

    within(url, use)


def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    path = tmp_path / "state" / "server.sqlite"

    async def use(store: Store) -> None:
        await store.capture(made(), promise="durable")
        files = list(path.parent.iterdir())
        assert len(files) == 3 and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)

    within(path, use)
