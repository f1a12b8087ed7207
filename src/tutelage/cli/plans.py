"""How the terminal shows sampling plans beside each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

if TYPE_CHECKING:
    from tutelage.stages.plans import PlanComparison, PlanFigures

_ABSENT = "–"


def print_plans(found: PlanComparison, *, as_json: bool = False) -> None:
    """A row a plan; then what the columns mean, and how to choose one."""
    out = console()
    if as_json:
        out.out(json.dumps(found.to_json(), indent=2))
        return
    drawn = table(_title(found))
    add_names(drawn, "plan")
    add_numbers(drawn, "new", "cost", "clusters", "traffic", "rare", "labels", "doubt")
    for one in found.plans:
        style = "bold green" if one.name == found.chosen else ""
        drawn.add_row(Text(one.name, style), *(_cells(one, found) if not one.lacking else [_ABSENT] * 7))
    out.print(drawn)
    out.print()
    for line in _lines(found):
        out.print(Text(line), soft_wrap=True)


def _title(found: PlanComparison) -> str:
    limit = found.limit
    limits = [f"{limit.prompts:,} prompts"] if limit.prompts is not None else []
    if limit.budget is not None:
        limits.append(f"${limit.budget:,.2f}")
    return f"Plans of {' and '.join(limits)}: {found.answered:,} answered already, {found.candidates:,} not"


def _cells(one: PlanFigures, found: PlanComparison) -> list[str]:
    cost = f"${one.estimate.cost:,.2f}" if one.estimate else f"≤ ${one.most:,.2f}" if one.most else "$0"
    return [
        f"{one.prompts:,}",
        cost,
        f"{one.reached} of {found.clusters}",
        f"{one.traffic:.0%}",
        f"{one.rare:.0%}",
        _ABSENT if one.labels is None else f"{one.labels:,}",
        _ABSENT if one.doubt is None else f"{one.doubt:.2f}",
    ]


def _lines(found: PlanComparison) -> list[str]:
    lines = [
        "clusters with five prompts or more, and the traffic in them; rare: new ones in the smallest "
        "clusters, which hold a tenth of the traffic; labels that a first student gives to the new ones, and "
        "its doubt"
    ]
    lines.append(f"first student: {found.student}")
    if not found.reckoned:
        lines.append("costs are the very most: the teacher has answered too little to reckon from")
    if found.chosen is None:
        lines.append(
            "nothing is kept. To choose one: labelling.sample: {by: ..., prompts: ...} in tutelage.yaml, "
            "then `tutelage label`"
        )
    return lines
