"""Who may do what: API keys with roles, kept as argon2id hashes; what no role allows is refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Protocol

from tutelage.errors import UsageError
from tutelage.serving.store import ApiKey

_PREFIX = "tut"
_REMEMBERED = 20.0  # seconds for which a key that was checked isn't checked again
_MOST_REMEMBERED = 10_000


class Role(StrEnum):
    """`client` asks; `viewer` reads pages, `reviewer` also judges, `admin` also decides and may all."""

    CLIENT = "client"
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Whether whoever has this role may do what needs the other."""
        return needed in _ALLOWED[self]


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


class KeyRing:
    """Tells who a token is. Argon2 takes tens of milliseconds and megabytes, so that it is asked once for
    each key; whether the key still holds is looked up every `_REMEMBERED` seconds, and one that is revoked
    is refused after that at the latest. Requests that come together share one check.

    `upstream` is the teacher's own key, with which an application that changed nothing but its base URL
    comes: it asks as a client.
    """

    def __init__(self, store: KeyStore, upstream: str = "") -> None:
        from argon2 import PasswordHasher

        self._store, self._upstream = store, upstream.encode()
        self._hasher = PasswordHasher()
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._verified: dict[bytes, str] = {}  # marks of tokens, each with the hash that it was held against
        self._checks: dict[bytes, asyncio.Task[Principal | None]] = {}

    async def principal(self, token: str) -> Principal | None:
        """Whoever holds this token; None where nobody does."""
        if not token or not token.isascii():
            return None
        if self._upstream and hmac.compare_digest(token.encode(), self._upstream):
            return Principal("application", Role.CLIENT)
        mark = hashlib.sha256(token.encode()).digest()
        known = self._known.get(mark)
        if known is not None and known[0] > monotonic():
            return known[1]
        check = self._checks.get(mark)
        if check is None:
            check = self._checks[mark] = asyncio.create_task(asyncio.to_thread(self._check, token, mark))
            check.add_done_callback(lambda _: self._checks.pop(mark))
        found = await asyncio.shield(check)
        if found is not None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[mark] = monotonic() + _REMEMBERED, found
        return found

    async def holder(self, id_: str) -> Principal | None:
        """Whoever holds the key of this id, which nobody proves here; None where it is revoked, or none."""
        stored = _named(await asyncio.to_thread(self._store.keys), id_)
        if stored is None or stored.revoked is not None or stored.role not in set(Role):
            return None
        return Principal(stored.name, Role(stored.role))

    def _check(self, token: str, mark: bytes) -> Principal | None:
        from argon2.exceptions import Argon2Error, InvalidHashError

        id_, secret = split_token(token)
        stored = _named(self._store.keys(), id_)
        if stored is None or stored.revoked is not None:
            self._verified.pop(mark, None)
            return None
        try:
            if self._verified.get(mark) != stored.hash:
                self._hasher.verify(stored.hash, secret)
                if len(self._verified) >= _MOST_REMEMBERED:
                    self._verified.clear()
                self._verified[mark] = stored.hash
            return Principal(stored.name, Role(stored.role))
        except (Argon2Error, InvalidHashError, ValueError):
            return None

    def forget(self) -> None:
        """Look every key up anew from now on."""
        self._known.clear()


def _named(keys: Sequence[ApiKey], id_: str) -> ApiKey | None:
    return next((key for key in keys if key.id == id_), None)


def split_token(token: str) -> tuple[str, str]:
    """A token's id and secret; both empty where it is no key of ours."""
    prefix, _, rest = token.partition("_")
    id_, _, secret = rest.partition("_")
    return (id_, secret) if prefix == _PREFIX and secret else ("", "")


def make_key(name: str, role: str, now: float) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what is kept of it. Raises UsageError for an unknown role."""
    from argon2 import PasswordHasher

    if role not in set(Role):
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
