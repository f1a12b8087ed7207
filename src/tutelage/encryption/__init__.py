"""Encryption of a programme's folder at rest, under a key that lies in the environment alone."""

from tutelage.encryption._cipher import KEY_ENV, Cipher, new_key
from tutelage.encryption._folder import (
    MARKER,
    cipher_of,
    covers,
    is_marked,
    mark,
    reading_key,
    require_key,
    unmark,
)
from tutelage.encryption._sealed_file import EncryptedReader, EncryptedWriter, is_encrypted

__all__ = [
    "KEY_ENV",
    "MARKER",
    "Cipher",
    "EncryptedReader",
    "EncryptedWriter",
    "cipher_of",
    "covers",
    "is_encrypted",
    "is_marked",
    "mark",
    "new_key",
    "reading_key",
    "require_key",
    "unmark",
]
