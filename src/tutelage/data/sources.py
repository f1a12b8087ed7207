"""Sources: rows of CSV, JSONL, Parquet, paired line files a database, a log or `hf://` as prompts or gold.

A row that can't be taken becomes a Rejection; a source that can't be read at all is one DataError. Whatever
the bytes, `len(accepted) + len(rejected) == total`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from tutelage.config import LONGEST_NAME, SENSITIVITIES, ColumnsConfig
from tutelage.data.keeping import Keeping
from tutelage.data.redaction import Redactor
from tutelage.data.rows import Row, open_rows, source_name
from tutelage.data.times import read_time
from tutelage.records import NORMAL_SLICE, Fields, Gold, Prompt, Rejection, Value, storable, text_hash
from tutelage.tasks import CellFault, CellFaultKind, Task

MOST_CHARACTERS = 100_000
_SHOWN = 200
_LOOKED_AT = 2_000  # characters of a row that is refused; what of it is shown lies far inside

T = TypeVar("T")


class RejectReason(StrEnum):
    """Why a row was not taken."""

    MALFORMED_ROW = "malformed_row"
    MISSING_COLUMN = "missing_column"
    NOT_TEXT = "not_text"
    EMPTY_TEXT = "empty_text"
    NOT_UTF8 = "not_utf8"
    NUL = "nul"
    LONE_SURROGATE = "lone_surrogate"
    TOO_LONG = "too_long"
    EMPTY_LABEL = "empty_label"
    LABEL_OUT_OF_SET = "label_out_of_set"
    ANSWER_MISFIT = "answer_misfit"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_TEXT = "duplicate_text"
    NEAR_DUPLICATE_TEXT = "near_duplicate_text"
    CONFLICTING_LABEL = "conflicting_label"
    DUPLICATE_OF_GOLD = "duplicate_of_gold"
    NEAR_DUPLICATE_OF_GOLD = "near_duplicate_of_gold"
    SIBLING_OF_GOLD = "sibling_of_gold"
    PERSONAL_DATA = "personal_data"
    UNREADABLE_TIME = "unreadable_time"
    OTHER_TASK = "other_task"
    SYNTHETIC = "synthetic"
    PURGED = "purged"
    EXPIRED = "expired"
    UNKNOWN_SENSITIVITY = "unknown_sensitivity"


_REASONS = {
    CellFaultKind.NOT_TEXT: RejectReason.NOT_TEXT,
    CellFaultKind.EMPTY: RejectReason.EMPTY_LABEL,
    CellFaultKind.TOO_LONG: RejectReason.TOO_LONG,
    CellFaultKind.OUT_OF_SET: RejectReason.LABEL_OUT_OF_SET,
    CellFaultKind.MISFIT: RejectReason.ANSWER_MISFIT,
}


@dataclass(frozen=True)
class Rows(Generic[T]):
    """What a source gave. `total` counts its rows, which are numbered from 1 in prompts and rejections."""

    accepted: list[T]
    rejected: list[Rejection]
    total: int


class _Refused(Exception):
    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason, self.detail = reason, detail


@dataclass
class _Reader(Generic[T]):
    """Turns rows into T, keeping count of ids and of what is refused."""

    source: str
    columns: ColumnsConfig
    make: Callable[[Prompt, Row], T]
    redactor: Redactor | None = None
    ids: set[str] | None = field(default_factory=set)
    keeping: Keeping | None = None
    numbered: int = 0

    def read(self, rows: Iterator[Row], limit: int | None) -> Rows[T]:
        accepted: list[T] = []
        rejected: list[Rejection] = []
        total = 0
        for row in islice(rows, limit):
            total += 1
            taken = self.take(row)
            if isinstance(taken, Rejection):
                rejected.append(taken)
            else:
                accepted.append(taken)
        return Rows(accepted, rejected, total)

    def take(self, row: Row) -> T | Rejection:
        """What a row gives. Where `ids` is None, whether its id came before is seen by whoever asks."""
        try:
            return self._take(row)
        except _Refused as refused:
            return self._rejection(row, refused)

    def _take(self, row: Row) -> T:
        if row.fault is not None:
            raise _Refused(RejectReason(row.reason), row.fault)
        text = self._redacted(_checked_text(row, self.columns.text))
        id_ = self._id(row, text)
        if self.ids is not None and id_ in self.ids:
            raise _Refused(RejectReason.DUPLICATE_ID, _repeated(id_))
        slice_ = (
            str(row.cells.get(self.columns.slice) or NORMAL_SLICE) if self.columns.slice else NORMAL_SLICE
        )
        subject = self._subject(row)
        for name, value in (("id", id_), ("slice", slice_), ("subject", subject)):
            _check_name(value, name)
        prompt = Prompt(
            id_,
            text,
            self.source,
            slice_.strip() or NORMAL_SLICE,
            row.number,
            group=subject,
            subject=subject,
            time=self._time(row),
            sensitivity=self._sensitivity(row),
        )
        self._refuse_to_keep(prompt, row)
        made = self.make(prompt, row)
        if self.ids is not None:
            self.ids.add(id_)
        return made

    def _refuse_to_keep(self, prompt: Prompt, row: Row) -> None:
        if self.keeping is None:
            return
        if self.keeping.is_purged(prompt, str(row.cells.get(self.columns.text))):
            raise _Refused(RejectReason.PURGED, "")
        if self.keeping.has_expired(prompt):
            raise _Refused(RejectReason.EXPIRED, f"older than retention.{prompt.sensitivity} allows")

    def _sensitivity(self, row: Row) -> str:
        name = self.columns.sensitivity
        found = name if name in SENSITIVITIES else str(row.cells.get(name) or "").strip()
        if found not in SENSITIVITIES:
            detail = storable(f"{name!r} holds {found[:40]!r}, which is none of {', '.join(SENSITIVITIES)}")
            raise _Refused(RejectReason.UNKNOWN_SENSITIVITY, detail)
        return found

    def _id(self, row: Row, text: str) -> str:
        name = self.columns.id or ("id" if row.native and "id" in row.cells else None)
        if name is None:
            id_ = f"{Path(self.source).stem}-{row.number}"
            return id_ if row.number > self.numbered else f"{id_}-{text_hash(text)[:8]}"
        given = row.cells.get(name)
        if given is None or str(given).strip() == "":
            raise _Refused(RejectReason.MISSING_COLUMN, f"no {name!r}")
        return str(given).strip()

    def _subject(self, row: Row) -> str:
        name = self.columns.subject or ("subject" if row.native else None)
        cell = None if name is None else row.cells.get(name)
        subject = "" if cell is None else str(cell).strip()
        return kept_subject(subject, self.redactor)

    def _time(self, row: Row) -> float | None:
        name = self.columns.time or ("time" if row.native else None)
        if name is None:
            return None
        cell = row.cells.get(name)
        try:
            return read_time(cell)
        except (ValueError, OverflowError):
            detail = storable(f"{name!r} holds {str(cell)[:40]!r}")
            raise _Refused(RejectReason.UNREADABLE_TIME, detail) from None

    def _redacted(self, text: str) -> str:
        if self.redactor is None:
            return text
        redacted = self.redactor.redact(text)
        if redacted.dropped:
            raise _Refused(RejectReason.PERSONAL_DATA, f"it holds {', '.join(redacted.dropped)}")
        return redacted.text

    def _rejection(self, row: Row, refused: _Refused) -> Rejection:
        def shown_of(value: Any) -> str:
            """What isn't taken is kept as well: redacted, and only then cut short."""
            if self.redactor is None or value is None:
                return _printable(value)
            return _printable(self.redactor.redact(str(value)[:_LOOKED_AT]).text)

        def shown(name: str | None) -> str:
            return shown_of(row.cells.get(name, "") if name else "")

        theirs = self.keeping is not None and self.keeping.was_purged(self._subject(row))
        if theirs or refused.reason is RejectReason.PURGED:
            return Rejection(self.source, row.number, "", refused.reason, "of a subject that was purged", "")
        if refused.reason is RejectReason.EXPIRED:
            return Rejection(self.source, row.number, "", refused.reason, refused.detail, "")
        text = shown(self.columns.text) or shown_of(row.raw)
        return Rejection(
            self.source, row.number, shown(self.columns.id), refused.reason, refused.detail, text
        )


