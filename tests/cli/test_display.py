"""What the terminal shows is what there is: names that look like markup are names."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tutelage.cli import display
from tutelage.cli._drawing import short_count
from tutelage.cli.display import RichProgress, print_findings, print_outcome, print_status
from tutelage.cli.machine import Finding, examine
from tutelage.cli.pilot import print_pilot
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.stages import Outcome, Pilot, StageStatus, Status, VersionFigures, read_status

ODD = [
    "[red]",
    "[/red]",
    "[/]",
    "[bold]x[/bold]",
    "[link=http://x]y",
    "\\[x]",
    "[[x]]",
    ":smile:",
    "日本語",
    "[1, 2]",
]

CONFIG = """\
gold:
  path: gold.csv
  columns: {slice: slice}
  training: {share: 0.3}
traffic: {path: traffic.csv}
teacher: {type: encoder}
"""


def _line(**parts) -> dict[str, Any]:
    standard = {
        "teacher": "gpt", "answers": 500, "cost": 1.25, "unaccounted": 0.0, "input_tokens": 110_000,
        "output_tokens": 4_000, "calls": 500, "spent": 1.25, "per_thousand_answers": 2.5,
    }  # fmt: skip
    return standard | parts


def _spend(teacher: str, unaccounted: float = 0.0, **parts) -> dict[str, Any]:
    standard = {"by_status": {"ok": 490, "refused": 10}, "repeatability": 0.925, "models": {"gpt-dated": 500}}
    return _line(teacher=teacher, unaccounted=unaccounted, **(standard | parts))


def _run(name: str, verdict: str = "pass", on_sealed_gold: bool = True) -> dict[str, Any]:
    return {"run": name, "verdict": verdict, "accuracy": "91.0%", "on_sealed_gold": on_sealed_gold}


def _status(**parts) -> Status:
    standard = {
        "programme": "/programmes/support",
        "stages": [
            StageStatus("gold", None, "120 sealed"),
            StageStatus("label", "teacher changed", "500 asked"),
        ],
        "spend": [_spend("gpt")],
        "spend_by_day": [_line(day="2026-11-24"), _line(day="2026-11-25")],
        "spend_by_slice": [_line(slice="critical")],
        "batches": [],
        "runs": [_run("static")],
        "entries": 12,
        "head": "ab" * 32,
    }
    return Status(**(standard | parts))


@pytest.fixture
def wide(monkeypatch) -> None:
    """A terminal wide enough that nothing is broken over lines."""
    monkeypatch.setenv("COLUMNS", "400")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("columns", ["1", "20", "80", "1000"])
@pytest.mark.parametrize("colour", [None, "FORCE_COLOR", "TTY_COMPATIBLE"])
def test_status_for_machines_is_json_at_any_width_and_with_any_colour(monkeypatch, capsys, columns, colour):
    monkeypatch.setenv("COLUMNS", columns)
    if colour is not None:
        monkeypatch.setenv(colour, "1")  # as in many CI systems
        monkeypatch.setenv("TERM", "xterm-256color")
    status = _status(
        programme="/a very/long path/" + "x" * 300,
        stages=[StageStatus("gold", name, f"{name} " * 40) for name in ODD],
    )
    print_status(status, as_json=True)
    assert json.loads(capsys.readouterr().out) == status.to_json()


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=30))
def test_status_for_machines_holds_any_text(text):
    output, standard = io.StringIO(), sys.stdout
    sys.stdout = output
    try:
        print_status(_status(programme=text, head=text), as_json=True)
    finally:
        sys.stdout = standard
    content = json.loads(output.getvalue())
    assert (content["programme"], content["head"]) == (text, text)


def test_status_of_a_programme_is_the_same_for_machines_from_the_command_line(tmp_path):
    (tmp_path / "tutelage.yaml").write_text(CONFIG)
    result = subprocess.run(
        [sys.executable, "-m", "tutelage", "status", str(tmp_path), "--json"],
        env=os.environ | {"COLUMNS": "20", "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    status = read_status(Programme.open(tmp_path))
    assert json.loads(result.stdout) == json.loads(json.dumps(status.to_json()))


def test_status_for_people_says_all_of_it(wide, capsys):
    print_status(_status(), as_json=False)
    shown = capsys.readouterr().out
    for part in (
        "/programmes/support", "up to date", "to run: teacher changed", "500 asked",
        "gpt-dated (500)", "92.5% of pairs", "110k", "4,000", "$1.2500", "$2.5000", "2026-11-25", "critical", "run static: pass, accuracy 91.0%",
        f"journal: 12 entries, head {'ab' * 32}",
    ):  # fmt: skip
        assert part in shown


def test_status_says_what_has_no_account_and_what_was_measured_on_other_gold(wide, capsys):
    print_status(
        _status(spend=[_spend("gpt", 0.5)], runs=[_run("static", on_sealed_gold=False)]), as_json=False
    )
    shown = capsys.readouterr().out
    assert "$1.2500" in shown and "$0.5000 of it for calls of which no account came" in shown
    assert "accuracy 91.0%, on gold that was sealed before" in shown


def test_status_tells_days_and_slices_in_order_and_money_that_brought_no_answer(wide, capsys):
    nothing = _line(answers=0, per_thousand_answers=None, spent=0.5)
    days = [_line(day=f"2026-11-{day:02}", teacher=teacher) for teacher in ("a", "b") for day in range(1, 21)]
    slices = [
        nothing | {"slice": None},
        _line(slice=""),
        _line(slice="hard"),
        _line(slice="critical", teacher="z"),
    ]
    print_status(_status(spend_by_day=days, spend_by_slice=slices), as_json=False)
    shown = capsys.readouterr().out
    found = [word for word in re.findall(r"critical|hard|without an answer|before slices were kept", shown)]
    assert found == ["before slices were kept", "critical", "hard", "without an answer"]
    assert re.findall(r"2026-11-(\d\d)", shown) == [f"{day:02}" for day in range(7, 21) for _ in "ab"]
    assert "12 earlier lines are in `tutelage status --json`" in shown
    assert re.search(r"without an answer .* 0 .* \$0\.5000 .* -", shown)


def test_status_tells_batches_that_are_at_the_provider(wide, capsys):
    batch = {"tag": "t-1", "remote": None, "prompts": 5_000, "bound": 12.5, "created": "2026-11-25T10:00:00"}
    print_status(_status(batches=[batch, batch | {"remote": "batch_abc"}]), as_json=False)
    shown = capsys.readouterr().out
    assert "batch t-1, whose submission isn't confirmed: 5,000 prompts, at most $12.5000, since 2026" in shown
    assert "batch batch_abc: 5,000 prompts" in shown


def test_days_and_slices_of_a_teacher_that_costs_nothing_are_left_to_json(wide, capsys):
    print_status(
        _status(
            spend=[_spend("encoder", spent=0.0, repeatability=None, models={}, per_thousand_answers=0.0)]
        ),
        as_json=False,
    )
    shown = capsys.readouterr().out
    assert "encoder" in shown and "Spent by" not in shown


def test_status_of_nothing_yet(wide, capsys):
    print_status(
        _status(
            stages=[], spend=[], spend_by_day=[], spend_by_slice=[], batches=[], runs=[], entries=0, head=""
        ),
        as_json=False,
    )
    assert "journal: 0 entries, head none" in capsys.readouterr().out


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("part", ["programme", "reason", "summary", "teacher", "model", "slice", "run"])
def test_status_shows_names_as_they_are(wide, capsys, part, name):
    changes = {
        "programme": {"programme": f"/a/{name}"},
        "reason": {"stages": [StageStatus("gold", f"{name} changed", "")]},
        "summary": {"stages": [StageStatus("gold", None, f"did {name}")]},
        "teacher": {"spend": [_spend(name)]},
        "model": {"spend": [_spend("gpt", models={name: 3})]},
        "slice": {"spend_by_slice": [_line(slice=name)]},
        "run": {"runs": [_run(name)]},
    }
    print_status(_status(**changes[part]), as_json=False)
    assert name in capsys.readouterr().out


def _arm(title: str, accuracy: float) -> dict[str, Any]:
    return {
        "title": title,
        "accuracy": {"estimate": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02},
        "macro_f1": {"estimate": accuracy},
        "agreement_with_teacher": None,
        "ece": 0.0312,
        "footprint": {
            "latency_p50_ms": 0.021,
            "latency_p95_ms": 0.05,
            "throughput": 51_234.0,
            "size_mb": 3.25,
            "parameters": 1_234_567,
        },
    }


def _outcome(reason="fine", title="static", verdict="pass", report="report.html") -> Outcome:
    arms = {
        "teacher": _arm("teacher (gpt)", 0.9) | {"footprint": None, "ece": None},
        "student": _arm(title, 0.88),
    }
    evidence = [
        {"verdict": word, "reason": f"{word}: {reason}"} for word in ("pass", "fail", "not enough evidence")
    ]
    decision = {"verdict": verdict, "evidence": evidence}
    return Outcome({"n": 1200, "task": {"multi_label": False}, "arms": arms}, decision, Path(report))


@pytest.mark.parametrize("verdict", ["pass", "fail", "not enough evidence"])
def test_the_closing_table_holds_every_figure(wide, capsys, tmp_path, monkeypatch, verdict):
    monkeypatch.chdir(tmp_path)
    Path("report.html").touch()
    print_outcome(_outcome(verdict=verdict))
    shown = capsys.readouterr().out
    for part in (
        "On 1,200 sealed gold examples, 95% intervals", "90.0% (88.0–92.0)", "88.0% (86.0–90.0)", "0.031",
        "0.021 ms", "51,234", "3.2 MB", "1,234,567", f"Release: {verdict}", "Report: report.html",
    ):  # fmt: skip
        assert part in shown
    assert shown.count("fine") == 3
    [teacher_size] = re.findall(r"size .*", shown)
    assert "-" in teacher_size


@pytest.mark.parametrize("name", ODD)
def test_the_closing_table_shows_names_as_they_are(wide, capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    report = Path("a", name, "report.html")
    report.parent.mkdir(parents=True)
    report.touch()
    print_outcome(_outcome(f"slice {name} is worse", f"run {name}", report=str(report)))
    shown = capsys.readouterr().out
    assert shown.count(f"slice {name} is worse") == 3
    assert f"run {name}" in shown
    assert f"Report: {report}" in shown


def test_no_report_is_promised_before_there_is_one(wide, capsys, tmp_path):
    print_outcome(_outcome(report=str(tmp_path / "report.html")))
    assert "Report" not in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["1", "20"])
def test_a_narrow_terminal_cuts_no_reason_no_path_and_no_hash(monkeypatch, capsys, tmp_path, columns):
    monkeypatch.setenv("COLUMNS", columns)
    report = tmp_path / ("x" * 120)
    report.touch()
    print_outcome(_outcome("a long reason that goes on " * 5, report=str(report)))
    print_status(_status(), as_json=False)
    shown = capsys.readouterr().out
    assert "a long reason that goes on " * 4 in shown
    assert f"Report: {report}\n" in shown
    assert f"head {'ab' * 32}\n" in shown


@pytest.fixture
def eighty(monkeypatch) -> None:
    """The usual terminal, with colours, as wide as people have it."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def _whole(shown: str, *parts: str) -> None:
    for part in parts:
        assert part in shown, shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80, shown


