"""How the terminal shows a comparison of students."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, short_count, table

if TYPE_CHECKING:
    from tutelage.evaluation import Frontier, Standing

_BAR = 24


def print_comparison(found: Frontier, *, as_json: bool = False) -> None:
    """A table of the students, the smallest first; the frontier; what is proposed."""
    out = console()
    if as_json:
        out.out(json.dumps(asdict(found), indent=2))
        return
    drawn = table()
    add_names(drawn, "student")
    add_numbers(drawn, "quality", "95%", "loss to best", "MB", "weights", "p50 ms", "frontier")
    for standing in found.standings:
        drawn.add_row(
            Text(standing.name, "bold" if standing.name == found.proposal else ""), *_cells(standing)
        )
    out.print(drawn)
    out.print()
    for standing in found.standings:
        out.print(_line(standing, found), soft_wrap=True)
    out.print()
    seeds = "seed" if found.seeds == 1 else "seeds"
    out.print(f"quality is of {found.examples:,} prompts and {found.seeds} {seeds}; intervals are of both")
    why = (
        "no smaller one surely stays within"
        if found.proposal == found.best
        else "the smallest that stays within"
    )
    line = Text.assemble(
        ("proposal: ", "bold"), (found.proposal, "bold green"), f", {why} {found.margin:.1%} of the best"
    )
    out.print(line, soft_wrap=True)


def _cells(standing: Standing) -> list[str]:
    footprint = standing.footprint
    size, weights, latency = footprint.size_mb, footprint.parameters, footprint.latency_p50_ms
    return [
        f"{standing.quality:.1%}",
        f"{100 * standing.low:.1f}–{100 * standing.high:.1f}",
        f"{standing.loss:.1%} (≤ {standing.loss_high:.1%})",
        "–" if size is None else f"{size:,.1f}",
        "–" if weights is None else short_count(weights),
        "–" if latency is None else f"{latency:.2f}",
        "yes" if standing.on_frontier else "",
    ]


def _line(standing: Standing, found: Frontier) -> Text:
    """Quality as a bar from the worst end of all intervals to the best, the interval in it."""
    least = min(one.low for one in found.standings)
    most = max(one.high for one in found.standings)
    width = max(most - least, 1e-9)

    def place(quality: float) -> int:
        return round((_BAR - 1) * (quality - least) / width)

    low, middle, high = place(standing.low), place(standing.quality), place(standing.high)
    cells = ["─" if low <= cell <= high else " " for cell in range(_BAR)]
    cells[middle] = "●"
    name = max(len(one.name) for one in found.standings)
    return Text(f"{standing.name:<{name}}  {least:.1%} {''.join(cells)} {most:.1%}")
