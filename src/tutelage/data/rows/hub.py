"""Data sets of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.data.rows.row import Row, require_columns
from tutelage.errors import DataError, MissingExtraError

HUB = "hf://"


def hub_rows(address: str, wanted: Mapping[str, str]) -> Iterator[Row]:
    """Rows of `hf://owner/name[[/config]/split]`, streamed. Raises DataError, MissingExtraError."""
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
                require_columns(address, list(cells), wanted)
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
