"""What tables on the terminal have in common: 80 columns hold them, and a pipe gets a row a line."""

from __future__ import annotations

import os

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 160


def console() -> Console:
    """On a terminal as wide as that is; elsewhere a row has a line, unless COLUMNS says how wide."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPE_WIDTH
    return made


def table(title: str = "") -> Table:
    """An empty table in the style of all."""
    return Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def add_names(made: Table, *columns: str) -> None:
    """Columns of text, which is folded where room is short."""
    for column in columns:
        made.add_column(column, overflow="fold")


def add_numbers(made: Table, *columns: str | Text) -> None:
    """Columns of figures, which stay whole."""
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)


def short_count(count: int) -> str:
    """A large number in six characters: 9,999, then 12.3k, 123k, 12.3M."""
    if count < 10_000:
        return f"{count:,}"
    scaled, unit = next((count / size, unit) for size, unit in _UNITS if count >= 0.9995 * size)
    return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:,.0f}{unit}"


_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