def _printable(value: Any) -> str:
    text = "" if value is None else str(value)[:_SHOWN]
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")


def _checked_text(row: Row, column: str) -> str:
    if column not in row.cells or row.cells[column] is None:
        raise _Refused(RejectReason.MISSING_COLUMN, f"no {column!r}")
    text = row.cells[column]
    if not isinstance(text, str):
        raise _Refused(RejectReason.NOT_TEXT, f"{column!r} holds {type(text).__name__}")
    if len(text) > MOST_CHARACTERS:
        raise _Refused(RejectReason.TOO_LONG, f"{len(text):,} characters; {MOST_CHARACTERS:,} are the most")
    _refuse_undecodable(text, "")
    if not text.strip():
        raise _Refused(RejectReason.EMPTY_TEXT, f"{column!r} is empty")
    return text


def _check_name(name: str, what: str) -> None:
    """Refuse an id, slice or label that can't be one; a cell of a megabyte is a column mapped wrongly."""
    if len(name) > LONGEST_NAME:
        raise _Refused(
            RejectReason.TOO_LONG, f"{what} of {len(name):,} characters; {LONGEST_NAME} are the most"
        )
    _refuse_undecodable(name, f"{what} ")


def _refuse_undecodable(text: str, what: str) -> None:
    if "\0" in text:
        raise _Refused(RejectReason.NUL, f"{what}holds a NUL character")
    try:
        text.encode()
        return
    except UnicodeEncodeError:
        pass
    for character in text:
        # Bytes that aren't UTF-8 were read as U+DC80 to U+DCFF (surrogateescape).
        if "\udc80" <= character <= "\udcff":
            raise _Refused(RejectReason.NOT_UTF8, f"{what}byte 0x{ord(character) - 0xDC00:02x} is not UTF-8")
        if "\ud800" <= character <= "\udfff":
            raise _Refused(RejectReason.LONE_SURROGATE, f"{what}U+{ord(character):04X} stands alone")


