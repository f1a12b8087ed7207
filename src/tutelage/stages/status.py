"""Where a programme stands and what it has spent, read from its folder without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tutelage import storage
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.stages.lifecycle import STAGES


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage: why it would run (None: it wouldn't), and what it did last."""

    name: str
    reason: str | None
    summary: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole: stages, spend by teacher, runs with their verdicts, the journal's length and head."""

    programme: str
    stages: Sequence[StageStatus]
    spend: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    entries: int
    head: str

    def to_json(self) -> dict[str, Any]:
        """For `tutelage status --json`."""
        return asdict(self)


def read_status(programme: Programme) -> Status:
    """Read it. Raises IntegrityError where a file of the programme is damaged."""
    stages = []
    for stage in STAGES:
        path = stage.state_path(programme)
        summary = storage.read_json(path)["summary"] if path.exists() else ""
        stages.append(StageStatus(stage.name, stage.reason_to_run(programme), summary))
    spend: Sequence[Mapping[str, Any]] = ()
    if programme.answers.exists():
        with AnswerLedger(programme.answers) as ledger:
            spend = [{**asdict(row), "spent": row.spent} for row in ledger.summary()]
    head = programme.journal.head()
    return Status(
        programme=str(programme.folder.resolve()),
        stages=stages,
        spend=spend,
        runs=_runs(programme),
        entries=head.sequence if head else 0,
        head=head.hash if head else "",
    )


def _runs(programme: Programme) -> list[dict[str, Any]]:
    runs = []
    sealed = storage.read_json(programme.seal)["hash"] if programme.seal.exists() else None
    for path in sorted((programme.folder / "evaluation").glob("*/decision.json")):
        metrics = storage.read_json(path.with_name("metrics.json"))
        accuracy = metrics["arms"]["student"]["accuracy"]["estimate"]
        decision = storage.read_json(path)
        runs.append(
            {
                "run": path.parent.name,
                "verdict": decision["verdict"],
                "accuracy": f"{accuracy:.1%}",
                "on_sealed_gold": decision.get("gold") == sealed,
            }
        )
    return runs
