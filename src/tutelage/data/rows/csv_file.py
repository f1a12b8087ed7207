"""CSV files, and the quotes in them that swallow rows."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tutelage.data.rows.row import Row, require_columns
from tutelage.errors import DataError

_BREAK = re.compile(r"\r\n|\r|\n")
_RUNAWAY = 50  # line breaks in a cell from which a quote is suspected to be closed by accident
_QUOTES = "Mend: close the quote, or double the quotes inside a cell"


def csv_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Row]:
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
            require_columns(f"{path}, line 1", header, wanted)
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
