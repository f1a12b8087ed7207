"""Raw rows of each file format, as cells by column name; nothing is judged here but the format itself."""

from __future__ import annotations

import csv
import difflib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, MissingExtraError

HUB = "hf://"
_FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_LINES = ("seq.in", "label")
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 1, its cells, and a fault where the format itself is broken there."""

    number: int
    cells: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    raw: str = ""


def open_rows(path: Path | str, form: str | None, wanted: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a source. `wanted`: columns that must be there, each with the key of tutelage.yaml for it.

    Raises DataError naming the file, and line and fix where known.
    """
    if str(path).startswith(HUB):
        return _hub_rows(str(path), wanted)
    path = Path(path)
    if path.is_dir() and (form or "lines") == "lines":
        return _line_rows(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "doesn't exist"
        raise DataError(f"{path} {found}. Mend: correct the path in tutelage.yaml")
    form = form or _FORMATS.get(path.suffix.lower())
    readers = {"csv": _csv_rows, "jsonl": _jsonl_rows, "parquet": _parquet_rows}
    if form not in readers:
        raise DataError(
            f"{path}: format unknown from its ending {path.suffix!r}. "
            "Mend: set format to csv, jsonl or parquet"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Mend: give it a header and rows")
    return readers[form](path, wanted)


def _require_columns(where: str, there: list[str], wanted: Mapping[str, str]) -> None:
    for name, key in wanted.items():
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
            hint = f"; nearest is {near[0]!r}" if near else ""
            names = ", ".join(map(repr, there[:20]))
            raise DataError(
                f"{where}: no column {name!r}; there are {names}{hint}. Mend: set {key} to the right one"
            )


def _csv_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        # The csv module stops at a NUL; U+2400 can't be told from it afterwards, so it is put back below.
        lines = _NulSafe(file)
        header_line = file.readline()
        delimiter = next((mark for mark in ",;\t" if mark in header_line), ",")
        file.seek(0)
        reader = csv.reader(lines, delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise DataError(f"{path}, line 1: no header. Mend: put the column names on the first line")
        if len(set(header)) != len(header):
            raise DataError(f"{path}, line 1: a column name stands twice. Mend: rename one")
        _require_columns(f"{path}, line 1", header, wanted)
        yield from _cells_of(path, reader, header)


class _NulSafe:
    """Lines with NULs carried through the csv module, which refuses them, as a private-use character."""

    STAND_IN = "\U0010fffd"

    def __init__(self, file: io.TextIOBase | Any) -> None:
        self._file = file

    def __iter__(self) -> Iterator[str]:
        return (line.replace("\0", self.STAND_IN) for line in self._file)


def _cells_of(path: Path, reader: Any, header: list[str]) -> Iterator[Row]:
    number, started = 0, reader.line_num + 1
    try:
        for cells in reader:
            opened, started = started, reader.line_num + 1
            if not cells:
                continue
            number += 1
            if len(cells) != len(header):
                _refuse_runaway_quote(path, cells, opened, reader.line_num)
                fault = f"line {reader.line_num}: {len(cells)} cells, and the header has {len(header)}"
                yield Row(number, {}, fault, raw=",".join(cells)[:200])
                continue
            restored = (cell.replace(_NulSafe.STAND_IN, "\0") for cell in cells)
            yield Row(number, dict(zip(header, restored, strict=True)))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}. Mend: correct that line's quotes"
        ) from error


def _refuse_runaway_quote(path: Path, cells: list[str], opened: int, ended: int) -> None:
    """A quote that is never closed swallows the rest of the file into one cell."""
    if ended - opened >= 50 and cells[-1].count("\n") >= 50:
        raise DataError(
            f"{path}, line {opened}: a quote is opened here and not closed, which swallows {ended - opened} "
            "lines. Mend: close it, or double the quotes inside a cell"
        )


def _jsonl_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    number = 0
    with path.open("rb") as file:
        for line_number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
            if not text.strip():
                continue
            number += 1
            yield _json_row(number, line_number, text)
    if number == 0:
        raise DataError(f"{path} holds no rows. Mend: put a JSON object on each line")


def _json_row(number: int, line_number: int, text: str) -> Row:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"line {line_number}: not JSON: {str(error)[:120]}", raw=text[:200])
    if not isinstance(content, dict):
        return Row(number, {}, f"line {line_number}: {type(content).__name__}, not an object", raw=text[:200])
    return Row(number, content)


def _parquet_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        _require_columns(str(path), file.schema_arrow.names, wanted)
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(wanted)):
            for cells in _decoded(batch):
                number += 1
                yield Row(number, cells)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is no readable Parquet file: {str(error)[:200]}. Mend: write it anew"
        ) from error


def _decoded(batch: Any) -> Iterator[dict[str, Any]]:
    """Rows of a batch; strings come as bytes first, since Arrow doesn't promise that they are UTF-8."""
    import pyarrow as pa

    columns = []
    for column in batch.columns:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        cells = (column.cast(pa.large_binary()) if is_text else column).to_pylist()
        columns.append(
            [cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell for cell in cells]
        )
    for cells in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, cells, strict=True))


def _line_rows(folder: Path) -> Iterator[Row]:
    """A folder with `seq.in` and, for gold, `label`: line i of the one belongs to line i of the other."""
    texts_path, labels_path = (folder / name for name in _LINES)
    if not texts_path.is_file():
        raise DataError(
            f"{folder} is a folder without a file 'seq.in'. Mend: name a file, or a folder of paired lines"
        )
    texts = _lines(texts_path)
    labels = _lines(labels_path) if labels_path.is_file() else None
    if labels is not None and len(labels) != len(texts):
        raise DataError(
            f"{labels_path} has {len(labels)} lines and {texts_path} {len(texts)}. "
            "Mend: they must go line by line"
        )
    for index, text in enumerate(texts):
        cells = {"text": text} if labels is None else {"text": text, "label": labels[index]}
        yield Row(index + 1, cells)


def _lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")


def _hub_rows(address: str, wanted: Mapping[str, str]) -> Iterator[Row]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "hub", f"the source {address}") from error
    parts = address.removeprefix(HUB).strip("/").split("/")
    if len(parts) not in (2, 3):
        raise DataError(f"{address} is not of the form hf://owner/name or hf://owner/name/split")
    split = parts[2] if len(parts) == 3 else "train"
    try:
        rows = load_dataset("/".join(parts[:2]), split=split, streaming=True)
        for number, cells in enumerate(rows, start=1):
            if number == 1:
                _require_columns(address, list(cells), wanted)
            yield Row(number, cells)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{address} can't be read: {str(error)[:200]}. Mend: check name, split and network"
        ) from error
