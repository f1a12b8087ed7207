"""How the terminal shows whether gold is like the traffic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

_SHOWN = 15
_COLOURS = {"lacking": "bold red", "thin": "yellow", "covered": ""}


def print_coverage(found: Mapping[str, Any], *, as_json: bool = False) -> None:
    """The largest clusters and all that gold lacks; then the tests, each in a line."""
    out = console()
    if as_json:
        out.out(json.dumps(found, indent=2))
        return
    drawn = table()
    add_names(drawn, "cluster of the traffic")
    add_numbers(drawn, "traffic", "gold", "expected", "to learn from", "")
    clusters = found["clusters"]
    shown = [entry for at, entry in enumerate(clusters) if at < _SHOWN or entry["state"] != "covered"]
    for entry in shown:
        drawn.add_row(
            Text(entry["name"]),
            f"{entry['traffic']:.1%}",
            f"{entry['gold']:,}",
            f"{entry['expected']:,.1f}",
            f"{entry['training']:,}",
            Text(entry["state"], _COLOURS[entry["state"]]),
        )
    out.print(drawn)
    if len(shown) < len(clusters):
        out.print(f"and {len(clusters) - len(shown)} smaller clusters, covered")
    out.print()
    for line in _lines(found):
        out.print(Text(line), soft_wrap=True)


def _lines(found: Mapping[str, Any]) -> list[str]:
    unlike = found["unlike"]
    lines = [
        f"unlike gold: {unlike['estimate']:.1%} of the traffic is in clusters that gold lacks or is thin in"
        + (f"; about {unlike['needed']:,} more labelled prompts would mend it" if unlike["needed"] else "")
    ]
    if (beyond := found["beyond_reach"]) is not None:
        lines.append(
            f"beyond gold's reach: {beyond['estimate']:.1%} ({beyond['low']:.1%} to {beyond['high']:.1%}); "
            "5% where the two are alike"
        )
    if (test := found["classifier"]) is not None:
        lines.append(
            f"told apart by a classifier: AUC {test['auc']:.2f} ({test['low']:.2f} to {test['high']:.2f}), "
            f"p {test['p']:.2g}; 0.5 where they can't be"
        )
    if (test := found["kernel"]) is not None:
        lines.append(
            f"kernel distance (MMD): {test['mmd']:.3f}, by chance below {test['mmd_by_chance']:.3f}, "
            f"p {test['p']:.2g}"
        )
    if (length := found["length"]) is not None:
        lines.append(
            f"length: gold's median {length['gold']['median']:,.0f} characters, the traffic's "
            f"{length['traffic']['median']:,.0f}; p {length['p']:.2g}"
        )
    if (nearest := found["nearest"]) is not None:
        lines.append(
            f"nearer to what is learned from than fresh traffic: {nearest['gold_nearer']:.2f} "
            f"({nearest['low']:.2f} to {nearest['high']:.2f}); 0.5 where alike"
        )
    left = found["leakage"]["left"]
    leaks = ", ".join(f"{one['pairs']:,} {one['kind']} ({one['part']})" for one in left) or "none left"
    lines.append(f"gold in what is learned from or shown to the teacher: {leaks}")
    return lines
