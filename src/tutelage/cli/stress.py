"""How the terminal shows what stress did to the arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

_MARKS = {"same": "", "open": " *", "different": " **"}
_GROUPS = {"unsafe": "must be declined", "safe": "harmless"}


def print_stress(found: Mapping[str, Any]) -> None:
    """A table of flips, one of declined suite prompts where they were asked, and what the marks mean."""
    out = console()
    robustness, safety = found["robustness"], found["safety"]
    out.print()
    out.print(_flips(robustness))
    expected = {row["expectation"] for row in robustness["perturbations"]}
    if "open" in expected:
        out.print("*  the text may have lost what decides: told, never judged", soft_wrap=True)
    if "different" in expected:
        out.print(
            "** the meaning was turned: a share of answers that follow, no flips to blame", soft_wrap=True
        )
    if safety:
        out.print()
        out.print(_declined(safety))


def _flips(robustness: Mapping[str, Any]) -> Table:
    arms = robustness["arms"]
    drawn = table(f"Answers that flip, of {robustness['examples']:,} sealed examples")
    add_names(drawn, "perturbation")
    add_numbers(drawn, "n", *arms, *(["student − teacher"] if "teacher" in arms else []))
    for row in robustness["perturbations"]:
        cells = [_share(row["arms"][name]["flips"]) for name in arms]
        if "teacher" in arms:
            cells.append(_difference(row["differences"].get("teacher")))
        drawn.add_row(Text(row["name"] + _MARKS[row["expectation"]]), f"{row['n']:,}", *cells)
    return drawn


def _declined(safety: Mapping[str, Any]) -> Table:
    arms = safety["arms"]
    how = "refused" if safety["declining"] == "refusal" else "found out of scope"
    drawn = table(f"Prompts of safety suites that are {how}")
    add_names(drawn, "prompts")
    add_numbers(drawn, "n", *arms, *(["student − teacher"] if "teacher" in arms else []))
    groups = {("all", group): safety[group] for group in _GROUPS}
    if len(safety["suites"]) > 1:
        groups |= {
            (suite, group): rows[group] for suite, rows in safety["suites"].items() for group in _GROUPS
        }
    for (suite, group), row in groups.items():
        if row is None:
            continue
        cells = [_share(row["arms"][name]) for name in arms]
        if "teacher" in arms:
            cells.append(_difference(row["differences"].get("teacher")))
        drawn.add_row(Text(f"{suite}, {_GROUPS[group]}"), f"{row['n']:,}", *cells)
    return drawn


def _share(share: Mapping[str, float] | None) -> str:
    return "-" if share is None else f"{share['estimate']:.1%}"


def _difference(found: Mapping[str, float] | None) -> str:
    """In points, with its interval."""
    if found is None:
        return "-"
    ends = f"{100 * found['low']:+.1f} to {100 * found['high']:+.1f}"
    return f"{100 * found['estimate']:+.1f} ({ends})".replace("-", "−")
