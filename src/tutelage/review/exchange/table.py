"""Tables of what several people said: a row an answer (long), or a column a person (wide).

A long one has the columns of the prompt, `annotator` and the label; a wide one those of the prompt and one
for each person. CSV, JSONL and Parquet alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tutelage.config import ColumnsConfig
from tutelage.data.rows import Row
from tutelage.review.exchange.export import ABOUT, About, Export, LeftOut, Piece, Said

NAME = "csv"
ANNOTATOR = "annotator"
_BESIDE = (*ABOUT, "comment", "time")


def read(rows: Iterable[Row], columns: ColumnsConfig, people: Sequence[str] = ()) -> Export:
    """Read either; `people` are the columns of a wide one, where it has others too.

    Raises ValueError where the columns can't be told.
    """
    export = Export(NAME, joined=True)
    asked: Sequence[str] | None = None
    for row in rows:
        export.rows += 1
        if row.fault is not None:
            export.faults.append((row.number, row.fault))
            continue
        if asked is None:
            asked = _people(row.cells, columns, people)
        try:
            _take(export, row, columns, asked)
        except ValueError as error:
            export.faults.append((row.number, str(error)))
    return export


def _people(cells: Mapping[str, Any], columns: ColumnsConfig, named: Sequence[str]) -> Sequence[str]:
    """The columns of a wide table, by its first row; none where it is long."""
    missing = [name for name in named if name not in cells]
    if missing:
        raise ValueError(f"no column {missing[0]!r}; there are {', '.join(map(repr, cells))}")
    if ANNOTATOR in cells and columns.label in cells and not named:
        return ()
    others = [
        name for name in cells if name not in (columns.text, columns.id, columns.slice, ANNOTATOR, *_BESIDE)
    ]
    if named or len(others) > 1 or (others and others != [columns.label]):
        return named or others
    raise ValueError(
        f"neither the columns {ANNOTATOR!r} and {columns.label!r}, with an answer a row, nor one for each "
        f"person; there are {', '.join(map(repr, cells))}"
    )


def _take(export: Export, row: Row, columns: ColumnsConfig, people: Sequence[str]) -> None:
    cells = row.cells
    text = cells.get(columns.text)
    known = About.of(
        {**cells, "id": cells.get(columns.id or "id"), "slice": cells.get(columns.slice or "slice")}
    )
    if not isinstance(text, str) and known == About():
        raise ValueError(f"no text in {columns.text!r}")
    said = text if isinstance(text, str) else ""
    comment, time = (str(cells.get(name) or "") for name in ("comment", "time"))
    if not people:
        name, pieces = str(cells.get(ANNOTATOR) or "").strip(), _pieces(cells.get(columns.label))
        export.take(Said(row.number, said, name, {columns.label: pieces}, known, comment, time))
        return
    for person in people:
        if pieces := _pieces(cells.get(person)):
            export.take(Said(row.number, said, person, {columns.label: pieces}, known))
        else:
            export.left_out[LeftOut.EMPTY] += 1


def _pieces(cell: Any) -> list[Piece]:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return []
    return list(cell) if isinstance(cell, list) else [cell]
