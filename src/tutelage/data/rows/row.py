"""One row of a source, and what every format asks of columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tutelage.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 1, its cells, and a fault where it can't be used, with its reason.

    `native` tells that the format itself has the cells `id`, `subject` and `time`, where a row has them.
    """

    number: int
    cells: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    raw: str = ""
    reason: str = "malformed_row"
    native: bool = False


def require_columns(where: str, there: list[str], wanted: Mapping[str, str]) -> None:
    """Raise DataError where one of `wanted` isn't there; each has the key of tutelage.yaml that names it."""
    for name, key in wanted.items():
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
            hint = f"; nearest is {near[0]!r}" if near else ""
            names = ", ".join(map(repr, there[:20]))
            raise DataError(
                f"{where}: no column {name!r}; there are {names}{hint}. Mend: set {key} to the right one, "
                "in the section that names this file"
            )
