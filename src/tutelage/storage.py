"""Files that are whole or absent: written beside, synced, then renamed over the old ones.

In a folder that is encrypted they are so on disk; whoever reads or hashes them here sees what was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from tutelage import encryption
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_CHUNK = 1 << 20
_WHOLE = ".whole"  # says that all files of a folder are written, and may take their places
ROW_GROUP = 1 << 17  # rows of a Parquet file that are written, and may be read, at once
_BATCH = 1 << 16  # rows that are read at once where a file is gone through


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, *, readable: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path`, durably, when the block ends without an error.

    The folder is made where absent. `readable`: for people or other tools, and encrypted nowhere. Raises
    UsageError where the folder is encrypted, and its key absent or another.
    """
    cipher = None if readable else encryption.cipher_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            if cipher is None:
                yield file
            else:
                writer = encryption.EncryptedWriter(file, cipher)
                yield cast("IO[bytes]", writer)
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync(path.parent)


def opened(path: Path) -> IO[bytes]:
    """Open a file to be read from any place, decrypted where it is encrypted.

    Raises UsageError where its key is absent or another, IntegrityError where it was changed.
    """
    file = path.open("rb")
    try:
        if not encryption.is_encrypted(file):
            return file
        reader = encryption.EncryptedReader(file, encryption.reading_key(path), path)
        return cast("IO[bytes]", io.BufferedReader(reader, _CHUNK))
    except BaseException:
        file.close()
        raise


def is_encrypted(path: Path) -> bool:
    """Whether a file is encrypted; False where there is none."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return encryption.is_encrypted(file)


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises as `opened`."""
    with opened(path) as file:
        return file.read()


def read_text(path: Path, *, errors: str = "strict") -> str:
    """All of a file in UTF-8. Raises as `opened`; `errors` as `bytes.decode` has it."""
    return read_bytes(path).decode("utf-8", errors)


def write_bytes(path: Path, content: bytes, *, readable: bool = False) -> None:
    """Replace `path` with `content`, atomically and durably, as `replacing` does."""
    with replacing(path, readable=readable) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities are refused, since JSON has none."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """Read JSON that Tutelage wrote. Raises IntegrityError where it can't be parsed."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically."""
    with table_writer(path, table.schema) as write:
        write(table)


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield what adds tables of `schema` to a Parquet file that takes the place of `path` at the end.

    Rows are held until they make a row group, so that memory doesn't grow with the file, nor its layout
    hangs on how many come at a time. Where the block ends with an error, what stood at `path` stays.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.Table] = []
    with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def add(table: pa.Table) -> None:
            held.append(table)
            if (rows := sum(one.num_rows for one in held)) >= ROW_GROUP:
                flush(rows // ROW_GROUP * ROW_GROUP)

        def flush(rows: int) -> None:
            whole = pa.concat_tables(held)
            held[:] = [whole.slice(rows)] if rows < whole.num_rows else []
            writer.write_table(whole.slice(0, rows), row_group_size=ROW_GROUP)

        yield add
        if held:
            flush(sum(one.num_rows for one in held))


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file that Tutelage wrote. Raises IntegrityError where it can't be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not is_encrypted(path):
            return pq.read_table(path)
        with opened(path) as file:
            return pq.read_table(file)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(f"{path} is damaged: {error}. Mend: delete it and run its stage again")


def table_batches(path: Path, columns: Sequence[str] | None = None, rows: int = _BATCH) -> Iterator[pa.Table]:
    """A Parquet file that Tutelage wrote, `rows` at a time, of these columns. Raises as `read_table`."""
    import pyarrow as pa

    try:
        with parquet_file(path) as file:
            # One row group after the other: asked for all of them, pyarrow keeps what it has read.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                    yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def count_rows(path: Path) -> int:
    """How many rows a Parquet file that Tutelage wrote has, as stands at its end. Raises as `read_table`."""
    import pyarrow as pa

    try:
        with parquet_file(path) as file:
            return int(file.metadata.num_rows)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


@contextmanager
def parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of anybody's. Raises what pyarrow raises, and as `opened`."""
    import pyarrow.parquet as pq

    if not is_encrypted(path):
        with pq.ParquetFile(path) as file:
            yield file
        return
    with opened(path) as content, pq.ParquetFile(content) as file:
        yield file


def replace_together(folder: Path, targets: Sequence[Path]) -> None:
    """Put files of `folder` in the places of `targets`, which have their names: all of them or none.

    They lie on one file system. A process that is killed amid this has done it once `settle` was called.
    """
    for target in targets:
        _sync(folder / target.name)
    write_bytes(folder / _WHOLE, b"")
    settle(folder, targets)


def settle(folder: Path, targets: Sequence[Path]) -> None:
    """Finish what a killed process began with `replace_together`; nothing where it hadn't begun."""
    if not (folder / _WHOLE).exists():
        return
    for target in targets:
        if (folder / target.name).exists():
            (folder / target.name).replace(target)
            _sync(target.parent)
    (folder / _WHOLE).unlink()
    _sync(folder)


@contextmanager
def scratch_folder(path: Path) -> Iterator[None]:
    """Make an empty folder that is gone after the block, in place of one that a killed process left."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an error.

    One process at a time may make it: what another one left that was killed amid it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.tmp"):
        if re.fullmatch(rf"\.{re.escape(path.name)}\.\d+\.tmp", left.name):
            shutil.rmtree(left, ignore_errors=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.mkdir()
    try:
        yield beside
        _swap_in(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap_in(fresh: Path, path: Path) -> None:
    """Rename `fresh` to `path`; what stood there is gone only once that has succeeded."""
    for file in fresh.rglob("*"):
        if file.is_file():
            _sync(file)
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def hash_json(content: Any) -> str:
    """SHA-256 of canonical JSON, 32 hex digits."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, the first 32 of its hex digits."""
    return sha256_file(path)[:32]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, all 64 hex digits: of what was written, also where it is encrypted."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def stat_path(path: Path) -> str:
    """A hash of names, sizes and times of change of a file or the files in a folder, 32 hex digits.

    Of weights of many gigabytes, where reading them to see whether they changed would take minutes.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    return hash_json([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def hash_path(path: Path) -> str:
    """`hash_file` for a file; for a folder the hash of its files' names and contents, 32 hex digits."""
    if path.is_file():
        return hash_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return hash_json([(str(file.relative_to(path)), hash_file(file)) for file in files])
