"""How the terminal shows progress, outcomes and status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from tutelage import storage
from tutelage.cli._drawing import add_names, add_numbers, console, short_count, table

if TYPE_CHECKING:
    from tutelage.cli.machine import Finding
    from tutelage.stages import Outcome, Status

_VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "not enough evidence": "bold yellow"}
_INDENT = " " * 10
_DAYS_SHOWN = 14
_MONEY_COLUMNS = ("tokens in", "out", "cost", "for 1,000")
_WIDEST_INTERVAL = len("100.0% (98.9–100.0)")
_ROOM_FOR_TITLES = 120  # columns of a terminal from which three arms' titles stand in a line each
_ABSENT = "-"


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        return Text(f"{speed:,.{0 if speed >= 10 else 1}f} {task.fields['unit']}/s", style="cyan")


class _Tracker:
    def __init__(self, bar: Progress, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=count, note=note)


class RichProgress:
    """A `tutelage.progress.Progress` on the terminal: bars with rate, time left and a note."""

    def __init__(self, on: Console | None = None) -> None:
        self._console = on or console()

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        """See `Progress.stage`."""
        line = Text.assemble((f"{name:<9}", "dim" if quiet else "bold"), " ", (text, "dim" if quiet else ""))
        self._console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._console.print(Text(_INDENT + text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """See `Progress.warn`."""
        self._console.print(Text(_INDENT + text, "yellow"), soft_wrap=True)

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[_Tracker]:
        """A bar that stays until the block ends."""
        columns = (
            TextColumn(_INDENT + "{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        shown = self._console.is_terminal  # elsewhere a bar that is wiped leaves blank lines
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as bar:
            yield _Tracker(bar, bar.add_task(description, total=total, completed=done, unit=unit, note=""))


def print_outcome(outcome: Outcome) -> None:
    """The closing table of `tutelage run`, the decision and where the report lies."""
    out = console()
    out.print()
    out.print(_arms_table(outcome.metrics, _WIDEST_INTERVAL if out.width < _ROOM_FOR_TITLES else out.width))
    out.print()
    decision = outcome.decision
    out.print(Text.assemble("Release: ", _verdict(decision["verdict"], decision["verdict"])))
    for item in decision["evidence"]:
        line = Text.assemble("  ", _verdict(f"{item['verdict']:<20}", item["verdict"]), f" {item['reason']}")
        out.print(line, soft_wrap=True)
    if outcome.report.exists():
        way = "; `tutelage encryption read` makes it readable" if storage.is_encrypted(outcome.report) else ""
        out.print(Text(f"Report: {outcome.report}{way}"), soft_wrap=True)


def _verdict(text: str, verdict: str) -> tuple[str, str]:
    return text, _VERDICT_STYLE.get(verdict, "dim")


def _arms_table(metrics: dict[str, Any], widest_title: int) -> Table:
    drawn = table(f"On {metrics['n']:,} sealed gold examples, 95% intervals")
    arms = [metrics["arms"][name] for name in ("teacher", "control", "student") if name in metrics["arms"]]
    add_names(drawn, "")
    add_numbers(drawn, *(Text("\n".join(wrap(arm["title"], widest_title))) for arm in arms))
    exact = " (of all labels at once)" if metrics["task"]["multi_label"] else ""
    for name, show in _ARM_ROWS.items():
        cells = [show(arm) for arm in arms]
        if set(cells) != {_ABSENT}:  # as of open values all that needs labels
            drawn.add_row(name + exact if name == "accuracy" else name, *cells)
        if name == "agrees with teacher":
            for own in arms[0].get("measures") or ():
                drawn.add_row(own.replace("_", " "), *(_plain_interval(arm["measures"][own]) for arm in arms))
    return drawn


def _footprint(key: str, form: str) -> Callable[[dict[str, Any]], str]:
    return lambda arm: _number((arm["footprint"] or {}).get(key), form)


def _share(value: dict[str, float | None] | None) -> str:
    estimate = None if value is None else value["estimate"]
    return _ABSENT if estimate is None else f"{estimate:.1%}"


def _interval(value: dict[str, float]) -> str:
    return f"{value['estimate']:.1%} ({100 * value['low']:.1f}–{100 * value['high']:.1f})"


def _plain_interval(value: dict[str, float | None]) -> str:
    if value["estimate"] is None:
        return _ABSENT
    if value["low"] is None or value["high"] is None:
        return f"{value['estimate']:.3f}"
    return f"{value['estimate']:.3f} ({value['low']:.2f}–{value['high']:.2f})"


def _number(value: float | None, form: str) -> str:
    return _ABSENT if value is None else form.format(value)


def print_status(status: Status, *, as_json: bool) -> None:
    """Stages, spend, runs and the journal's head."""
    out = console()
    if as_json:
        out.out(json.dumps(status.to_json(), indent=2))
        return
    out.print(Text(status.programme, "bold"), soft_wrap=True)
    out.print()
    drawn = table()
    add_names(drawn, "stage", "state", "last did")
    for stage in status.stages:
        current = stage.reason is None
        state = Text("up to date", "green") if current else Text(f"to run: {stage.reason}", "yellow")
        drawn.add_row(stage.name, state, Text(stage.summary))
    out.print(drawn)
    out.print()
    _print_spending(out, status)
    for run in status.runs:
        gold = "" if run["on_sealed_gold"] else ", on gold that was sealed before"
        verdict = _verdict(run["verdict"], run["verdict"])
        line = Text.assemble(f"run {run['run']}: ", verdict, f", accuracy {run['accuracy']}{gold}")
        out.print(line, soft_wrap=True)
    out.print(f"journal: {status.entries} entries, head {status.head or 'none'}", soft_wrap=True)