def test_money_of_a_large_run_stands_whole_in_eighty_columns(eighty, capsys):
    large = {
        "teacher": "anthropic:claude-haiku-4-5", "answers": 1_234_567, "input_tokens": 412_345_678,
        "output_tokens": 12_345_678, "spent": 12_345.6789, "per_thousand_answers": 10.0001,
    }  # fmt: skip
    status = _status(
        spend=[_spend("anthropic:claude-haiku-4-5") | large | {"models": {}}],
        spend_by_day=[_line(day="2026-11-24") | large],
        spend_by_slice=[_line(slice="critical") | large, _line(slice=None) | large],
        head="ab",
    )
    print_status(status, as_json=False)
    _whole(
        capsys.readouterr().out,
        "1,234,567",
        "412M",
        "12.3M",
        "$12,345.6789",
        "$10.0001",
        "2026-11-24",
        "critical",
    )


def test_the_closing_table_stands_whole_in_eighty_columns(eighty, capsys, tmp_path):
    outcome = _outcome("", report=str(tmp_path / "none"))
    outcome.metrics["arms"]["control"] = _arm("encoder-3 on hard labels", 0.98)
    outcome.metrics["arms"]["teacher"]["title"] = "teacher (anthropic:claude-haiku-4-5)"
    outcome.metrics["arms"]["student"] = _arm("encoder-3", 0.87)
    outcome.decision["evidence"] = []
    print_outcome(outcome)
    shown = capsys.readouterr().out
    for interval in ("90.0% (88.0–92.0)", "98.0% (96.0–100.0)", "87.0% (85.0–89.0)"):
        _whole(shown, interval)
    assert shown.count("1,234,567") == 2 and "calibration (ECE)" in shown and "claude-" in shown


