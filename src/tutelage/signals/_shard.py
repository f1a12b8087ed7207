"""A shard's arrays, read by rows: mapped into memory, or decrypted as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.errors import IntegrityError
from tutelage.signals.manifest import MEND

Array = npt.NDArray[Any]
_LENGTH = 8  # bytes of a safetensors file, little endian: how long its header is


class Shard:
    """One safetensors file of a store. `keys` are its prompts' hashes, `offsets` int64 [prompts + 1].

    Raises IntegrityError where it is absent or damaged.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            if storage.is_encrypted(path):
                encrypted = _Encrypted(path)
                metadata, self._values = encrypted.metadata, encrypted
                self.offsets: Array = encrypted["offsets"]
            else:
                file: Any = safe_open(path, framework="numpy")
                metadata, self._values = file.metadata(), file.get_slice("values")
                self.offsets = file.get_tensor("offsets")
            self.keys = [str(key) for key in json.loads(metadata["keys"])]
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} is missing or damaged: {error}. Mend: delete {path.parent} and {MEND}"
            ) from error

    def rows(self, start: int, end: int) -> Array:
        """[rows, width] of `values`."""
        found: Array = self._values[start:end]
        return found


class _Encrypted:
    """As safetensors has its format: a header in JSON, then the arrays' bytes."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = storage.opened(path)
        length = int.from_bytes(self._file.read(_LENGTH), "little")
        self._header: Mapping[str, Any] = json.loads(self._file.read(length))
        self._begin = _LENGTH + length
        self.metadata: Mapping[str, str] = self._header["__metadata__"]

    def __getitem__(self, rows: slice | str) -> Array:
        """Rows of `values`, or all of another array."""
        about = self._header["values" if isinstance(rows, slice) else rows]
        dtype = np.dtype(_DTYPES[about["dtype"]])
        size = dtype.itemsize * int(np.prod(about["shape"][1:], dtype=np.int64))
        first, last = (rows.start, rows.stop) if isinstance(rows, slice) else (0, about["shape"][0])
        self._file.seek(self._begin + about["data_offsets"][0] + first * size)
        content = self._file.read((last - first) * size)
        return np.frombuffer(bytearray(content), dtype).reshape(last - first, *about["shape"][1:])


_DTYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}
