"""Where a programme stands and what it has spent, read from its folder without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tutelage import storage
from tutelage.labelling import AnswerLedger, ProviderBatch, SpendLine
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
    """The whole: stages, spend, runs with their verdicts, the journal's length and head.

    `spend` has a row a teacher, `spend_by_day` one a teacher and day (UTC), `spend_by_slice` one a teacher
    and slice: that of the prompt when it was answered, empty for answers recorded before slices were kept,
    None for calls and batches that brought no answer. `batches` has those that are at the provider still,
    with the number of their prompts. Money in US dollars.
    """

    programme: str
    stages: Sequence[StageStatus]
    spend: Sequence[Mapping[str, Any]]
    spend_by_day: Sequence[Mapping[str, Any]]
    spend_by_slice: Sequence[Mapping[str, Any]]
    batches: Sequence[Mapping[str, Any]]
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
        if not stage.wanted(programme) and not path.exists():
            continue
        summary = storage.read_json(path)["summary"] if path.exists() else ""
        stages.append(StageStatus(stage.name, stage.reason_to_run(programme), summary))
    head = programme.journal.head()
    return Status(
        programme=str(programme.folder.resolve()),
        stages=stages,
        **_spending(programme),
        runs=_runs(programme),
        entries=head.sequence if head else 0,
        head=head.hash if head else "",
    )


def _spending(programme: Programme) -> dict[str, list[dict[str, Any]]]:
    """What the answer ledger tells of money, by the names that `Status` gives it."""
    if not programme.answers.exists():
        return {"spend": [], "spend_by_day": [], "spend_by_slice": [], "batches": []}
    with AnswerLedger(programme.answers) as ledger:
        return {
            "spend": [_with_rates(asdict(row), row.spent) for row in ledger.summary()],
            "spend_by_day": [_spend_line(line) for line in ledger.spend_by("teacher", "day")],
            "spend_by_slice": [_spend_line(line) for line in ledger.spend_by("teacher", "slice")],
            "batches": [_batch(batch) for batch in ledger.open_batches()],
        }


def _spend_line(line: SpendLine) -> dict[str, Any]:
    row = asdict(line)
    return _with_rates({**row.pop("by"), **row}, line.spent)


def _batch(batch: ProviderBatch) -> dict[str, Any]:
    row = asdict(batch)
    prompts = len(row.pop("prompt_hashes"))
    return {**row, "prompts": prompts}


def _with_rates(row: dict[str, Any], spent: float) -> dict[str, Any]:
    """The row with what was spent in all, and for 1,000 answers; None where there is no answer."""
    per_thousand = 1_000 * spent / row["answers"] if row["answers"] else None
    return {**row, "spent": spent, "per_thousand_answers": per_thousand}


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
