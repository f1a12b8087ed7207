"""Which folders are encrypted, which of their files, and under which key: told by a file at their root."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tutelage.encryption._cipher import KEY_ENV, Cipher
from tutelage.errors import IntegrityError, UsageError

MARKER = "encryption.json"
_PROGRAMME = "tutelage.yaml"  # at the root of a folder; what lies above it says nothing of what lies in it
_COVERED = ("gold", "prompts", "answers", "evaluation", "privacy", "serving")
_READABLE = frozenset(
    [
        "pseudonyms.jsonl",  # encrypted under a key of its own, and appended to
        "model_card.md",  # what is handed on with a student tells of no text
        "bom.cdx.json",
        "NOTICE",
    ]
)


def is_marked(root: Path) -> bool:
    """Whether the programme in this folder is encrypted."""
    return (root / MARKER).exists()


def covers(root: Path, path: Path) -> bool:
    """Whether a file, in an encrypted programme, is one that holds texts or what people said.

    Caches of training are, a student isn't: its weights and its vocabulary are to be taken elsewhere.
    """
    first, *rest = path.absolute().relative_to(root.absolute()).parts
    if first == "students":
        return bool(rest) and rest[0].startswith(".") and not rest[0].endswith((".tmp", ".old"))
    return first in _COVERED and path.name not in _READABLE


def cipher_of(path: Path) -> Cipher | None:
    """What a file that is to be written at `path` is encrypted with; None where it stays as it is.

    Raises UsageError where the key is absent or another one than the folder was encrypted with.
    """
    root = _root_of(path)
    return None if root is None or not covers(root, path) else require_key(root)


def _root_of(path: Path) -> Path | None:
    for folder in path.absolute().parents:
        if is_marked(folder):
            return folder
        if (folder / _PROGRAMME).exists():
            return None
    return None


def require_key(root: Path) -> Cipher:
    """The key of an encrypted folder. Raises UsageError as `cipher_of`, IntegrityError for a bad marker."""
    marker = _read(root / MARKER)
    try:
        cipher = Cipher.from_environment(marker["key_env"])
    except UsageError as error:
        raise UsageError(f"{root} is encrypted: {error}") from None
    if cipher.id != marker["key_id"]:
        raise UsageError(
            f"{root} was encrypted with the key {marker['key_id']}, and {marker['key_env']!r} holds the key "
            f"{cipher.id}. Mend: export the first; nothing was changed"
        )
    return cipher


def reading_key(path: Path) -> Cipher:
    """The key for a file that is encrypted, wherever it lies. Raises as `require_key`."""
    root = _root_of(path)
    return Cipher.from_environment() if root is None else require_key(root)


def mark(root: Path, key_env: str = KEY_ENV) -> Cipher:
    """Say that this folder is encrypted from now on, with the key in `key_env`. Raises UsageError."""
    cipher = Cipher.from_environment(key_env)
    content = {"key_env": key_env, "key_id": cipher.id}
    beside = root / f".{MARKER}.{os.getpid()}.tmp"
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    try:
        os.link(beside, root / MARKER)  # fails where another process was first, or it is marked already
    except FileExistsError:
        return require_key(root)
    finally:
        beside.unlink()
    return cipher


def unmark(root: Path) -> None:
    """Say that it is no longer; for whoever has written all its files anew."""
    (root / MARKER).unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(content[name], str) for name in ("key_env", "key_id")):
            raise ValueError("key_env and key_id are to be texts")
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is damaged ({error}); it holds no key, and without it no file is known to be encrypted. "
            "Mend: restore it from a backup"
        ) from error
    return dict(content)
