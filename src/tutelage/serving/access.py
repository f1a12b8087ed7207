"""Who may do what: API keys with roles, kept as argon2id hashes; what no role allows is refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Protocol, TypeVar

from tutelage.errors import DataError, UsageError
from tutelage.serving.store import ApiKey

_PREFIX = "tut"
_READ_EVERY = 2.0  # seconds after which a key that was revoked is refused
_PATIENCE = 1.0  # seconds that a request waits for the list of keys, of a database that is slow
_FIRST_PATIENCE = 10.0  # the same while there is no older list to go on with
_REFUSED = 5.0  # seconds for which a token that was wrong isn't checked again
_CHECKS_AT_ONCE, _MOST_WAITING = 2, 64
_MOST_REMEMBERED = 10_000

_Kept = TypeVar("_Kept")
_log = logging.getLogger(__name__)


class Role(StrEnum):
    """`client` asks; `viewer` reads pages, `reviewer` also judges, `admin` also decides and may all."""

    CLIENT = "client"
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Whether whoever has this role may do what needs the other."""
        return needed in _ALLOWED[self]


_ROLES = frozenset(Role)
_ALLOWED = {
    Role.CLIENT: {Role.CLIENT},
    Role.VIEWER: {Role.VIEWER},
    Role.REVIEWER: {Role.VIEWER, Role.REVIEWER},
    Role.ADMIN: set(Role),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds a key."""

    name: str
    role: Role


class KeyStore(Protocol):
    """Where keys are kept."""

    def keys(self) -> Sequence[ApiKey]:
        """All of them, revoked ones too."""
        ...

    def use_key(self, id: str, day: str) -> None:
        """Note that a key was used on a UTC day (ISO 8601)."""
        ...


class Overwhelmed(Exception):
    """More keys wait to be checked than may."""


class KeyRing:
    """Tells who a token is.

    A check takes argon2 tens of milliseconds and 64 MB, so that its result is remembered, a refusal for some
    seconds; few are made at once, and where many wait the next is turned away. The list of keys is read
    anew every other second: a key that is revoked is refused from then on.

    `upstream` is the teacher's own key, with which an application that changed nothing but its base URL
    comes: it asks as a client.
    """

    def __init__(self, store: KeyStore, upstream: str = "") -> None:
        from argon2 import PasswordHasher

        self._store, self._upstream = store, upstream.encode()
        self._hasher = PasswordHasher()
        self._known: dict[bytes, str] = {}  # of each token that was checked, by its hash, the key's id
        self._refused: dict[bytes, float] = {}
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._places = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._stored: Mapping[str, ApiKey] | None = None  # None until they were read for the first time
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._used: set[tuple[str, str]] = set()

    async def principal(self, token: str) -> Principal | None:
        """Whoever holds this token; None where nobody does. Raises Overwhelmed, and DataError as `holder`."""
        if not token or not token.isascii():
            return None
        if self._upstream and hmac.compare_digest(token.encode(), self._upstream):
            return Principal("application", Role.CLIENT)
        mark = hashlib.sha256(token.encode()).digest()
        id_, secret = split_token(token)
        stored = await self._key(id_)
        if stored is None or self._refused.get(mark, 0.0) > monotonic():
            return None
        if self._known.get(mark) != id_ and not await self._checked(mark, stored, secret):
            return None
        await self._note_use(id_)
        return Principal(stored.name, Role(stored.role))

    async def holder(self, id_: str) -> Principal | None:
        """Whoever holds the key of this id, which nobody proves here; None where it is revoked, or none.

        Raises DataError while the keys were never read: nobody is turned away for a database that is away.
        """
        stored = await self._key(id_)
        return None if stored is None else Principal(stored.name, Role(stored.role))

    async def _key(self, id_: str) -> ApiKey | None:
        """The key of an id, unless it is revoked or of no role that there is."""
        if not id_:
            return None
        await self._read(_READ_EVERY)
        if id_ not in (self._stored or {}):  # it may have been made since
            await self._read(_READ_EVERY / 4)
        if self._stored is None:
            raise DataError(
                "the keys can't be read: the server's database doesn't answer. Mend: ask again once it does"
            )
        stored = self._stored.get(id_)
        usable = stored is not None and stored.revoked is None and stored.role in _ROLES
        return stored if usable else None

    async def _read(self, age: float) -> None:
        """See to it that the list of keys is no older than `age`; where the database is away it stays."""
        if monotonic() - self._read_at <= age:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_now())
        await asyncio.wait([self._reading], timeout=_FIRST_PATIENCE if self._stored is None else _PATIENCE)

    async def _read_now(self) -> None:
        try:
            self._stored = {key.id: key for key in await asyncio.to_thread(self._store.keys)}
        except Exception as error:  # noqa: BLE001 - whatever a database raises, known keys go on
            _log.warning("the keys can't be read: %s", type(error).__name__)
        finally:
            self._read_at, self._reading = monotonic(), None

    async def _checked(self, mark: bytes, stored: ApiKey, secret: str) -> bool:
        """Whether the secret is the key's; of one token that comes many times at once it is asked once."""
        check = self._checks.get(mark)
        if check is None:
            if len(self._checks) >= _MOST_WAITING:
                raise Overwhelmed
            check = self._checks[mark] = asyncio.create_task(self._check(mark, stored, secret))
        return await asyncio.shield(check)

    async def _check(self, mark: bytes, stored: ApiKey, secret: str) -> bool:
        try:
            async with self._places:
                right = await asyncio.to_thread(self._verify, stored.hash, secret)
        finally:
            del self._checks[mark]
        if right:
            _remember(self._known, mark, stored.id)
        else:
            _remember(self._refused, mark, monotonic() + _REFUSED)
        return right

    def _verify(self, hash_: str, secret: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        try:
            return self._hasher.verify(hash_, secret)
        except (Argon2Error, InvalidHashError):
            return False

    async def _note_use(self, id_: str) -> None:
        used = id_, datetime.now(UTC).date().isoformat()
        if used in self._used:
            return
        self._used = {known for known in self._used if known[1] == used[1]} | {used}
        try:
            await asyncio.to_thread(self._store.use_key, *used)
        except Exception as error:  # noqa: BLE001 - it is no reason not to answer
            _log.warning("a key's use can't be noted: %s", type(error).__name__)


def _remember(memory: dict[bytes, _Kept], mark: bytes, value: _Kept) -> None:
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[mark] = value


def split_token(token: str) -> tuple[str, str]:
    """A token's id and secret; both empty where it is no key of ours."""
    prefix, _, rest = token.partition("_")
    id_, _, secret = rest.partition("_")
    return (id_, secret) if prefix == _PREFIX and secret else ("", "")


def make_key(name: str, role: str, now: float) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what is kept of it. Raises UsageError for an unknown role."""
    from argon2 import PasswordHasher

    if role not in _ROLES:
        raise UsageError(f"there is no role {role!r}. Mend: one of {', '.join(Role)}")
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32).replace("_", "-")
    stored = ApiKey(id_, name, role, PasswordHasher().hash(secret), now)
    return f"{_PREFIX}_{id_}_{secret}", stored


class Pace:
    """At most so many requests a minute of each key, with bursts of a tenth of that."""

    def __init__(self, per_minute: float | None) -> None:
        self._rate = None if per_minute is None else per_minute / 60
        self._burst = 1.0 if per_minute is None else max(1.0, per_minute / 10)
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Seconds until `name` may ask; 0 where it may now, which counts."""
        if self._rate is None:
            return 0.0
        now = monotonic()
        left, at = self._left.get(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left >= 1:
            self._left[name] = left - 1, now
            return 0.0
        self._left[name] = left, now
        return (1 - left) / self._rate


def token_in(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The token that a request brings: `Authorization: Bearer`, or `api-key` as Azure's clients send it."""
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
        if name == b"api-key":
            return text.strip()
    return ""
