"""All stages in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.data import verify_seal
from tutelage.errors import UsageError
from tutelage.extras import require_extra
from tutelage.gates import Verdict
from tutelage.programme import Programme, Stage
from tutelage.progress import Progress, Silent
from tutelage.scale import is_first
from tutelage.stages.check import CHECK
from tutelage.stages.collect import COLLECT
from tutelage.stages.coverage import COVERAGE
from tutelage.stages.evaluate import EVALUATE
from tutelage.stages.gold import GOLD
from tutelage.stages.label import LABEL
from tutelage.stages.plan import PLAN
from tutelage.stages.report import REPORT
from tutelage.stages.stress import STRESS
from tutelage.stages.synthesise import SYNTHESISE
from tutelage.stages.train import TRAIN, take_part

STAGES: tuple[Stage, ...] = (
    *(CHECK, GOLD, COLLECT, COVERAGE, PLAN, SYNTHESISE),
    *(LABEL, TRAIN, STRESS, EVALUATE, REPORT),
)

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


def run_stage(
    programme: Programme, name: str, progress: Progress | None = None, *, force: bool = False
) -> bool:
    """Run one stage unless nothing has changed; return whether it ran.

    Where torchrun started several processes to share a training, the first writes what came of it.
    Raises UsageError where a stage before it has to run first, IntegrityError where sealed gold was touched,
    and what its work raises.
    """
    require_earlier(programme, name)
    if name == TRAIN.name and not is_first():
        return take_part(programme, force)
    return _stage(name).run(programme, progress or Silent(), force)


def require_earlier(programme: Programme, name: str, command: str = "", *, itself: bool = False) -> None:
    """Raise UsageError where a stage before `name` has to run first, IntegrityError for touched gold.

    `command` is what a person asked for, where that isn't the stage; with `itself` it builds on `name` too.
    Raises MissingExtraError where only a server is installed.
    """
    require_extra("programme", f"`tutelage {command or name}`")
    for earlier in STAGES[1 : STAGES.index(_stage(name)) + itself]:
        if earlier.needed_by is not None and name not in earlier.needed_by:
            continue
        if earlier.wanted(programme) and (reason := earlier.reason_to_run(programme)):
            if programme.seal.exists():
                verify_seal(programme.sealed, programme.seal)
            raise UsageError(
                f"{command or name} builds on {earlier.name}, which has to run first: {reason}. "
                f"Mend: run {programme.command(earlier.name)}, or {programme.command('run')} for all that is "
                "needed"
            )


def _stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def run_all(programme: Programme, progress: Progress | None = None, *, force: bool = False) -> Outcome:
    """Run every stage that is wanted and has to, up to the release decision.

    Raises IntegrityError where the journal's chain is broken, and what the stages' work raises.
    """
    require_extra("programme", "`tutelage run`")
    programme.journal.verify()
    for stage in STAGES:
        if stage.wanted(programme):
            stage.run(programme, progress or Silent(), force)
    return read_outcome(programme)


def read_outcome(programme: Programme) -> Outcome:
    """What the last evaluation of this programme's student found."""
    return Outcome(
        storage.read_json(programme.evaluation / "metrics.json"),
        storage.read_json(programme.evaluation / "decision.json"),
        programme.evaluation / "report.html",
    )
