"""How the terminal shows whether gold is like the traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

_SHOWN = 15
_LABELS = 2  # of a cluster
_NAMED = 3
_CHANGED = {"new", "grown"}
_COLOURS = {"lacking": "bold red", "thin": "yellow", "covered": ""}


def print_coverage(found: Mapping[str, Any], *, as_json: bool = False) -> None:
    """The largest clusters and all that gold lacks; then the tests, each in a line."""
    out = console()
    if as_json:
        out.out(json.dumps(found, indent=2))
        return
    transfer, clusters = found.get("transfer"), found["clusters"]
    states = _states(found)
    drawn = table()
    add_names(drawn, "cluster")
    add_numbers(drawn, "traffic", "gold", "expected", "to learn from")
    if transfer is not None:
        add_numbers(drawn, "transfer")
        add_names(drawn, "mostly")
    add_names(drawn, "")
    shown = [
        entry
        for at, entry in enumerate(clusters)
        if at < _SHOWN or entry["state"] != "covered" or _CHANGED & set(states[entry["cluster"]])
    ]
    for entry in shown:
        drawn.add_row(
            Text(entry["name"]),
            f"{entry['traffic']:.1%}",
            f"{entry['gold']:,}",
            f"{entry['expected']:,.1f}",
            f"{entry['training']:,}",
            *([] if transfer is None else _of_transfer(transfer, entry["cluster"])),
            Text(", ".join(states[entry["cluster"]]), _COLOURS[entry["state"]]),
        )
    out.print(drawn)
    if len(shown) < len(clusters):
        out.print(f"and {len(clusters) - len(shown)} smaller clusters, covered")
    out.print()
    for line in (*_lines(found), *_over_time(found)):
        out.print(Text(line), soft_wrap=True)


def _states(found: Mapping[str, Any]) -> dict[int, list[str]]:
    """By cluster what is said of it: covered or not, rare, new, grown or shrunk."""
    said = {
        entry["cluster"]: [entry["state"], *(["rare"] if entry.get("rare") else [])]
        for entry in found["clusters"]
    }
    for part in ("month", "since"):
        for one in ((found.get("recent") or {}).get(part) or {}).get("changed", ()):
            states = said.get(one["cluster"])
            if states is not None and one["state"] not in states:
                states.append(one["state"])
    return said


def _of_transfer(transfer: Mapping[str, Any], cluster: int) -> list[str | Text]:
    one = transfer["clusters"].get(str(cluster))
    if one is None:
        return ["0.0%", ""]
    labels = ", ".join(f"{name} {share:.0%}" for name, share in list(one["labels"].items())[:_LABELS])
    return [f"{one['n'] / transfer['placed']:.1%}", Text(labels)]


def _over_time(found: Mapping[str, Any]) -> Iterator[str]:
    """What is new, and which clusters come and go."""
    recent = found.get("recent") or {}
    for part, when in (("month", f"the last {recent.get('days', 30)} days"), ("since", "the last look")):
        one = recent.get(part)
        if one is None:
            continue
        changes = "; ".join(
            f"“{item['name']}” {item['state']}, {item['before']:.1%} to {item['now']:.1%}"
            for item in one["changed"][:_NAMED]
        )
        more = f" and {one['changes'] - _NAMED} more" if one["changes"] > _NAMED else ""
        yield f"since {when} ({one['n_now']:,} of {one['n_now'] + one['n_before']:,} texts): " + (
            f"{changes}{more}" if changes else "no cluster surely grew or shrank"
        )
    seasons = found.get("seasons")
    if seasons is None:
        return
    kinds = ", ".join(seasons["kinds"])
    if not seasons["changed"]:
        yield f"seasons ({kinds}; {seasons['n']:,} texts with a time): no cluster surely hangs on them"
    for item in seasons["changed"][:_NAMED]:
        peak = item["peak"]
        yield (
            f"by {item['kind']}: “{item['name']}” {peak['share']:.1%} ({peak['low']:.1%} to "
            f"{peak['high']:.1%}) at its peak, {peak['period']}; {item['rest']:.1%} else (adjusted p "
            f"{item['p']:.2g})"
        )
    if seasons["changes"] > _NAMED:
        yield f"and {seasons['changes'] - _NAMED} more that hang on the {kinds}; prompts/coverage.json"


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
    if (transfer := found.get("transfer")) is not None:
        synthetic = f", {transfer['synthetic']:,} synthetic ones beside" if transfer["synthetic"] else ""
        median = f"; median {transfer['length']['median']:,.0f} characters" if transfer["length"] else ""
        lines.append(f"transfer set: {transfer['n']:,} real prompts{synthetic}{median}")
    if (near := found["leakage"].get("meaning")) is not None:
        lines.append(
            f"in other words among what is learned from (cosine {near['least']:g} and more): "
            f"{near['known']:,} of gold; shares {near['gold']:.1%}, of fresh traffic {near['traffic']:.1%}, "
            f"p {near['p']:.2g}"
        )
    left = found["leakage"]["left"]
    leaks = ", ".join(f"{one['pairs']:,} {one['kind']} ({one['part']})" for one in left) or "none left"
    lines.append(f"gold in what is learned from or shown to the teacher: {leaks}")
    return lines
