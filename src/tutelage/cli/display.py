"""How the terminal shows progress, outcomes and status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

if TYPE_CHECKING:
    from tutelage.cli.machine import Finding
    from tutelage.stages import Outcome, Status

_VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "not enough evidence": "bold yellow"}


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {task.fields['unit']}/s", style="cyan")


class _Tracker:
    def __init__(self, bar: Progress, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=count, note=note)


class RichProgress:
    """A `tutelage.progress.Progress` on the terminal: bars with rate, time left and a note."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def say(self, text: str) -> None:
        """Print one line; rich markup is understood."""
        self._console.print(text, soft_wrap=True)

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[_Tracker]:
        """A bar that stays until the block ends."""
        columns = (
            TextColumn("          {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            yield _Tracker(bar, bar.add_task(description, total=total, completed=done, unit=unit, note=""))


def print_outcome(outcome: Outcome) -> None:
    """The closing table of `tutelage run`, the decision and where the report lies."""
    console = Console(highlight=False)
    console.print()
    console.print(_arms_table(outcome.metrics))
    decision = outcome.decision
    console.print(f"Release: [{_VERDICT_STYLE[decision['verdict']]}]{decision['verdict']}[/]")
    for item in decision["evidence"]:
        console.print(
            f"  [{_VERDICT_STYLE[item['verdict']]}]{item['verdict']:<20}[/] {item['reason']}", soft_wrap=True
        )
    console.print(f"Report: {outcome.report}", soft_wrap=True)


def _arms_table(metrics: dict[str, Any]) -> Table:
    table = Table(title=f"On {metrics['n']:,} sealed gold examples, 95% intervals", title_justify="left")
    arms = [metrics["arms"][name] for name in ("teacher", "control", "student") if name in metrics["arms"]]
    table.add_column("")
    for arm in arms:
        table.add_column(arm["title"], justify="right")
    for name, show in _ARM_ROWS.items():
        table.add_row(name, *(show(arm) for arm in arms))
    return table


def _footprint(key: str, form: str) -> Callable[[dict[str, Any]], str]:
    return lambda arm: _number((arm["footprint"] or {}).get(key), form)


def _share(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['estimate']:.1%}"


def _interval(value: dict[str, float]) -> str:
    return f"{value['estimate']:.1%} ({value['low']:.1%}–{value['high']:.1%})"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def print_status(status: Status, *, as_json: bool) -> None:
    """Stages, spend, runs and the journal's head."""
    console = Console(highlight=False)
    if as_json:
        console.print_json(json.dumps(status.to_json()))
        return
    table = Table(title=f"{status.programme}", title_justify="left")
    for column in ("stage", "state", "last did"):
        table.add_column(column)
    for stage in status.stages:
        state = "[green]up to date[/]" if stage.reason is None else f"[yellow]to run: {stage.reason}[/]"
        table.add_row(stage.name, state, stage.summary)
    console.print(table)
    for row in status.spend:
        console.print(
            f"{row['teacher']}: {row['answers']:,} answers, ${row['cost']:.4f}, "
            f"{row['answers'] - row['by_status'].get('ok', 0):,} quarantined"
        )
    for run in status.runs:
        style = _VERDICT_STYLE.get(run["verdict"], "dim")
        console.print(f"run {run['run']}: [{style}]{run['verdict']}[/], accuracy {run['accuracy']}")
    console.print(f"journal: {status.entries} entries, head {status.head or 'none'}")


def print_findings(findings: Sequence[Finding]) -> None:
    """The doctor's table."""
    table = Table()
    for column in ("", "found", "", "mend"):
        table.add_column(column)
    for finding in findings:
        mark = "[green]yes[/]" if finding.found else "[red]no[/]" if finding.needed else "[yellow]no[/]"
        table.add_row(finding.name, mark, finding.detail, "" if finding.found else finding.mend)
    Console(highlight=False).print(table)


_ARM_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "accuracy": lambda arm: _interval(arm["accuracy"]),
    "macro-F1": lambda arm: _share(arm["macro_f1"]),
    "agrees with the teacher": lambda arm: _share(arm["agreement_with_teacher"]),
    "calibration error (ECE)": lambda arm: _number(arm["ece"], "{:.3f}"),
    "p50 at batch 1, one thread": _footprint("latency_p50_ms", "{:,.3f} ms"),
    "p95": _footprint("latency_p95_ms", "{:,.3f} ms"),
    "texts a second, one thread": _footprint("throughput", "{:,.0f}"),
    "size": _footprint("size_mb", "{:,.1f} MB"),
    "parameters": _footprint("parameters", "{:,.0f}"),
}
