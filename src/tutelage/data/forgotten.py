"""Whose rows were purged, so that no source brings them back: digests, from which nobody is told.

A source outside of the programme's folder (a database, a log) may hold them on. The digests are salted; who
has the folder can still try whether somebody is among them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tutelage import storage


@dataclass(frozen=True)
class Forgotten:
    """`subjects` has digests with the time of the purge, in seconds since the epoch; `texts` digests."""

    salt: str = field(default_factory=lambda: secrets.token_hex(32))
    subjects: Mapping[str, float] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> Forgotten | None:
        """What stands at `path`; None where nothing was purged yet. Raises IntegrityError."""
        if not path.exists():
            return None
        content = storage.read_json(path)
        return cls(content["salt"], content["subjects"], frozenset(content["texts"]))

    def write(self, path: Path) -> None:
        """Keep it, in place of what was there."""
        content = {"salt": self.salt, "subjects": dict(self.subjects), "texts": sorted(self.texts)}
        storage.write_json(path, content)

    def digest(self, word: str) -> str:
        """What stands for a subject or a text here: 32 hex digits."""
        key = bytes.fromhex(self.salt)
        return hashlib.blake2b(word.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest()

    def adding(self, subjects: Collection[str], texts: Collection[str], at: float) -> Forgotten:
        """With these as well, purged at a time."""
        return replace(
            self,
            subjects={**self.subjects, **{self.digest(one): at for one in subjects}},
            texts=self.texts | {self.digest(one) for one in texts},
        )

    def has(self, subject: str, text: str, time: float | None) -> bool:
        """Whether a row was purged: its subject was, and it isn't known to be of later.

        Of a row that names no subject, whether its text was theirs.
        """
        if not subject:
            return bool(self.texts) and self.digest(text) in self.texts
        at = self.subjects.get(self.digest(subject))
        return at is not None and (time is None or time <= at)

    def has_subject(self, subject: str) -> bool:
        """Whether a subject was ever purged."""
        return bool(subject) and self.digest(subject) in self.subjects
