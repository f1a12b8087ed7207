"""Writes that no transaction has taken yet, in files of their own: what a killed server leaves behind.

A line is handed to the operating system in some microseconds, where a transaction takes a hundred times as
long; so an answer waits for the one and never for the other. The system keeps what it was handed when the
process is killed; when the machine loses its power, what was written in the last moments may be gone.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tutelage.encryption import Cipher, cipher_of, reading_key
from tutelage.serving.captures import Capture, new_id
from tutelage.serving.store._captured import Completion

_log = logging.getLogger(__name__)
_KINDS: tuple[type[Capture], type[Completion]] = (Capture, Completion)
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS}
_CHECK = 8  # hex digits of a line's CRC-32

Kept = tuple[Capture | Completion, dict[str, Any]]


class Journal:
    """The lines of one process; its calls are made under one lock, the writer's.

    A file takes lines until it is sealed; it is emptied once all of them are in the database, and used again.
    Each is locked for as long as its process lives: one that isn't is left over from one that was killed.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Files are `name`-ID in `folder`; the first is made when it is needed."""
        self._folder, self._name = folder, name
        self._cipher = cipher_of(folder / name)
        self._current: File | None = None
        self._sealed: list[File] = []
        self._free: list[File] = []

    def append(self, what: Capture | Completion, monitors: Any) -> bool:
        """Hand a line to the operating system; False where that failed, or what it says can't be written."""
        try:
            line = _line(what, monitors, self._cipher)
            if self._current is None:
                self._current = self._next()
            self._current.append(line)
        except (OSError, TypeError, ValueError) as error:
            _log.warning("a capture could not be written down: %s", type(error).__name__)
            return False
        return True

    def seal(self) -> Sequence[File]:
        """All files with lines: what comes from now on goes to another one."""
        if self._current is not None and self._current.size:
            self._sealed.append(self._current)
            self._current = None
        return tuple(self._sealed)

    def clear(self, files: Sequence[File]) -> None:
        """Empty files whose lines are in the database."""
        for file in files:
            self._sealed.remove(file)
            file.empty()
            self._free.append(file)

    def close(self, *, keep: bool) -> None:
        """Remove the files; with `keep` those with lines stay, for whoever opens the store next."""
        self.seal()
        for file in (*self._free, *self._sealed, *filter(None, (self._current,))):
            file.close(remove=not (keep and file.size))
        self._current, self._sealed, self._free = None, [], []

    def _next(self) -> File:
        return self._free.pop() if self._free else File.made(self._folder, self._name)


class File:
    """A file that this process has locked. `size` in bytes, of whole lines."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor, self.size = path, descriptor, 0

    @classmethod
    def made(cls, folder: Path, name: str) -> File:
        """A new one, which only its owner may read."""
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{name}-{new_id()}"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            if _lock(descriptor):
                return cls(path, descriptor)
            os.close(descriptor)  # another process took it for left over before it was locked, and removes it

    def append(self, line: bytes) -> None:
        """Write a line, whole or not at all. Raises OSError."""
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)

    def empty(self) -> None:
        """Drop its lines."""
        os.ftruncate(self._descriptor, 0)
        self.size = 0

    def close(self, *, remove: bool) -> None:
        """Let go of it."""
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


class LeftOver:
    """A file of a process that is no more, locked. `writes` are its lines."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self.writes = list(_read(path))

    def remove(self) -> None:
        """Its lines are in the database."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def left_over(folder: Path, name: str) -> Iterator[LeftOver]:
    """What processes that were killed have left, oldest first."""
    for path in sorted(folder.glob(f"{name}-*")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # its process has just ended as it should
            continue
        if _lock(descriptor):
            yield LeftOver(path, descriptor)
        else:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether nobody else holds it, and it is there yet."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _line(what: Capture | Completion, monitors: Any, cipher: Cipher | None) -> bytes:
    kind = int(isinstance(what, Completion))
    values = [getattr(what, name) for name in _NAMES[type(what)]]
    content = json.dumps([kind, values, monitors or {}], separators=(",", ":")).encode()
    if cipher is not None:
        content = cipher.encrypt_line(content)
    return b"%08x%s\n" % (zlib.crc32(content), content)


def _read(path: Path) -> Iterator[Kept]:
    """The lines up to the first that isn't whole: after a power cut the last ones may not be."""
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1]):
        check, content = line[:_CHECK], line[_CHECK:]
        if check != b"%08x" % zlib.crc32(content):
            _log.warning("%s: %d lines from %d on are not whole", path.name, len(lines) - 1 - number, number)
            return
        if not content.startswith(b"["):
            content = reading_key(path).decrypt_line(content, path)
        kind, values, monitors = json.loads(content)
        yield _KINDS[kind](*values), monitors