def kept_subject(subject: str, redactor: Redactor | None) -> str:
    """A subject as prompts name it: where it is personal data by the policy, a hash that stands for it.

    A mask would be the same for everybody, and their prompts one group.
    """
    if redactor is None or not subject or redactor.redact(subject).text == subject:
        return subject
    return f"subject-{text_hash(subject)[:16]}"


def row_reader(
    source: Path | str,
    columns: ColumnsConfig,
    redactor: Redactor | None,
    keeping: Keeping | None = None,
    numbered: int = 0,
) -> Callable[[Row], Prompt | Rejection]:
    """What makes a prompt, redacted, or a rejection of each row of a source, each row by itself.

    So that rows can be read in several processes: whether an id came before isn't looked at. Rows without an
    id are named by their numbers; where these up to `numbered` are other rows' by now, also by their texts.
    """

    def prompt_of(prompt: Prompt, row: Row) -> Prompt:
        return prompt

    name = source_name(source)
    return _Reader(name, columns, prompt_of, redactor, None, keeping, numbered).take


def reject_repeated_id(prompt: Prompt) -> Rejection:
    """The rejection of a prompt whose id an earlier row has."""
    detail = _repeated(prompt.id)
    return Rejection(
        prompt.source, prompt.row, prompt.id, RejectReason.DUPLICATE_ID, detail, _printable(prompt.text)
    )


def _repeated(id_: str) -> str:
    return f"{id_[:80]!r} stands in an earlier row"


def read_prompts(
    path: Path | str,
    columns: ColumnsConfig,
    *,
    form: str | None = None,
    limit: int | None = None,
    redactor: Redactor | None = None,
) -> Rows[Prompt]:
    """Read unlabelled prompts, redacted before anything else is done with them.

    Raises DataError (see the module), MissingExtraError for `hf://` without datasets.
    """
    rows = open_rows(path, form, wanted_columns(columns))
    return read_rows(source_name(path), columns, islice(rows, limit), redactor)


def read_rows(
    source: str,
    columns: ColumnsConfig,
    rows: Iterator[Row],
    redactor: Redactor | None,
    ids: set[str] | None = None,
    keeping: Keeping | None = None,
) -> Rows[Prompt]:
    """Rows that were opened as prompts; `ids` are those of sources before, and get these too."""
    known = set() if ids is None else ids
    reader = _Reader(source, columns, lambda prompt, row: prompt, redactor, known, keeping)
    return reader.read(rows, None)


def read_gold(
    path: Path | str,
    columns: ColumnsConfig,
    *,
    task: Task,
    form: str | None = None,
    limit: int | None = None,
    redactor: Redactor | None = None,
    query: str | None = None,
    keeping: Keeping | None = None,
) -> Rows[Gold]:
    """Read human-labelled examples, their texts redacted; a cell that holds no value of the task is refused.

    Raises as `read_prompts`.
    """

    def make(prompt: Prompt, row: Row) -> Gold:
        return Gold(prompt, _value_of(row, columns, task))

    rows = open_rows(path, form, wanted_columns(columns, labelled=True), query=query)
    return _Reader(source_name(path), columns, make, redactor, keeping=keeping).read(rows, limit)


def wanted_columns(columns: ColumnsConfig, *, labelled: bool = False) -> dict[str, str]:
    """The columns that have to be there, each with the key that maps it."""
    wanted = {columns.text: "columns.text"}
    if labelled:
        wanted[columns.label] = "columns.label"
    for key in ("id", "slice", "subject", "time"):
        if (name := getattr(columns, key)) is not None:
            wanted[name] = f"columns.{key}"
    if columns.sensitivity not in SENSITIVITIES:
        wanted[columns.sensitivity] = "columns.sensitivity"
    return wanted


def _value_of(row: Row, columns: ColumnsConfig, task: Task) -> Value:
    if columns.label not in row.cells:
        raise _Refused(RejectReason.MISSING_COLUMN, f"no {columns.label!r}")
    cell = row.cells[columns.label]
    try:
        value = task.read_cell(cell, columns.separator)
    except CellFault as fault:
        if fault.kind in {CellFaultKind.OUT_OF_SET, CellFaultKind.MISFIT}:
            _refuse_undecodable_cell(cell)  # a likelier reason
        detail = str(fault)
        if fault.kind in {CellFaultKind.NOT_TEXT, CellFaultKind.EMPTY}:
            detail = f"{columns.label!r} {detail}"
        raise _Refused(_REASONS[fault.kind], storable(detail)) from None
    _refuse_undecodable_value(value)
    return value


def _refuse_undecodable_cell(cell: Any) -> None:
    for part in cell if isinstance(cell, list) else [cell]:
        if isinstance(part, str):
            _refuse_undecodable(part, "label ")


def _refuse_undecodable_value(value: Value) -> None:
    if isinstance(value, Fields):
        _refuse_undecodable(json.dumps(dict(value), ensure_ascii=False), "record ")
        return
    for text in value if isinstance(value, tuple) else (value,):
        _refuse_undecodable(text, "label ")
