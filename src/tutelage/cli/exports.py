"""How the terminal shows what an export left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.rights import State

if TYPE_CHECKING:
    from tutelage.evaluation import Footprint
    from tutelage.stages import Export


def print_export(found: Export) -> None:
    """A row for the trained student and each form; below it why a form was refused."""
    out = console()
    drawn = table()
    add_names(drawn, "form")
    add_numbers(drawn, "MB", "p50 ms", "texts/s", "same decisions", "teacher", "kept")
    drawn.add_row("as trained", *_costs(found.trained), "", f"{found.forms[0].parity.before:.2%}", "")
    for item in found.forms:
        drawn.add_row(
            Text(item.form, "bold" if item.kept else ""),
            *_costs(item.footprint),
            f"{item.parity.agreement:.2%}",
            f"{item.parity.after:.2%}",
            "yes" if item.kept else Text("no", "bold red"),
        )
    out.print(drawn)
    n = found.forms[0].parity.n
    out.print(f"on {n:,} prompts of the transfer set; teacher: agreement with its answers", soft_wrap=True)
    for item in found.forms:
        for reason in item.decision.reasons:
            out.print(Text.assemble((f"{item.form} refused: ", "bold red"), reason), soft_wrap=True)
    for one in found.duties.owed:
        style = "bold red" if one.state is State.OPEN else ""
        told = f"{one.entry}: {one.duty.text} {one.how}"
        out.print(Text.assemble((f"duty, {one.state}: ", style), told), soft_wrap=True)
    out.print(f"wrote {found.folder}", soft_wrap=True)


def _costs(footprint: Footprint) -> list[str]:
    size, latency, throughput = footprint.size_mb, footprint.latency_p50_ms, footprint.throughput
    return [
        "–" if size is None else f"{size:,.1f}",
        "–" if latency is None else f"{latency:.3f}",
        "–" if throughput is None else f"{throughput:,.0f}",
    ]
