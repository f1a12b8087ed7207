"""Raw rows of each file format, as cells by column name; nothing is judged here but the format itself."""

from __future__ import annotations

import csv
import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, MissingExtraError

HUB = "hf://"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "lines",
}
_LINES = ("seq.in", "label")
_BATCH = 4096
_BREAK = re.compile(r"\r\n|\r|\n")
_RUNAWAY = 50  # line breaks in a cell from which a quote is suspected to be closed by accident
_QUOTES = "Mend: close the quote, or double the quotes inside a cell"


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
        raise DataError(
            f"{path} {found}. Mend: correct the path in tutelage.yaml, which starts at its own folder"
        )
    form = form or _FORMATS.get(path.suffix.lower())
    readers = {"csv": _csv_rows, "jsonl": _jsonl_rows, "parquet": _parquet_rows, "lines": _text_rows}
    if form not in readers:
        raise DataError(
            f"{path}: format unknown from its ending {path.suffix!r}. "
            "Mend: set format to csv, jsonl, parquet or lines, or save it so: a spreadsheet as CSV, a JSON "
            "list as JSONL, an object a line"
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
                f"{where}: no column {name!r}; there are {names}{hint}. Mend: set {key} to the right one, "
                "in the section that names this file"
            )


def _csv_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    """Rows of a CSV file whose delimiter is the first of , ; and tab that its header holds.

    Blank lines are passed over where there are several columns. Where there is one they are rows with an
    empty cell, but for those at the end of the file, which editors leave.
    """
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header_line = file.readline()
        _refuse_other_forms(path, header_line)
        delimiter = next((mark for mark in ",;\t" if mark in header_line), ",")
        file.seek(0)
        records = _CsvRecords(path, file, delimiter)
        try:
            header = [name.strip() for name in records.header()]
            if not any(header):
                raise DataError(f"{path}, line 1: no header. Mend: put the column names on the first line")
            if len(set(header)) != len(header):
                raise DataError(f"{path}, line 1: a column name stands twice. Mend: rename one")
            _require_columns(f"{path}, line 1", header, wanted)
            yield from _rows_of(records, header)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {records.last_line}: {error}. Mend: correct that line's quotes"
            ) from error


def _refuse_other_forms(path: Path, first_line: str) -> None:
    """What is no CSV file whatever its name says."""
    if first_line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise DataError(f'{path} is UTF-16, as spreadsheets save "Unicode text". Mend: save it as CSV UTF-8')
    if first_line.lstrip().startswith("{"):
        raise DataError(f"{path}, line 1 begins a JSON object. Mend: set format: jsonl beside path")


def _rows_of(records: _CsvRecords, header: list[str]) -> Iterator[Row]:
    number = blank = 0
    for cells in records:
        if not cells:
            blank += 1
            continue
        if len(header) == 1:
            for _ in range(blank):
                number += 1
                yield Row(number, {header[0]: ""})
        blank = 0
        number += 1
        fault = records.fault(cells, len(header))
        if fault is not None:
            yield Row(number, {}, fault, raw=",".join(cells)[:200])
        else:
            yield Row(number, dict(zip(header, cells, strict=True)))


