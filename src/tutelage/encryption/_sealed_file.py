"""A file in chunks of AES-256-GCM, written from beginning to end and read from any place.

The STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance" (2015), as age (age-encryption.org/v1) uses it: a chunk's nonce is its number
and whether it is the last, so that none can be moved, left out or cut off unnoticed. Each file has a key of
its own, derived from a random salt in its head, so that no nonce comes again.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tutelage.encryption._cipher import Cipher
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_HEAD = b"tutelage AES-256-GCM 1\n"
_SALT = 16
_CHUNK = 1 << 16  # bytes that are encrypted together, and have to be read together
_TAG = 16
_BEGIN = len(_HEAD) + _SALT


def is_encrypted(file: IO[bytes]) -> bool:
    """Whether an open file begins as one that was written here. Goes back to its beginning."""
    head = file.read(len(_HEAD))
    file.seek(0)
    return head == _HEAD


class _Chunks:
    def __init__(self, cipher: Cipher, salt: bytes) -> None:
        key = cipher.derive(b"file", salt)  # says which extra is missing
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def encrypt(self, number: int, content: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, last), content, None)

    def decrypt(self, number: int, content: bytes, *, last: bool) -> bytes:
        return self._cipher.decrypt(_nonce(number, last), content, None)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class EncryptedWriter(io.RawIOBase):
    """Encrypts what is written into a file; `finish` writes the last chunk. Closing leaves the file open."""

    def __init__(self, file: IO[bytes], cipher: Cipher) -> None:
        salt = os.urandom(_SALT)
        self._file, self._chunks = file, _Chunks(cipher, salt)
        self._held, self._number, self._written = bytearray(), 0, 0
        file.write(_HEAD + salt)

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes written so far, before encryption."""
        return self._written

    def write(self, content: ReadableBuffer) -> int:
        """Take all of it."""
        view = memoryview(content).cast("B")
        self._held += view
        self._written += len(view)
        begin = 0
        while len(self._held) - begin > _CHUNK:  # what may be the last chunk is held
            self._put(bytes(self._held[begin : begin + _CHUNK]), last=False)
            begin += _CHUNK
        del self._held[:begin]
        return len(view)

    def finish(self) -> None:
        """Write what is held as the last chunk."""
        self._put(bytes(self._held), last=True)
        self._held.clear()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._chunks.encrypt(self._number, chunk, last=last))
        self._number += 1


class EncryptedReader(io.RawIOBase):
    """Decrypts a file as it is read; the last chunk at once, so that one that was cut off is told.

    Raises IntegrityError where a chunk isn't what was written, or under another key.
    """

    def __init__(self, file: IO[bytes], cipher: Cipher, path: Path) -> None:
        self._file, self._path = file, path
        head = file.read(_BEGIN)
        self._chunks = _Chunks(cipher, head[len(_HEAD) :])
        whole = file.seek(0, io.SEEK_END) - _BEGIN
        self._count = max(1, -(-whole // (_CHUNK + _TAG)))
        self._size = whole - self._count * _TAG
        self._place = 0
        self._number, self._chunk = -1, b""
        self._load(self._count - 1)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()

    def tell(self) -> int:
        """The place in what is read."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in what is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer up to the end of a chunk; 0 at the end."""
        view = memoryview(buffer).cast("B")
        number, within = divmod(self._place, _CHUNK)
        if self._place >= self._size or not len(view):
            return 0
        self._load(number)
        part = self._chunk[within : within + len(view)]
        view[: len(part)] = part
        self._place += len(part)
        return len(part)

    def _load(self, number: int) -> None:
        if number == self._number:
            return
        from cryptography.exceptions import InvalidTag

        self._file.seek(_BEGIN + number * (_CHUNK + _TAG))
        content = self._file.read(_CHUNK + _TAG)
        try:
            self._chunk = self._chunks.decrypt(number, content, last=number == self._count - 1)
        except (InvalidTag, ValueError):
            raise IntegrityError(
                f"{self._path} was cut off or changed after it was written, or under another key. "
                "Mend: export the key that it was, or delete it and run its stage again"
            ) from None
        self._number = number
