"""What pseudonyms stand for, encrypted: nobody reads it without the key, which lies elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.errors import IntegrityError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class Vault:
    """A file of pseudonyms, each line one with its value under Fernet (AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._cipher = path, _cipher(key)
        self._known: set[str] = set()
        if path.exists():
            self._known = {pseudonym for pseudonym, _ in self._lines()}
        self._new: dict[str, str] = {}

    def remember(self, pseudonym: str, value: str) -> None:
        """Keep one; written with the next `save`."""
        if pseudonym not in self._known:
            self._known.add(pseudonym)
            self._new[pseudonym] = self._cipher.encrypt(value.encode()).decode()

    def save(self) -> int:
        """Add what is new to the file, and return how many those are."""
        added = len(self._new)
        if added:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(list(item)) + "\n" for item in self._new.items())
            self._new = {}
        return added

    def reveal(self, pseudonym: str) -> str:
        """What it stands for. Raises UsageError where nobody knows, IntegrityError under another key."""
        from cryptography.fernet import InvalidToken

        for known, hidden in self._lines():
            if known == pseudonym:
                try:
                    return self._cipher.decrypt(hidden.encode()).decode()
                except InvalidToken:
                    raise IntegrityError(
                        f"{self._path} was written under another key. Mend: export the one that it was"
                    ) from None
        raise UsageError(f"{pseudonym} is not in {self._path}. Mend: copy it whole, brackets included")

    @staticmethod
    def forget(path: Path, pseudonyms: Collection[str]) -> int:
        """Remove these from the file at `path`; how many there were. Needs no key."""
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if not line.strip() or json.loads(line)[0] not in pseudonyms]
        if len(kept) < len(lines):
            storage.write_bytes(path, "".join(kept).encode())
        return len(lines) - len(kept)

    def _lines(self) -> list[tuple[str, str]]:
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [(pseudonym, hidden) for pseudonym, hidden in map(json.loads, filter(None, lines))]


def _cipher(key: bytes) -> Fernet:
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise MissingExtraError("cryptography", "privacy", "turning pseudonyms back") from error
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"vault\0" + key).digest()))
