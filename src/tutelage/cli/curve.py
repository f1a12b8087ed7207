"""How the terminal shows a learning curve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

if TYPE_CHECKING:
    from tutelage.evaluation.curve import Ends
    from tutelage.stages.curve import CurveFound

_STYLES = {"pays": "bold green", "does not pay": "bold yellow", "can't tell": "bold"}


def print_curve(found: CurveFound, *, as_json: bool = False) -> None:
    """A row a size; then what is foretold, whether the fit holds, and the verdict."""
    out = console()
    if as_json:
        out.out(json.dumps(found.to_json(), indent=2))
        return
    curve = found.curve
    drawn = table()
    add_names(drawn, "answers learned from")
    add_numbers(drawn, "quality", "95%")
    for size, quality in zip(curve.sizes, curve.quality, strict=True):
        drawn.add_row(f"{size:,}", f"{quality.estimate:.1%}", _interval(quality))
    out.print(drawn)
    out.print()
    held = "as measured" if curve.holds else "which isn't what was measured, so that nothing is foretold"
    lines = [
        f"quality of student {found.student} on {curve.examples:,} answers that none learns from, "
        f"{curve.seeds} seeds",
        f"the smaller sizes foretell {curve.foretold.estimate:.1%} ({_interval(curve.foretold)}) for the "
        f"largest, {held}",
        f"{curve.more:,} more answers would add {100 * curve.gain.estimate:.1f} points "
        f"({100 * curve.gain.low:.1f} to {100 * curve.gain.high:.1f}) {_cost(found.cost)}",
    ]
    if found.chosen:
        lines.append("a plan chose these answers: quality is on such prompts, not on the traffic as it comes")
    for line in lines:
        out.print(Text(line), soft_wrap=True)
    verdict = Text.assemble(
        (curve.verdict, _STYLES[curve.verdict]), f", where {100 * curve.worth:.1f} points are worth it"
    )
    out.print(verdict, soft_wrap=True)


def _cost(dollars: float) -> str:
    return f"for about ${dollars:,.2f}" if dollars else "and cost nothing, as those there are did"


def _interval(ends: Ends) -> str:
    return f"{100 * ends.low:.1f}–{100 * ends.high:.1f}"
