"""Keys: who a token is, for how long that is believed, and what guessing costs the server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tutelage.errors import DataError
from tutelage.serving import access
from tutelage.serving.access import KeyRing, Overwhelmed, Pace, Principal, Role, make_key, token_in
from tutelage.serving.store import ApiKey


class Keys:
    """A store of keys in memory, which counts how often it is read and can be away."""

    def __init__(self, *kept: ApiKey) -> None:
        self.kept, self.reads, self.away = list(kept), 0, False
        self.used: list[tuple[str, str]] = []

    def keys(self) -> list[ApiKey]:
        self.reads += 1
        if self.away:
            raise OSError("away")
        return list(self.kept)

    def use_key(self, id: str, day: str) -> None:
        self.used.append((id, day))


@pytest.fixture(scope="module")
def anna() -> tuple[str, ApiKey]:
    return make_key("anna", "viewer", 0.0)


def _counting(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    checks: list[str] = []
    real = ring._verify

    def verify(hash_: str, secret: str) -> bool:
        checks.append(secret)
        return real(hash_, secret)

    monkeypatch.setattr(ring, "_verify", verify)
    return checks


def test_a_token_is_checked_once_also_where_it_comes_many_times_at_once(anna, monkeypatch):
    token, kept = anna
    store = Keys(kept)
    ring = KeyRing(store)
    checks = _counting(ring, monkeypatch)

    async def ask() -> list[Principal | None]:
        return [
            *await asyncio.gather(*(ring.principal(token) for _ in range(200))),
            await ring.principal(token),
        ]

    assert set(asyncio.run(ask())) == {Principal("anna", Role.VIEWER)}
    assert len(checks) == 1 and store.reads == 1
    assert [id for id, _ in store.used] == [kept.id]


def test_a_revoked_key_is_refused_and_a_new_one_is_known_in_time(anna, monkeypatch):
    token, kept = anna
    store = Keys(kept)
    monkeypatch.setattr(access, "_READ_EVERY", 0.05)
    other_token, other = make_key("ben", "client", 0.0)

    async def ask() -> None:
        ring = KeyRing(store)
        assert await ring.principal(token) is not None
        store.kept = [replace(kept, revoked=time.time()), other]
        await asyncio.sleep(0.06)
        assert await ring.principal(token) is None
        assert await ring.holder(kept.id) is None
        assert (
            await ring.principal(other_token) == await ring.holder(other.id) == Principal("ben", Role.CLIENT)
        )

    asyncio.run(ask())


def test_while_the_database_is_away_known_keys_go_on(anna, monkeypatch):
    token, kept = anna
    store = Keys(kept)
    monkeypatch.setattr(access, "_READ_EVERY", 0.02)

    async def ask() -> None:
        ring = KeyRing(store)
        assert await ring.principal(token) is not None
        store.away = True
        await asyncio.sleep(0.03)
        assert await ring.principal(token) is not None
        with pytest.raises(DataError, match="can't be read"):  # one that never read them can tell nobody
            await KeyRing(store).principal(token)

    asyncio.run(ask())


def test_guessing_costs_no_more_than_two_checks_at_once_and_is_turned_away(anna, monkeypatch):
    _, kept = anna
    ring = KeyRing(Keys(kept))
    at_once, most = 0, 0

    def verify(hash_: str, secret: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.002)
        at_once -= 1
        return False

    monkeypatch.setattr(ring, "_verify", verify)

    async def guess() -> list[object]:
        tokens = [f"tut_{kept.id}_{number}" for number in range(100)]
        return await asyncio.gather(*map(ring.principal, tokens), return_exceptions=True)

    found = asyncio.run(guess())
    assert found.count(None) == 64 and sum(isinstance(one, Overwhelmed) for one in found) == 36
    assert most <= 2


def test_a_wrong_token_is_not_checked_again_at_once(anna, monkeypatch):
    _, kept = anna
    ring = KeyRing(Keys(kept))
    checks = _counting(ring, monkeypatch)

    async def guess() -> None:
        for _ in range(5):
            assert await ring.principal(f"tut_{kept.id}_wrong") is None

    asyncio.run(guess())
    assert checks == ["wrong"]


@pytest.mark.parametrize(
    "token", ["", "tut", "tut__", "tut_x_", "sk-x", "tut_nobody_secret", "tut_é_x", "_" * 5000]
)
def test_what_is_no_token_of_ours_is_nobody_and_costs_no_check(anna, monkeypatch, token):
    ring = KeyRing(Keys(anna[1]), upstream="sk-teacher")
    checks = _counting(ring, monkeypatch)
    assert asyncio.run(ring.principal(token)) is None
    assert checks == []


def test_a_role_that_there_is_not_gives_no_right(anna):
    token, kept = anna
    assert asyncio.run(KeyRing(Keys(replace(kept, role="root"))).principal(token)) is None


def test_the_teachers_key_asks_as_a_client_and_an_empty_one_is_nobodys():
    assert asyncio.run(KeyRing(Keys(), "sk-teacher").principal("sk-teacher")) == Principal(
        "application", Role.CLIENT
    )
    assert asyncio.run(KeyRing(Keys(), "").principal("")) is None


def test_memory_of_tokens_is_bounded(anna, monkeypatch):
    _, kept = anna
    monkeypatch.setattr(access, "_MOST_REMEMBERED", 10)
    ring = KeyRing(Keys(kept))
    monkeypatch.setattr(ring, "_verify", lambda hash_, secret: False)

    async def guess() -> None:
        for number in range(40):
            await ring.principal(f"tut_{kept.id}_{number}")

    asyncio.run(guess())
    assert len(ring._refused) <= 10 and not ring._checks


def test_a_key_may_ask_so_often_with_bursts_and_no_more(monkeypatch):
    now = 0.0
    monkeypatch.setattr(access, "monotonic", lambda: now)
    pace = Pace(60)
    assert [pace.wait("anna") for _ in range(6)] == [0.0] * 6
    assert pace.wait("anna") == pytest.approx(1.0) and pace.wait("ben") == 0.0
    now = 1.0
    assert pace.wait("anna") == 0.0 < pace.wait("anna")
    assert {Pace(None).wait("anna") for _ in range(1000)} == {0.0}


def test_where_a_token_stands():
    assert token_in([(b"authorization", b"Bearer  a b ")]) == "a b"
    assert token_in([(b"authorization", b"Basic abc"), (b"api-key", b" k ")]) == "k"
    assert token_in([(b"authorization", b"bearer")]) == token_in([]) == ""
