"""Rows of Parquet files, a row group at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.data.erasure.traces import Traces
from tutelage.errors import IntegrityError

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = "group"


def erase_parquet(
    path: Path, traces: Traces, whose: Collection[str], renamed: Mapping[str, str] | None = None
) -> int:
    """Erase the rows that hold a trace; how many. A file of which none does stays untouched.

    `whose` names the columns of subjects. Groups of prompts may bear the name of one of their subjects, in
    rows of others: with `renamed`, new names by old ones, these rows stay under the new one. Raises
    IntegrityError for a file that can't be read.
    """
    import numpy as np
    import pyarrow as pa

    try:
        with storage.parquet_file(path) as file:
            parts = range(file.num_row_groups)
            erased = [_going(file.read_row_group(part), traces, whose, renamed) for part in parts]
            changes = [_renames(file.read_row_group(part), renamed) for part in parts]
            count = int(sum(map(np.count_nonzero, erased)))
            if not count and not any(changes):
                return 0
            with storage.table_writer(path, file.schema_arrow) as write:
                for part in parts:
                    table = file.read_row_group(part).filter(pa.array(~erased[part]))
                    write(_with_groups(table, renamed))
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(
            f"{path} can't be read, so that nothing could be erased from it: {error}. Mend: delete it, then "
            "purge again"
        ) from error
    return count


def holds_trace(path: Path, traces: Traces) -> bool:
    """Whether any cell is or holds one. Raises IntegrityError."""
    import pyarrow as pa

    try:
        with storage.parquet_file(path) as file:
            parts = range(file.num_row_groups)
            return any(_going(file.read_row_group(part), traces, (), None).any() for part in parts)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} can't be read: {error}. Mend: delete it, then purge again") from error


def _going(table: pa.Table, traces: Traces, whose: Collection[str], renamed: Mapping[str, str] | None) -> Any:
    """Bool [rows]: which are to go."""
    import numpy as np

    goes = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        if renamed is not None and name == GROUP:
            continue
        goes |= _in_column(table[name], traces)
        if name in whose:
            goes |= _among(table[name], traces.keys)
        if name == "id":
            goes |= _among(table[name], traces.ids)
    return goes


def _in_column(column: pa.ChunkedArray, traces: Traces) -> Any:
    """Bool [rows]: which cells are or hold a trace."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        return np.array([traces.in_value(cell) for cell in column.to_pylist()], bool)
    if not _is_text(column.type):
        return np.zeros(len(column), bool)
    found = _among(column, traces.cells)
    if traces.many:  # once for each text
        texts = pc.unique(column).to_pylist()
        held = [text for text in texts if text and traces.in_text(text)]
        return found | _among(column, held)
    for pattern in traces.patterns:
        found |= pc.fill_null(pc.match_substring_regex(column, pattern), False).to_numpy()
    return found


def _among(column: pa.ChunkedArray, cells: Collection[str]) -> Any:
    """Bool [rows]: which cells are one of these, or lists with one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        there = frozenset(cells)
        return np.array([not there.isdisjoint(map(str, cell or ())) for cell in column.to_pylist()], bool)
    if not _is_text(column.type):
        column = pa.chunked_array([pa.array(map(_text, column.to_pylist()), pa.string())])
    return pc.is_in(column, value_set=pa.array(sorted(cells), column.type)).to_numpy().copy()


def _text(cell: Any) -> str | None:
    return None if cell is None else str(cell).strip()


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _renames(table: pa.Table, renamed: Mapping[str, str] | None) -> bool:
    if not renamed or GROUP not in table.column_names:
        return False
    return bool(_among(table[GROUP], renamed).any())


def _with_groups(table: pa.Table, renamed: Mapping[str, str] | None) -> pa.Table:
    import pyarrow as pa

    if not _renames(table, renamed):
        return table
    names = [(renamed or {}).get(name, name) for name in table[GROUP].to_pylist()]
    place = table.schema.get_field_index(GROUP)
    return table.set_column(place, table.schema.field(place), pa.array(names, table.schema.field(place).type))
