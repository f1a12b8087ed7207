"""How the terminal shows a pilot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

if TYPE_CHECKING:
    from tutelage.stages import Pilot, VersionFigures


def print_pilot(pilot: Pilot, *, as_json: bool = False) -> None:
    """A table of the versions, how far they agree, and what is proposed."""
    out = console()
    if as_json:
        out.out(json.dumps(pilot.to_json(), indent=2))
        return
    drawn = table()
    add_names(drawn, "version")
    add_numbers(drawn, "agrees with people", "unusable", "$/1,000", "tokens", "median s", "repeats")
    for version in pilot.versions:
        drawn.add_row(Text(version.name), *_cells(version))
    out.print(drawn)
    judged = " to ".join(f"{count:,}" for count in sorted({version.judged for version in pilot.versions}))
    out.print(f"agreement is of {judged} prompts that people answered; tokens are in/out of an answer")
    out.print()
    for pair, share in pilot.agreement.items():
        out.print(Text(f"{pair}: the same answer on {share:.1%}"), soft_wrap=True)
    if pilot.estimate is not None:
        out.print(Text(f"in version {pilot.proposal}, {pilot.estimate.describe()}"), soft_wrap=True)
    line = Text.assemble(("proposal: ", "bold"), (pilot.proposal, "bold green"), f", since {pilot.reason}")
    out.print(line, soft_wrap=True)


def _cells(version: VersionFigures) -> list[str]:
    quality, repeats = "–", "–"
    if version.quality is not None and version.low is not None and version.high is not None:
        interval = f"{100 * version.low:.1f}–{100 * version.high:.1f}"
        quality = f"{version.quality:.1%} ({interval})"
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
