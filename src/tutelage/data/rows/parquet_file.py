"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.data.rows.row import Row, require_columns
from tutelage.errors import DataError

_BATCH = 4096


def parquet_rows(path: Path, wanted: Mapping[str, str], *, every: bool = False) -> Iterator[Row]:
    """Its rows; of the columns those that are `wanted`, or `every` one."""
    import pyarrow as pa

    try:
        with storage.parquet_file(path) as file:
            require_columns(str(path), file.schema_arrow.names, wanted)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=None if every else list(wanted)):
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