def test_a_pilot_stands_whole_in_eighty_columns(eighty, capsys):
    figures = VersionFigures(
        name="plain", asked=200, unusable=12, judged=150, agreeing=139, low=0.88, high=0.95, cost=0.12,
        input_tokens=236_800, output_tokens=24_000, latency=12.34, repeats=50, repeated=48,
    )  # fmt: skip
    pilot = Pilot(
        versions=(replace(figures, name="current"), figures), agreement={"current and plain": 0.9},
        proposal="plain", reason="why", estimate=None,
    )  # fmt: skip
    print_pilot(pilot)
    _whole(
        capsys.readouterr().out,
        "92.7% (88.0–95.0)",
        "of 150 prompts",
        "12 of 200",
        "1184/120",
        "12.34",
        "96% of 50",
    )


@pytest.mark.parametrize(
    ("count", "short"),
    [
        (0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (12_345, "12.3k"), (99_949, "99.9k"), (99_950, "100k"),
        (999_499, "999k"), (999_500, "1.0M"), (12_345_678, "12.3M"), (412_345_678, "412M"), (2_500_000_000, "2.5G"),
    ],
)  # fmt: skip
def test_large_counts_are_short(count, short):
    assert short_count(count) == short


def test_in_a_pipe_a_row_is_a_line(monkeypatch, capsys):
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    print_status(_status(stages=[StageStatus("label", None, "a long summary " * 7)]), as_json=False)
    shown = capsys.readouterr().out
    assert "a long summary " * 6 in shown and "\x1b" not in shown


def test_the_doctors_mends_can_be_copied(wide, capsys):
    # Rich takes [train] for a style and swallows it.
    findings = [
        Finding("torch", False, "not installed; for training", "pip install 'tutelage[train]'"),
        Finding("datasets", False, "not installed; for hf:// sources", "pip install 'tutelage[hub]'"),
        Finding("Python", True, "3.13", "install another", needed=True),
    ]
    print_findings(findings)
    shown = capsys.readouterr().out
    assert "pip install 'tutelage[train]'" in shown and "pip install 'tutelage[hub]'" in shown
    assert "install another" not in shown


def test_the_doctor_never_shows_a_key(wide, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    print_findings(examine())
    shown = capsys.readouterr().out
    assert "OPENAI_API_KEY" in shown and "ANTHROPIC_API_KEY" in shown and "very-secret" not in shown


def _progress(width: int = 400) -> tuple[RichProgress, io.StringIO]:
    output = io.StringIO()
    return RichProgress(Console(file=output, width=width, highlight=False)), output


@pytest.mark.parametrize("name", ODD)
def test_a_stage_tells_reasons_and_deeds_as_they_are(tmp_path, name):
    (tmp_path / "tutelage.yaml").write_text(CONFIG)
    programme = Programme.open(tmp_path)
    progress, output = _progress()
    source = tmp_path / "source"
    stage = Stage(
        "copy",
        inputs=lambda programme: {name: fingerprint(source)},
        outputs=lambda programme: [],
        work=lambda programme, progress: f"wrote {name}",
    )
    stage.run(programme, progress)
    source.write_text("new")
    stage.run(programme, progress)
    assert output.getvalue().count(f"wrote {name}") == 2
    assert f"runs: {name} changed" in output.getvalue()


@pytest.mark.parametrize("total", [None, 0, 3])
def test_a_bar_shows_names_as_they_are_and_is_cleared(total):
    output = io.StringIO()
    console = Console(file=output, width=200, highlight=False, force_terminal=True, color_system=None)
    with RichProgress(console).track("labelling [/red]", total, "prompts", done=0) as tracker:
        for _ in range(3):
            tracker.advance(1, "note [/] [red]")
    shown = output.getvalue()
    assert "labelling [/red]" in shown and "note [/] [red]" in shown
    assert "\x1b[2K" in shown  # the bar goes when its block ends


def test_a_bar_ends_with_its_block_also_where_that_fails():
    progress, _ = _progress()
    for _ in range(2):  # rich refuses a second live display while one is left open
        with pytest.raises(ValueError, match="inside"), progress.track("x", 1, "y"):
            raise ValueError("inside")


def _gold(folder: Path, rows: list[str]) -> subprocess.CompletedProcess[str]:
    (folder / "tutelage.yaml").write_text(CONFIG)
    (folder / "gold.csv").write_text("text,label,slice\n" + "\n".join(rows) + "\n")
    return subprocess.run(
        [sys.executable, "-m", "tutelage", "gold", str(folder)],
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_labels_and_slices_that_look_like_markup_go_through_a_stage(tmp_path):
    slices = ("[red]", "[/hard]", "[/]")
    rows = [
        f"message {number * 7919} about {label},{label},{slices[number % 3]}"
        for number in range(24)
        for label in ("[bold]", "[/b]")
    ]
    result = _gold(tmp_path, rows)
    assert result.returncode == 0, result.stderr
    for name in slices:
        assert f"slice {name}: " in result.stdout


def test_an_error_quotes_what_looks_like_markup(tmp_path):
    result = _gold(tmp_path, ["only one,[red],x", "of its kind,[red],x"])
    assert result.returncode == 2
    assert "['[red]']" in result.stderr and "Traceback" not in result.stderr


_INTERRUPTED = """
import os, signal, sys, time
import tutelage.stages

def stuck(*arguments, **options):
    os.kill(os.getpid(), number)
    time.sleep(30)

number = signal.Signals[sys.argv.pop(1)]
# A shell may have had it ignored, as it starts jobs in the background.
ignored = sys.argv[1] == "ignored" and sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
tutelage.stages.run_stage = tutelage.stages.read_status = stuck
sys.argv = ["tutelage", *sys.argv[1:]]
from tutelage.cli import main
main()
"""


@pytest.mark.parametrize("verb", ["status", "gold"])
@pytest.mark.parametrize("how", [["SIGINT"], ["SIGTERM"], ["SIGTERM", "ignored"]], ids=" ".join)
def test_ctrl_c_and_sigterm_end_with_130_and_say_that_the_work_is_kept(tmp_path, verb, how):
    # Typer turns the interrupt into exit status 130 itself, before main could say a word.
    (tmp_path / "tutelage.yaml").write_text(CONFIG)
    command = [sys.executable, "-c", _INTERRUPTED, *how, verb, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 130
    assert "Traceback" not in result.stderr
    assert "goes on from here" in result.stderr


def test_an_interrupted_command_lets_the_folder_go(tmp_path):
    (tmp_path / "tutelage.yaml").write_text(CONFIG)
    command = [sys.executable, "-c", _INTERRUPTED, "SIGINT", "gold", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 130
    with Programme.open(tmp_path).locked():
        pass


def test_every_verdict_has_a_colour_of_its_own():
    from tutelage.gates import Verdict

    assert set(display._VERDICT_STYLE) == {str(verdict) for verdict in Verdict}
    assert len(set(display._VERDICT_STYLE.values())) == len(Verdict)
