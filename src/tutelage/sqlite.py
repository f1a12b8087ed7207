"""Connections to SQLite files: by the standard library, or by SQLCipher where their folder is encrypted."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from tutelage.encryption import Cipher, cipher_of
from tutelage.errors import MissingExtraError, UsageError

_PLAIN = b"SQLite format 3\0"  # how a file begins that isn't encrypted
_SQLCIPHER = "sqlcipher3.dbapi2"


def connect(
    path: Path, *, timeout: float, check_same_thread: bool = True, cipher: Cipher | None = None
) -> sqlite3.Connection:
    """Open a file in which every statement is a transaction of its own; `timeout` in seconds.

    `cipher` is what its folder is encrypted with, looked for where absent. SQLCipher (AES-256, a page at a
    time) encrypts the file, its log and its journals. Raises UsageError where the key is absent or wrong, or
    the file isn't encrypted while its folder is; MissingExtraError; and what SQLite raises.
    """
    cipher = cipher or cipher_of(path)
    if cipher is None:
        return sqlite3.connect(
            path, isolation_level=None, timeout=timeout, check_same_thread=check_same_thread
        )
    if is_plain(path):
        raise UsageError(
            f"{path} is not encrypted, and its folder is. Mend: `tutelage encryption on` with the folder"
        )
    database = sqlcipher().connect(
        str(path), isolation_level=None, timeout=timeout, check_same_thread=check_same_thread
    )
    database.execute(f'PRAGMA key = "{raw_key(cipher)}"')
    return cast("sqlite3.Connection", database)


def errors(name: str = "Error", *others: type[Exception]) -> tuple[type[Exception], ...]:
    """The exceptions of this name, of whichever libraries are in use, which share no base; and `others`."""
    modules: list[Any] = [sqlite3, sys.modules.get(_SQLCIPHER)]
    return (*(getattr(module, name) for module in modules if module is not None), *others)


def is_plain(path: Path) -> bool:
    """Whether there is a database at `path` that isn't encrypted."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.read(len(_PLAIN)) == _PLAIN


def raw_key(cipher: Cipher) -> str:
    """The key of every database, as SQLCipher takes one that is no password."""
    return f"x'{cipher.derive(b'sqlite', b'').hex()}'"


def sqlcipher() -> ModuleType:
    """SQLCipher's module, which is like `sqlite3`. Raises MissingExtraError."""
    try:
        from sqlcipher3 import dbapi2
    except ImportError as error:
        raise MissingExtraError("sqlcipher3", "encryption", "a database in an encrypted folder") from error
    return cast("ModuleType", dbapi2)
