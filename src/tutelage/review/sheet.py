"""Files that people fill in: CSV for spreadsheets, JSONL for values with a structure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.data.rows import open_rows
from tutelage.errors import DataError

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


def shown(text: str) -> str:
    """A prompt's text as a cell: an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_RUN_BY_SPREADSHEETS) else text


def read_sheet(path: Path) -> list[dict[str, Any]]:
    """All rows as they stand, columns that people added included; none where there is no file.

    Raises DataError where one can't be read: nothing may be written over what a person has filled in.
    """
    if not path.exists():
        return []
    rows = []
    for row in open_rows(path, None, {"label": "columns.label"}):
        if row.fault is not None:
            raise DataError(
                f"{path}, row {row.number}: {row.fault}. Mend: correct that row; it may hold an answer, so "
                "the file is not written anew"
            )
        rows.append(dict(row.cells))
    return rows


def write_sheet(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, readable: bool = True
) -> None:
    """Write `rows`, whole or not at all, with `columns` first and then whatever else the rows have.

    `readable`: people fill it in, so that it is encrypted nowhere.
    """
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    if path.suffix == ".jsonl":
        lines = [json.dumps({name: row.get(name) for name in names}, ensure_ascii=False) for row in rows]
        text = "".join(f"{line}\n" for line in lines)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = out.getvalue()
    storage.write_bytes(path, text.encode("utf-8", "surrogateescape"), readable=readable)
