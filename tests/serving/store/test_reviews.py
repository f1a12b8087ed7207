"""The queue before people: claims, verdicts, undo, and who decides where two disagree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from captured import made
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tutelage.errors import UsageError
from tutelage.evaluation.votes import agreement
from tutelage.serving.captures import Capture
from tutelage.serving.reviews import ReviewPolicy, Why
from tutelage.serving.store import Store, open_store

ONE = ReviewPolicy(second=0.0, lease=100.0)
TWO = replace(ONE, second=1.0)


def with_captures(
    url: str, captures: list[Capture], use: Callable[[Store], Coroutine[Any, Any, None]]
) -> None:
    async def run() -> None:
        store = open_store(url)
        for capture in captures:
            await store.capture(capture, promise="durable")
        await use(store)
        await store.close()

    asyncio.run(run())


def test_items_are_queued_once_the_pressing_always_the_chosen_while_there_is_room(url: str) -> None:
    nobody = made("1", by="nobody", value=None)
    sure, unsure = made("2", agree=False, confidence=0.9), made("3", agree=False, confidence=0.3)
    escalated = made("4", by="teacher", reason="below threshold", confidence=0.1)
    quiet, unkept = made("5", agree=True), replace(made("6", agree=False), text=None)
    late = made("7")

    async def use(store: Store) -> None:
        policy = replace(ONE, most_open=3)
        assert store.reviews.enqueue(policy, since=0.0) == 3
        assert {item.capture.id: item.why for item in store.reviews.waiting()} == {
            nobody.id: Why.NOBODY,
            sure.id: Why.DISAGREEMENT,
            unsure.id: Why.DISAGREEMENT,
        }
        assert store.reviews.waiting()[0].capture == nobody, "the most urgent is due first"
        assert store.reviews.enqueue(policy, since=0.0) == 0
        await store.capture(made("8", by="nobody", value=None), promise="durable")
        assert store.reviews.enqueue(policy, since=0.0) == 1, "where nobody answered, there is always room"
        await store.complete(late.id, teacher_value='"fee"', agree=False, cost=0.0, promise="durable")
        assert store.reviews.enqueue(replace(policy, most_open=100), since=0.0) == 2
        assert store.reviews.enqueue(replace(policy, most_open=100), since=time.time() + 1) == 0
        counts = store.reviews.counts(now=time.time() + 3_600)
        assert (counts.open, counts.overdue, counts.claimed, counts.closed) == (6, 2, 0, 0)

    with_captures(url, [nobody, sure, unsure, escalated, quiet, unkept, late], use)


def test_an_item_is_one_persons_until_the_lease_ends(url: str) -> None:
    captures = [made(str(number), agree=False, at=1_000.0 + number) for number in range(2)]

    async def use(store: Store) -> None:
        reviews = store.reviews
        reviews.enqueue(ONE, since=0.0)
        first = reviews.claim("ann", ONE, now=0.0)
        assert first is not None and first.capture == captures[0], "the one due first"
        assert reviews.claim("ann", ONE, now=50.0) == first, "and again after a page was loaded anew"
        second = reviews.claim("bob", ONE, now=60.0)
        assert second is not None and second.capture == captures[1]
        assert reviews.claim("cy", ONE, now=60.0) is None
        assert reviews.counts(now=60.0).claimed == 2
        third = reviews.claim("cy", ONE, now=155.0)
        assert third == first, "ann's lease has ended"
        reviews.release(captures[1].id, "bob")
        assert reviews.claim("ann", ONE, now=156.0) == second
        done = reviews.decide(captures[0].id, "ann", '"late"', now=157.0)
        assert done.item.closed == 157.0, "work is never thrown away, though cy has the item now"
        assert reviews.claim("cy", ONE, now=158.0) is None

    with_captures(url, captures, use)


def test_where_two_disagree_a_third_decides(url: str) -> None:
    [capture] = captures = [made("x", agree=False)]

    async def use(store: Store) -> None:
        reviews = store.reviews
        reviews.enqueue(TWO, since=0.0)
        assert reviews.claim("ann", TWO, now=0.0) and reviews.claim("bob", TWO, now=0.0)
        assert reviews.claim("cy", TWO, now=0.0) is None, "two are asked"
        reviews.decide(capture.id, "ann", '"card"', now=1.0, comment=" sure ")
        reviews.decide(capture.id, "bob", '"fee"', now=2.0)
        assert reviews.claim("ann", TWO, now=3.0) is None, "nobody decides between themselves and another"
        assert reviews.claim("cy", TWO, now=3.0) is not None
        done = reviews.decide(capture.id, "cy", '"fee"', now=4.0)
        assert done.item.closed == 4.0 and done.agreed is not None and done.agreed.value == '"fee"'
        assert reviews.find(capture.id) == done and reviews.decided() == [done] and reviews.waiting() == []
        assert reviews.decided(since=4.5) == []
        assert done.verdicts[0].comment == "sure"
        units = reviews.independent()
        assert units == [{"ann": '"card"', "bob": '"fee"'}]
        measured = agreement(units)
        assert measured is not None and measured["same"] == 0.0

    with_captures(url, captures, use)


def test_a_verdict_is_changed_or_taken_back_and_its_item_opens_again(url: str) -> None:
    captures = [made(str(number), agree=False, at=1_000.0 + number) for number in range(2)]

    async def use(store: Store) -> None:
        reviews = store.reviews
        reviews.enqueue(ONE, since=0.0)
        assert reviews.undo("ann", ONE, now=0.0) is None
        reviews.decide(captures[0].id, "ann", '"card"', now=1.0)
        reviews.decide(captures[1].id, "ann", None, now=2.0)
        changed = reviews.decide(captures[1].id, "ann", '["b", "a"]', now=3.0)
        assert [verdict.value for verdict in changed.verdicts] == ['["b", "a"]']
        opened = reviews.undo("ann", ONE, now=4.0)
        assert opened is not None and (opened.capture, opened.closed) == (captures[1], None)
        assert reviews.claim("ann", ONE, now=5.0) == opened, "they go on with what they took back"
        assert reviews.claim("bob", ONE, now=5.0) is None
        assert reviews.undo("bob", ONE, now=5.0) is None, "nobody takes back another's"
        first = reviews.undo("ann", ONE, now=6.0)
        assert first is not None and first.capture == captures[0]
        assert reviews.undo("ann", ONE, now=7.0) is None

    with_captures(url, captures, use)


def test_what_is_no_verdict_is_told(url: str) -> None:
    [capture] = captures = [made("x", agree=False)]

    async def use(store: Store) -> None:
        reviews = store.reviews
        reviews.enqueue(ONE, since=0.0)
        with pytest.raises(UsageError, match="no request 'nowhere' waits for a verdict"):
            reviews.decide("nowhere", "ann", '"a"', now=1.0)
        with pytest.raises(UsageError, match="is no JSON"):
            reviews.decide(capture.id, "ann", "card", now=1.0)
        with pytest.raises(UsageError, match="the comment has 2,001 characters"):
            reviews.decide(capture.id, "ann", '"a"', now=1.0, comment="x" * 2_001)
        with pytest.raises(UsageError, match="can't stand for a reviewer"):
            reviews.claim(" \n", ONE, now=1.0)
        assert reviews.find("nowhere") is None
        assert reviews.counts(now=1.0).closed == 0

    with_captures(url, captures, use)


def test_a_purge_takes_what_people_said_with_it(url: str) -> None:
    captures = [made("secret", agree=False, key="gone"), made("other", agree=False, key="stays")]

    async def use(store: Store) -> None:
        store.reviews.enqueue(ONE, since=0.0)
        for capture in captures:
            store.reviews.decide(capture.id, "ann", '"a"', now=1.0, comment="about it")
        assert store.purge(keys=["gone"]) == 1
        assert [reviewed.item.capture for reviewed in store.reviews.decided()] == [captures[1]]
        with pytest.raises(UsageError, match="may have been purged"):
            store.reviews.decide(captures[0].id, "ann", '"a"', now=2.0)

    with_captures(url, captures, use)


def test_what_was_drawn_at_random_is_held_out_of_learning(url: str) -> None:
    captures = [made(str(number)) for number in range(40)]

    async def use(store: Store) -> None:
        policy = replace(ONE, random=0.5, most_open=0)
        queued = store.reviews.enqueue(policy, since=0.0)
        drawn = {capture.hash for capture in captures if policy.why(capture) is Why.RANDOM}
        assert store.reviews.held_out() == drawn and queued == len(drawn)
        assert 5 < len(drawn) < 35 and all(item.blind for item in store.reviews.waiting())

    with_captures(url, captures, use)


def test_many_reviewers_at_once_never_share_an_item_that_wants_one(url: str) -> None:
    captures = [made(str(number), agree=False) for number in range(12)]

    async def use(store: Store) -> None:
        other = open_store(url)
        store.reviews.enqueue(ONE, since=0.0)

        def work(name: str) -> list[str]:
            reviews, done = (store, other)[len(name) % 2].reviews, []
            while (item := reviews.claim(name, ONE, now=1.0)) is not None:
                reviews.decide(item.capture.id, name, '"a"', now=1.0)
                done.append(item.capture.id)
            return done

        each = await asyncio.gather(*(asyncio.to_thread(work, "r" * (number + 1)) for number in range(4)))
        done = [id for ids in each for id in ids]
        assert len(done) == len(set(done)) == 12
        await other.close()

    with_captures(url, captures, use)


class Queue(RuleBasedStateMachine):
    """Whatever reviewers do in whatever order, no place is given twice and an item is closed as it should be."""

    claimed = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(f"sqlite:///{MACHINES.pop()}")
        self.now = 0.0
        self.policy = replace(ONE, second=0.5)
        captures = [made(str(number), agree=False) for number in range(3)]

        async def put() -> None:
            for capture in captures:
                await self.store.capture(capture, promise="durable")

        asyncio.run(put())
        self.store.reviews.enqueue(self.policy, since=0.0)
        self.items = [item.capture.id for item in self.store.reviews.waiting()]

    @rule(target=claimed, reviewer=st.sampled_from("abcd"))
    def claim(self, reviewer: str) -> tuple[str, str] | None:
        item = self.store.reviews.claim(reviewer, self.policy, now=self.now)
        if item is None:
            return None
        given = self.store.reviews.find(item.capture.id)
        assert given is not None and len(given.verdicts) < given.item.wanted
        assert reviewer not in {verdict.reviewer for verdict in given.verdicts}
        return reviewer, item.capture.id

    @rule(claim=consumes(claimed), value=st.sampled_from(['"a"', '"b"', None]))
    def decide(self, claim: tuple[str, str] | None, value: str | None) -> None:
        if claim is not None:
            self.store.reviews.decide(claim[1], claim[0], value, now=self.now)

    @rule(reviewer=st.sampled_from("abcd"))
    def undo(self, reviewer: str) -> None:
        self.store.reviews.undo(reviewer, self.policy, now=self.now)

    @rule(seconds=st.sampled_from([1.0, 150.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def closed_are_decided_and_open_are_not(self) -> None:
        for id in self.items:
            found = self.store.reviews.find(id)
            assert found is not None
            enough = len(found.verdicts) >= found.item.independent
            decided = enough and (found.agreed is not None or len(found.verdicts) > found.item.independent)
            assert (found.item.closed is not None) == decided
        counts = self.store.reviews.counts(now=self.now)
        assert counts.open + counts.closed == 3 and counts.claimed <= counts.open

    def teardown(self) -> None:
        asyncio.run(self.store.close())


MACHINES: list[str] = []


def test_the_queue_whatever_reviewers_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("machines")
    MACHINES.extend(str(folder / f"{number}.sqlite") for number in range(500))
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=3,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