def _print_spending(out: Console, status: Status) -> None:
    """What the teachers cost; by day and slice where it was anything at all."""
    if not status.spend:
        return
    out.print(_teachers_table(status.spend))
    for text in (line for row in status.spend for line in _about_teacher(row)):
        out.print(Text(text), soft_wrap=True)
    for row in status.batches:
        name = row["remote"] or f"{row['tag']}, whose submission isn't confirmed"
        text = (
            f"batch {name}: {row['prompts']:,} prompts, at most ${row['bound']:,.4f}, since {row['created']}"
        )
        out.print(Text(text), soft_wrap=True)
    out.print()
    if not any(row["spent"] for row in status.spend):
        return
    days = sorted({row["day"] for row in status.spend_by_day})[-_DAYS_SHOWN:]
    recent = [row for row in status.spend_by_day if row["day"] in days]
    out.print(_spend_table("day", recent, "UTC"))
    if left_out := len(status.spend_by_day) - len(recent):
        out.print(f"{left_out:,} earlier lines are in `tutelage status --json`", soft_wrap=True)
    out.print()
    out.print(_spend_table("slice", status.spend_by_slice, "as the prompts were when answered"))
    out.print()


def _about_teacher(row: Mapping[str, Any]) -> Iterator[str]:
    """What has no room in the table, a line each."""
    name = row["teacher"]
    if row["models"]:
        models = ", ".join(f"{model} ({count:,})" for model, count in row["models"].items())
        yield f"{name}: answered by {models}"
    if row["repeatability"] is not None:
        yield f"{name}: {row['repeatability']:.1%} of pairs of samples agree"
    if row["unaccounted"]:
        most = f"${row['unaccounted']:,.4f}"
        yield f"{name}: {most} of it for calls of which no account came, at their upper bound"


def _teachers_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    drawn = table("Teachers")
    add_names(drawn, "teacher")
    add_numbers(drawn, "answers", "quarantined", *_MONEY_COLUMNS)
    for row in rows:
        quarantined = row["answers"] - row["by_status"].get("ok", 0)
        drawn.add_row(Text(row["teacher"]), f"{row['answers']:,}", f"{quarantined:,}", *_money(row))
    return drawn


def _spend_table(group: str, rows: Sequence[Mapping[str, Any]], beside: str) -> Table:
    drawn = table(f"Spent by {group} ({beside})")
    add_names(drawn, group, "teacher")
    add_numbers(drawn, "answers", *_MONEY_COLUMNS)
    for row in sorted(rows, key=lambda row: (row[group] is None, row[group] or "")):
        name = row[group] or ("without an answer" if row[group] is None else "before slices were kept")
        drawn.add_row(Text(name), Text(row["teacher"]), f"{row['answers']:,}", *_money(row))
    return drawn


def _money(row: Mapping[str, Any]) -> Iterator[str]:
    """The cells of `_MONEY_COLUMNS`."""
    yield short_count(row["input_tokens"])
    yield short_count(row["output_tokens"])
    yield f"${row['spent']:,.4f}"
    yield _number(row["per_thousand_answers"], "${:,.4f}")


def print_findings(findings: Sequence[Finding]) -> None:
    """The doctor's table; what is missing with its mend below it."""
    drawn = table()
    add_names(drawn, "", "found", "")
    for finding in findings:
        mark = "[green]yes[/]" if finding.found else "[red]no[/]" if finding.needed else "[yellow]no[/]"
        drawn.add_row(Text(finding.name), mark, Text(finding.detail))
    out = console()
    out.print(drawn)
    for finding in findings:
        if not finding.found and finding.mend:
            out.print(Text(f"{finding.name}: {finding.mend}"), soft_wrap=True)


_ARM_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "accuracy": lambda arm: _interval(arm["accuracy"]),
    "macro-F1": lambda arm: _share(arm["macro_f1"]),
    "agrees with teacher": lambda arm: _share(arm["agreement_with_teacher"]),
    "calibration (ECE)": lambda arm: _number(arm["ece"], "{:.3f}"),
    "p50, batch 1": _footprint("latency_p50_ms", "{:,.3f} ms"),
    "p95": _footprint("latency_p95_ms", "{:,.3f} ms"),
    "texts/s, one thread": _footprint("throughput", "{:,.0f}"),
    "size": _footprint("size_mb", "{:,.1f} MB"),
    "parameters": _footprint("parameters", "{:,.0f}"),
}
