"""Encrypting the files of a folder that was not encrypted, and the way back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import encryption, sqlite, storage
from tutelage.config import load_config
from tutelage.encryption import Cipher
from tutelage.errors import DataError, UsageError
from tutelage.programme import CONFIG_NAME, Programme
from tutelage.progress import Progress

_DATABASE = ".sqlite"
_WRITTEN_WHOLE = (".parquet", ".json", ".jsonl", ".html")
_SIGNALS = "shard-*.safetensors"  # of a teacher's answers; other safetensors are weights
_OWN = (CONFIG_NAME, encryption.MARKER, "ledger.jsonl", "programme.lock")


@dataclass(frozen=True)
class Converted:
    """`files` were written anew; `readable` ones, relative to the folder, hold rows or texts and stay so."""

    files: int
    key_id: str
    readable: tuple[str, ...]


def encrypt_folder(folder: Path, progress: Progress) -> Converted:
    """Encrypt what there is and what comes. Stopped at any moment, it goes on when it is called again.

    Raises ConfigError, UsageError where the key is absent or another one, ProgrammeBusyError, DataError where
    something else uses a database.
    """
    programme = _opened(folder)
    config = programme.config.encryption
    with programme.locked():
        cipher = encryption.mark(folder, encryption.KEY_ENV if config is None else config.key_env)
        files = _convert(programme, cipher, progress, on=True)
        programme.journal.append("encrypted", files=files, key=cipher.id)
    return Converted(files, cipher.id, tuple(_readable(programme)))


def decrypt_folder(folder: Path, progress: Progress) -> Converted:
    """Write everything as it was before `encrypt_folder`. Raises as that, UsageError where it isn't."""
    programme = _opened(folder)
    if not encryption.is_marked(folder):
        raise UsageError(f"{folder} is not encrypted. Mend: name another folder")
    if programme.config.encryption is not None:
        raise UsageError(
            f"{folder / CONFIG_NAME} asks for encryption. Mend: take `encryption` out of it first"
        )
    cipher = encryption.require_key(folder)
    with programme.locked():
        files = _convert(programme, cipher, progress, on=False)
        encryption.unmark(folder)
        programme.journal.append("decrypted", files=files, key=cipher.id)
    return Converted(files, cipher.id, ())


def _opened(folder: Path) -> Programme:
    """Without what `Programme.open` asks of a folder whose files aren't yet as its settings say."""
    return Programme(folder, load_config(folder / CONFIG_NAME))


def _convert(programme: Programme, cipher: Cipher, progress: Progress, *, on: bool) -> int:
    todo = [path for path in _covered(programme.folder) if _differs(path, on=on)]
    what = "encrypting" if on else "decrypting"
    with progress.track(what, len(todo), "files") as tracker:
        for path in todo:
            if path.suffix == _DATABASE:
                _convert_database(path, cipher, on=on)
            else:
                with storage.opened(path) as read, storage.replacing(path, readable=not on) as write:
                    shutil.copyfileobj(read, write, 1 << 20)
            tracker.advance()
    return len(todo)


def _covered(folder: Path) -> Iterator[Path]:
    """Files that Tutelage would encrypt. What people fill in is CSV, and not among them."""
    for path in sorted(folder.glob("*/**/*")):
        if path.is_file() and not path.is_symlink() and encryption.covers(folder, path):
            whole = path.suffix in _WRITTEN_WHOLE or path.match(_SIGNALS)
            if path.suffix == _DATABASE or (whole and not path.name.endswith(".tmp")):
                yield path


def _differs(path: Path, *, on: bool) -> bool:
    if not path.stat().st_size:
        return False
    is_encrypted = not sqlite.is_plain(path) if path.suffix == _DATABASE else storage.is_encrypted(path)
    return is_encrypted != on


def _convert_database(path: Path, cipher: Cipher, *, on: bool) -> None:
    """Copy it by SQLCipher's own means. Raises DataError where another process has it open."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.unlink(missing_ok=True)
    key, other = sqlite.raw_key(cipher), ""
    if on:
        key, other = other, key
    database = sqlite.sqlcipher().connect(str(path), isolation_level=None, timeout=1.0)
    try:
        if key:
            database.execute(f'PRAGMA key = "{key}"')
        # Takes what its log holds, and is refused while anybody else has the file open.
        database.execute("PRAGMA journal_mode=DELETE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f'ATTACH DATABASE ? AS made KEY "{other}"', (str(beside),))
        database.execute("SELECT sqlcipher_export('made')")
        database.execute(f"PRAGMA made.user_version = {version}")
        database.execute("DETACH DATABASE made")
        shutil.copymode(path, beside)
        beside.replace(path)
    except sqlite.errors() as error:
        raise DataError(
            f"{path} can't be written anew: {error}. Mend: stop the servers and pages that use it, then go on"
        ) from error
    finally:
        database.close()
        beside.unlink(missing_ok=True)


def _readable(programme: Programme) -> Iterator[str]:
    """Files with rows or texts that stay readable: sources, sheets that people fill in, students."""
    for path in sorted(programme.folder.rglob("*")):
        if not path.is_file() or path.name in _OWN or ".git" in path.parts or path.name.startswith("."):
            continue
        if path.suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".sqlite", ".xml"):
            plain = sqlite.is_plain(path) if path.suffix == _DATABASE else not storage.is_encrypted(path)
            if plain:
                yield path.relative_to(programme.folder).as_posix()


def read_decrypted(path: Path) -> Any:
    """A file of an encrypted folder, to be read as it was written. Raises UsageError for a database."""
    if path.suffix == _DATABASE:
        raise UsageError(f"{path} is a database. Mend: `tutelage encryption off`, or SQLCipher's own shell")
    if not path.is_file():
        raise UsageError(f"{path} is no file. Mend: name one of an encrypted folder")
    return storage.opened(path)
