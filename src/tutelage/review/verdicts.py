"""Verdicts of people, read from a file row by row; a row that can't be taken becomes a Rejection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import ColumnsConfig
from tutelage.data.rows import Row, open_rows
from tutelage.data.sources import RejectReason, Rows
from tutelage.records import Rejection, Value, storable, text_hash
from tutelage.tasks import Task

HASH = "hash"  # the column by which a row of our own files is known, whatever a spreadsheet did to its text
_HASH = re.compile(r"[0-9a-f]{32}")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class HumanVerdict:
    """What a person said of one prompt. `hash` is empty where a row has only an id; `row` counts from 1."""

    hash: str
    id: str
    value: Value
    reviewer: str = ""
    reasons: str = ""
    row: int = 0


class _Refused(Exception):
    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class _Columns:
    """The column map, and where the rest stands. `ours`: a file that Tutelage wrote to be filled in."""

    mapped: ColumnsConfig
    reviewer: str
    reasons: str
    ours: bool

    @property
    def id(self) -> str:
        return self.mapped.id or "id"


def read_verdicts(
    path: Path | str,
    columns: ColumnsConfig,
    task: Task,
    *,
    form: str | None = None,
    limit: int | None = None,
    reviewer: str = "reviewer",
    reasons: str = "reasons",
    ours: bool = False,
) -> Rows[HumanVerdict]:
    """Read verdicts: each row has the prompt's text or its id, and a label cell as `Task.read_cell` takes it.

    Of a file of `ours` (a queue, a review) the rows whose label is still empty are passed over, and the
    column `hash` says which prompt a row is about. Nothing is coerced: a cell that holds no value of the task
    is rejected with its reason.

    Raises DataError where the file can't be read at all.
    """
    where = _Columns(columns, reviewer, reasons, ours)
    accepted: list[HumanVerdict] = []
    rejected: list[Rejection] = []
    total = 0
    for row in islice(_rows(path, form, where), limit):
        total += 1
        try:
            verdict = _read(row, where, task)
        except _Refused as refused:
            rejected.append(_rejection(str(path), row, where, refused))
            continue
        if verdict is not None:
            accepted.append(verdict)
    return Rows(accepted, rejected, total)


def _rows(path: Path | str, form: str | None, where: _Columns) -> Iterator[Row]:
    wanted = {where.mapped.label: "columns.label"}
    if where.mapped.id:
        wanted[where.mapped.id] = "columns.id"
    names = (where.mapped.text, where.id, where.reviewer, where.reasons, HASH)
    wanted |= {name: "columns" for name in _parquet_columns(path, form) if name in names}
    return open_rows(path, form, wanted)


def _parquet_columns(path: Path | str, form: str | None) -> Sequence[str]:
    """Of a Parquet file only the columns asked for are read, so these have to be known before."""
    if not (form == "parquet" or (form is None and str(path).endswith(".parquet"))):
        return ()
    if not Path(path).is_file():
        return ()
    import pyarrow as pa

    try:
        with storage.parquet_file(Path(path)) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError):
        return ()  # `open_rows` says what is wrong with it


def _read(row: Row, where: _Columns, task: Task) -> HumanVerdict | None:
    """The row's verdict; None where the row of a file of ours still waits for one."""
    if row.fault is not None:
        raise _Refused(RejectReason.MALFORMED_ROW, row.fault)
    label = where.mapped.label
    if label not in row.cells:
        raise _Refused(RejectReason.MISSING_COLUMN, f"no {label!r}")
    cell = row.cells[label]
    if where.ours and is_empty(cell):
        return None
    hash_, id_ = _prompt_of(row, where)
    try:
        value = task.read_cell(cell, where.mapped.separator)
    except ValueError as error:
        reason = RejectReason.EMPTY_LABEL if is_empty(cell) else RejectReason.LABEL_OUT_OF_SET
        raise _Refused(reason, storable(str(error))) from None
    reviewer, reasons = (_text(row, name).strip() for name in (where.reviewer, where.reasons))
    return HumanVerdict(hash_, id_, value, reviewer, reasons, row.number)


def is_empty(cell: Any) -> bool:
    """Whether nobody has filled a cell in."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _prompt_of(row: Row, where: _Columns) -> tuple[str, str]:
    id_ = _text(row, where.id).strip()
    own = _text(row, HASH).strip() if where.ours else ""
    if _HASH.fullmatch(own):
        return own, id_
    text = row.cells.get(where.mapped.text)
    if isinstance(text, str) and text.strip():
        if text != storable(text):
            raise _Refused(RejectReason.NOT_UTF8, "its text is not UTF-8")
        return text_hash(text), id_
    if not id_:
        detail = f"neither {where.mapped.text!r} nor {where.id!r} says which prompt"
        raise _Refused(RejectReason.MISSING_COLUMN, detail)
    return "", id_


def _text(row: Row, column: str) -> str:
    cell = row.cells.get(column)
    return "" if cell is None else storable(str(cell))


def _rejection(source: str, row: Row, where: _Columns, refused: _Refused) -> Rejection:
    text = (_text(row, where.mapped.text) or storable(row.raw))[:_SHOWN].replace("\0", "\\0")
    return Rejection(source, row.number, _text(row, where.id), refused.reason, refused.detail, text)
