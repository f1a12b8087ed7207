"""The key from the environment, and the keys that are derived from it: none of them is ever written."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.errors import IntegrityError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_ENV = "TUTELAGE_KEY"
_BYTES = 32


@dataclass(frozen=True)
class Cipher:
    """A key of 32 random bytes. What it is used for has keys of its own, by HKDF-SHA256 (RFC 5869)."""

    key: bytes = field(repr=False)

    @classmethod
    def from_environment(cls, name: str = KEY_ENV) -> Cipher:
        """The key in the variable `name`. Raises UsageError where it is absent or no key."""
        value = os.environ.get(name, "").strip()
        if not value:
            raise UsageError(
                f"there is no key, since the environment variable {name!r} is not set. "
                f"Mend: export {name}=... with the key it was encrypted with; for a new folder "
                "`tutelage encryption new-key` prints one"
            )
        try:
            key = base64.b64decode(value.encode(), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            key = b""
        if len(key) != _BYTES:
            raise UsageError(
                f"the environment variable {name!r} holds no key, which is {_BYTES} bytes in base64 (44 "
                "characters). Mend: export the whole of it; `tutelage encryption new-key` prints a new one"
            )
        return cls(key)

    @cached_property
    def id(self) -> str:
        """Which key it is, 16 hex digits; nothing of the key can be told from it."""
        return self.derive(b"id", b"")[:8].hex()

    def derive(self, purpose: bytes, salt: bytes) -> bytes:
        """32 bytes for one purpose. Raises MissingExtraError without `cryptography`."""
        try:
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise MissingExtraError("cryptography", "encryption", "an encrypted folder") from error
        return HKDF(SHA256(), _BYTES, salt=salt or None, info=b"tutelage " + purpose).derive(self.key)

    @cached_property
    def _fernet(self) -> Fernet:
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(self.derive(b"line", b"")))

    def encrypt_line(self, content: bytes) -> bytes:
        """A Fernet token without line breaks, for files that are appended to."""
        return self._fernet.encrypt(content)

    def decrypt_line(self, token: bytes, path: Path) -> bytes:
        """What `encrypt_line` was given. Raises IntegrityError, naming `path`."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            raise IntegrityError(
                f"{path} is damaged, or was written under another key. Mend: export the key that it was"
            ) from None


def new_key() -> str:
    """A random key, as the environment is to hold it."""
    return base64.urlsafe_b64encode(os.urandom(_BYTES)).decode()
