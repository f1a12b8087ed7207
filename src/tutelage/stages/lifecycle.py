"""All stages in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.gates import Verdict
from tutelage.programme import Programme, Stage
from tutelage.progress import Progress
from tutelage.stages.check import CHECK
from tutelage.stages.collect import COLLECT
from tutelage.stages.evaluate import EVALUATE
from tutelage.stages.gold import GOLD
from tutelage.stages.label import LABEL
from tutelage.stages.report import REPORT
from tutelage.stages.train import TRAIN

STAGES: tuple[Stage, ...] = (CHECK, GOLD, COLLECT, LABEL, TRAIN, EVALUATE, REPORT)

_EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 3, Verdict.UNDECIDED: 4}


@dataclass(frozen=True)
class Outcome:
    """What `tutelage run` ends with: metrics.json, decision.json and the report's path."""

    metrics: dict[str, Any]
    decision: dict[str, Any]
    report: Path

    @property
    def exit_code(self) -> int:
        """0 pass, 3 fail, 4 not enough evidence."""
        return _EXIT_CODES[Verdict(self.decision["verdict"])]


def run_stage(programme: Programme, name: str, progress: Progress, *, force: bool = False) -> bool:
    """Run one stage unless nothing has changed; return whether it ran."""
    stage = next(stage for stage in STAGES if stage.name == name)
    return stage.run(programme, progress, force)


def run_all(programme: Programme, progress: Progress, *, force: bool = False) -> Outcome:
    """Run every stage that has to, up to the release decision."""
    for stage in STAGES:
        stage.run(programme, progress, force)
    return Outcome(
        storage.read_json(programme.evaluation / "metrics.json"),
        storage.read_json(programme.evaluation / "decision.json"),
        programme.evaluation / "report.html",
    )
