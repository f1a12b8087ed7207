"""How the terminal shows what a student costs and saves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, short_count, table
from tutelage.economics import Origin

if TYPE_CHECKING:
    from tutelage.economics import Economics, Estimated

_LINE = 80  # characters of a bar with its name and ends
_BAR = 10  # of the shortest bar
_SHOWN = 8  # bars
_NEVER = float("inf")
_UPFRONT = {
    "teacher_labels": "the teacher's answers to learn from",
    "people_labels": "people's labels to learn from",
    "training": "training",
    "evaluation": "evaluation: people's labels of sealed gold",
    "setup": "people's hours to set it up",
    "governance": "people's hours of governance",
}
_RUNNING = {
    "escalation": "passed on to the teacher",
    "audit": "audited by the teacher",
    "serving": "the student's machines",
    "retraining": "retraining and new labels",
}


def print_economics(found: Economics, *, as_json: bool = False) -> None:
    """Three figures, the parts that they are made of, what they hang on, and where each comes from."""
    out = console()
    if as_json:
        out.out(json.dumps(found.to_json(), indent=2))
        return
    _print_headline(out, found)
    _print_costs(out, found)
    _print_tornado(out, found)
    _print_quantities(out, found)


def _print_headline(out: Console, found: Economics) -> None:
    requests = found.quantities.requests.likely
    drawn = table(f"At {requests:,.0f} requests a month")
    add_names(drawn, "")
    add_numbers(drawn, "about", "95% interval")
    saving = found.per_1000["saving"]
    drawn.add_row("saved on 1,000 requests, in running", _money(saving.estimate), _between(saving))
    drawn.add_row("break-even, months", _months(found.months.estimate), _between_months(found.months))
    drawn.add_row("break-even, requests", _count(found.requests.estimate), _between_counts(found.requests))
    drawn.add_row(
        "first year's saving, upfront paid", _money(found.first_year.estimate), _between(found.first_year)
    )
    out.print(drawn)
    out.print()
    out.print(Text(found.verdict, "bold"), soft_wrap=True)
    out.print(_needed(found), soft_wrap=True)
    out.print()


def _needed(found: Economics) -> str:
    """The traffic with which it would pay within a year, to two digits."""
    needed = found.monthly_needed
    if needed is None:
        return "No traffic would make it pay within a year."
    return f"Within a year it pays from about {float(f'{needed:.2g}'):,.0f} requests a month on."


def _print_costs(out: Console, found: Economics) -> None:
    drawn = table("Upfront")
    add_names(drawn, "")
    add_numbers(drawn, "$")
    for name, value in found.upfront.items():
        drawn.add_row(_UPFRONT[name], _money(value))
    drawn.add_row(Text("together", "bold"), f"{_money(found.upfront_total.estimate)}")
    drawn.add_row("95% interval", _between(found.upfront_total))
    out.print(drawn)
    out.print()
    drawn = table("1,000 requests, in running")
    add_names(drawn, "")
    add_numbers(drawn, "$", "95% interval")
    for name, value in found.cascade_parts.items():
        drawn.add_row(_RUNNING[name], _money(value), "")
    for name, text in (("cascade", "student and teacher together"), ("teacher", "the teacher alone")):
        one = found.per_1000[name]
        drawn.add_row(Text(text, "bold"), _money(one.estimate), _between(one))
    out.print(drawn)
    out.print()
    metered = found.quantities.student_joules.origin is Origin.MEASURED
    drawn = table("Energy" if metered else "Energy, estimated from watts and seconds")
    add_names(drawn, "")
    add_numbers(drawn, "Wh", "gCO2e", "95% interval")
    for name, text in (("cascade", "1,000 requests, student and teacher"), ("teacher", "the teacher alone")):
        spent, grams = found.energy[f"{name}_wh"], found.energy[f"{name}_grams"]
        drawn.add_row(text, f"{spent.estimate:,.3g}", f"{grams.estimate:,.3g}", _ends(grams.low, grams.high))
    training = found.energy["training_kwh"].estimate * 1_000.0
    drawn.add_row("one training", f"{training:,.3g}", "", "")
    out.print(drawn)
    out.print()


def _print_tornado(out: Console, found: Economics) -> None:
    """First-year saving with one quantity at an end of its range: low as ░, high as █, from the likely."""
    shown = found.swings[:_SHOWN]
    if not shown:
        return
    out.print(Text("What first-year saving hangs on most: ░ at its low end, █ at its high end", "bold"))
    base = found.first_year.estimate
    ends = [end for swing in shown for end in (swing.at_low, swing.at_high)] + [base]
    least, width = min(ends), max(max(ends) - min(ends), 1e-9)

    def place(value: float) -> int:
        return round((length - 1) * (value - least) / width)

    quantities = dict(found.quantities.items())
    longest = max(len(quantities[swing.name].text) for swing in shown)
    length = max(_BAR, _LINE - longest - len("  $1,234.5  $1,234.5"))
    for swing in shown:
        cells = [" "] * length
        for value, mark in ((swing.at_low, "░"), (swing.at_high, "█")):
            first, last = sorted((place(base), place(value)))
            cells[first : last + 1] = mark * (last + 1 - first)
        cells[place(base)] = "│"
        ends_text = f"{_short(swing.at_low):>8} {_short(swing.at_high):>8}"
        out.print(
            Text(f"{quantities[swing.name].text:<{longest}} {''.join(cells)} {ends_text}"), soft_wrap=True
        )
    out.print()


def _print_quantities(out: Console, found: Economics) -> None:
    drawn = table("What it rests on")
    add_names(drawn, "")
    add_numbers(drawn, "likely", "low to high", "")
    add_names(drawn, "known as")
    for _, one in found.quantities.items():
        ends = "" if one.certain else _ends(one.low, one.high)
        drawn.add_row(
            one.text,
            f"{one.likely:,.3g}" if one.likely < 1_000 else f"{one.likely:,.0f}",
            ends,
            one.unit,
            str(one.origin),
        )
    out.print(drawn)
    out.print()
    for _, one in found.quantities.items():
        if one.origin in (Origin.MEASURED, Origin.RECKONED):
            out.print(Text(f"{one.text}: {one.source}"), soft_wrap=True)
    out.print("Assumed: the section economics of tutelage.yaml (docs/stages/economics.md)")


def _money(value: float) -> str:
    """Dollars in as many digits as tell: -$1,234, $12.34, $0.0123."""
    size = abs(value)
    digits = 0 if size >= 100 or size == 0.0 else 2 if size >= 0.1 else 4
    return f"{'-' if value < 0 else ''}${size:,.{digits}f}"


def _short(value: float) -> str:
    return f"{'-' if value < 0 else ''}${short_count(round(abs(value)))}"


def _between(one: Estimated) -> str:
    return f"{_money(one.low)} to {_money(one.high)}"


def _months(value: float) -> str:
    return "never" if value == _NEVER else f"{value:,.1f}"


def _count(value: float) -> str:
    return "never" if value == _NEVER else short_count(round(value))


def _between_months(one: Estimated) -> str:
    return "never" if one.low == _NEVER else f"{_months(one.low)} to {_months(one.high)}"


def _between_counts(one: Estimated) -> str:
    return "never" if one.low == _NEVER else f"{_count(one.low)} to {_count(one.high)}"


def _ends(low: float, high: float) -> str:
    return f"{low:,.3g} to {high:,.3g}"