class _CsvRecords:
    """Records of a CSV file, which mind where a quote swallows rows that weren't meant to be in a cell.

    The csv module ends the last cell with the file, quote or no quote, and takes any later quote for the
    closing one. Here the first is an error. So is the second where a cell holds `_RUNAWAY` line breaks or
    more and either text follows a closing quote of its record, or nine in ten of its lines have as many
    cells as the header; in a file of one column, where every line has, its record must have more. Text after
    a closing quote in a shorter record of several lines makes it malformed. A short runaway quote that ends
    where a cell may end can't be told from a cell of several lines.
    """

    def __init__(self, path: Path, file: Iterable[str], delimiter: str) -> None:
        self._path, self._delimiter = path, delimiter
        self._lines: list[str] = []  # of the record that was read last
        self._ended = False
        self._reader = csv.reader(self._noted(file), delimiter=delimiter)

    def _noted(self, file: Iterable[str]) -> Iterator[str]:
        for line in file:
            self._lines.append(line)
            yield line
        self._ended = True  # reached within a record only if a quote is open, since a line's end ends others

    @property
    def last_line(self) -> int:
        """The line in which the record that was read last ends, from 1."""
        return self._reader.line_num

    def header(self) -> list[str]:
        """The first record. Raises DataError as iteration does."""
        cells = next(iter(self), [])
        self._refuse_runaway(cells, 0, sloppy=True)
        return cells

    def __iter__(self) -> Iterator[list[str]]:
        """Yield each record's cells, none for a blank line. Raises DataError where a quote stays open."""
        self._lines.clear()
        for cells in self._reader:
            if self._ended:
                opened = self._opening(cells, len(cells) - 1)
                raise DataError(
                    f"{self._path}, line {opened}: a quote is opened here and not closed, which swallows "
                    f"{self.last_line - opened} line(s). {_QUOTES}"
                )
            yield cells
            self._lines.clear()

    def fault(self, cells: list[str], width: int) -> str | None:
        """What is wrong with the record that was read last. Raises DataError for a runaway quote."""
        sloppy = len(self._lines) > 1 and self._is_sloppy()
        self._refuse_runaway(cells, width, sloppy=sloppy)
        lines = f"line {self.last_line}"
        if len(self._lines) > 1:
            lines = f"lines {self.last_line - len(self._lines) + 1} to {self.last_line}"
        if sloppy:
            return f"{lines}: text follows a closing quote. {_QUOTES}"
        if len(cells) != width:
            return f"{lines}: {len(cells)} cells, and the header has {width}"
        return None

    def _is_sloppy(self) -> bool:
        try:
            for _ in csv.reader(self._lines, delimiter=self._delimiter, strict=True):
                pass
        except csv.Error:
            return True
        return False

    def _refuse_runaway(self, cells: list[str], width: int, *, sloppy: bool) -> None:
        if len(self._lines) <= _RUNAWAY:
            return
        for place, cell in enumerate(cells):
            breaks = _count_breaks(cell)
            if breaks >= _RUNAWAY and (sloppy or self._looks_like_rows(cell, len(cells), width)):
                opened = self._opening(cells, place)
                raise DataError(
                    f"{self._path}, line {opened}: a quote is opened here and closed only on line "
                    f"{opened + breaks}, as if by accident. {_QUOTES}; if the cell is meant so, give the "
                    "file as JSONL"
                )

    def _looks_like_rows(self, cell: str, cells: int, width: int) -> bool:
        inner = _BREAK.split(cell)[1:-1]
        alike = sum(line.count(self._delimiter) == width - 1 for line in inner)
        return alike >= 0.9 * len(inner) and (width > 1 or cells > 1)

    def _opening(self, cells: list[str], place: int) -> int:
        """The line, from 1, in which a cell of the record that was read last begins."""
        return self.last_line - len(self._lines) + 1 + sum(map(_count_breaks, cells[:place]))


def _count_breaks(text: str) -> int:
    return len(_BREAK.findall(text))


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
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no readable Parquet file: {str(error)[:200]}. Mend: write it anew"
        ) from error


def _decoded(batch: Any) -> Iterator[dict[str, Any]]:
    """Rows of a batch; strings come as bytes first, since Parquet doesn't promise that they are UTF-8."""
    import pyarrow as pa

    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        is_text = any(is_kind(column.type) for is_kind in kinds)
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


def _text_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
    """A text file's lines, each a prompt."""
    for name, key in wanted.items():
        if name != "text":
            raise DataError(
                f"{path} has lines of text and no column {name!r}; its one column is 'text'. "
                f"Mend: leave {key} out, or save the file as CSV with a header"
            )
    for number, text in enumerate(_lines(path), start=1):
        yield Row(number, {"text": text})


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _hub_rows(address: str, wanted: Mapping[str, str]) -> Iterator[Row]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "hub", f"the source {address}") from error
    parts = address.removeprefix(HUB).strip("/").split("/")
    if len(parts) not in (2, 3, 4) or not all(parts):
        raise DataError(
            f"{address} is not of the form hf://owner/name, hf://owner/name/split or "
            "hf://owner/name/config/split. Mend: correct the address"
        )
    *config, split = parts[2:] or ["train"]
    try:
        data_set = load_dataset("/".join(parts[:2]), *config, split=split, streaming=True)
        names = _class_names(data_set)
        for number, cells in enumerate(data_set, start=1):
            if number == 1:
                _require_columns(address, list(cells), wanted)
            yield Row(number, {column: _named(cell, names.get(column)) for column, cell in cells.items()})
    except DataError:
        raise
    except Exception as error:  # datasets, its builders and its HTTP client raise of many kinds
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{address} can't be read: {said[:200]}. Mend: check name, config, split and network"
        ) from error


def _class_names(data_set: Any) -> dict[str, list[str]]:
    """The names of each column of the kind ClassLabel, or of lists of it: their cells are numbers."""
    found = {}
    for column, feature in (getattr(data_set, "features", None) or {}).items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names is not None:
            found[column] = list(names)
    return found


def _named(cell: Any, names: list[str] | None) -> Any:
    """A cell with class numbers as names; None for -1, which stands for no label."""
    if names is None:
        return cell
    if isinstance(cell, list):
        return [_named(item, names) for item in cell]
    if isinstance(cell, int):
        return names[cell] if 0 <= cell < len(names) else None
    return cell
