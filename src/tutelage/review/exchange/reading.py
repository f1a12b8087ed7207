"""Which tool a file comes from, and reading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from tutelage import storage
from tutelage.config import ColumnsConfig
from tutelage.data.rows import Row, open_rows
from tutelage.errors import DataError, UsageError
from tutelage.review.exchange import argilla, label_studio, table
from tutelage.review.exchange.export import Export, refused

FORMATS = (label_studio.NAME, argilla.NAME, table.NAME)
_KINDS = {
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_LOOKED_AT = 20  # rows, to find out what tool wrote them


def read_export(
    path: Path, columns: ColumnsConfig, *, form: str | None = None, people: Sequence[str] = ()
) -> Export:
    """Read the export of a tool: `form` of `FORMATS`, found out where absent.

    `columns` say what the prompt's text, its id and a table's label are called, `people` which columns of a
    table are people. Raises DataError where the file can't be read, or a row of it: then nothing is taken.
    """
    rows = _rows(path)
    first = list(islice(rows, _LOOKED_AT))
    every = chain(first, rows)
    form = form or _found(first)
    try:
        if form == label_studio.NAME:
            export = label_studio.read(every, columns.text)
        elif form == argilla.NAME:
            export = argilla.read(every, columns.text)
        elif form == table.NAME:
            export = table.read(every, columns, people)
        else:
            raise UsageError(f"format {form!r} is none of {', '.join(FORMATS)}. Mend: name one of these")
    except ValueError as error:
        raise DataError(
            f"{path}, read as {form}: {error}. Mend: name the columns so, set gold.columns, or say which "
            "columns are people with --answers"
        ) from error
    if export.faults:
        raise refused(
            path, export.faults, f"correct these rows, or say what tool wrote the file (--format; {form} now)"
        )
    return export


def _rows(path: Path) -> Iterator[Row]:
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_KINDS)
        raise DataError(f"{path}: no export ends in {path.suffix!r}. Mend: export as one of {known}")
    if not path.is_file():
        raise DataError(f"{path} doesn't exist. Mend: correct the path")
    wanted = {}
    if kind == "parquet":  # of which only the columns that are asked for are read
        wanted = dict.fromkeys(_parquet_columns(path), "--answers")
    return open_rows(path, kind, wanted)


def _parquet_columns(path: Path) -> Sequence[str]:
    import pyarrow as pa

    try:
        with storage.parquet_file(path) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError):
        return ()  # opening it says what is wrong


def _found(first: Sequence[Row]) -> str:
    records = [row.cells for row in first if row.fault is None]
    if any(label_studio.is_tasks(cells) or label_studio.is_row(cells) for cells in records):
        return label_studio.NAME
    if any(argilla.is_record(cells) for cells in records):
        return argilla.NAME
    return table.NAME
