"""How the terminal shows a pilot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tutelage.stages import Pilot, VersionFigures


def print_pilot(pilot: Pilot, *, as_json: bool = False, console: Console | None = None) -> None:
    """A table of the versions, how far they agree, and what is proposed."""
    console = console or Console(highlight=False)
    if as_json:
        console.print(Text(json.dumps(pilot.to_json(), indent=2)), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("version", overflow="fold")
    for name in ("agrees with people", "unusable", "$/1,000", "tokens in/out", "median s", "repeats itself"):
        table.add_column(name, justify="right")
    for version in pilot.versions:
        table.add_row(Text(version.name), *_cells(version))
    console.print(table)
    for pair, share in pilot.agreement.items():
        console.print(Text(f"{pair}: the same answer on {share:.1%}"), soft_wrap=True)
    if pilot.estimate is not None:
        console.print(Text(f"in version {pilot.proposal}, {pilot.estimate.describe()}"), soft_wrap=True)
    line = Text.assemble(("proposal: ", "bold"), (pilot.proposal, "bold green"), f", since {pilot.reason}")
    console.print(line, soft_wrap=True)


def _cells(version: VersionFigures) -> list[str]:
    quality, repeats = "–", "–"
    if version.quality is not None and version.low is not None and version.high is not None:
        quality = f"{version.quality:.1%} ({version.low:.1%}–{version.high:.1%}, n {version.judged:,})"
    if version.repeats:
        repeats = f"{version.repeated / version.repeats:.0%} of {version.repeats:,}"
    each = max(version.asked, 1)
    return [
        quality,
        f"{version.unusable:,} of {version.asked:,}",
        f"{version.cost_per_thousand:.4f}",
        f"{version.input_tokens / each:.0f}/{version.output_tokens / each:.0f}",
        f"{version.latency:.2f}",
        repeats,
    ]
