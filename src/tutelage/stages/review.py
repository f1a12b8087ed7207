"""`review`: the answers most worth a person's look, in a file; what is filled in there corrects them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import ColumnsConfig, SourceConfig
from tutelage.errors import UsageError
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Answer, AnswerStatus, Prompt, Value, load_value
from tutelage.review import most_doubtful, read_corrections, read_sheet, write_review
from tutelage.review.verdicts import HASH, is_empty
from tutelage.stages.findings import tell_rejected
from tutelage.stages.sources import source_fingerprint, source_path
from tutelage.stages.task import resolved_task
from tutelage.tasks import Task


def review_file(programme: Programme) -> Path:
    """Where answers are looked at."""
    return programme.folder / "answers" / "review.csv"


def make_review(programme: Programme, most: int, progress: Progress) -> Path:
    """Write the `most` most doubtful answers of the transfer set to `review_file`; sealed gold's never.

    Rows that a person has filled in stay, answers that were corrected aren't shown again.

    Raises UsageError where there is no transfer set yet, DataError where the file there can't be read.
    """
    if not programme.transfer.exists():
        raise UsageError(f"{programme.transfer} doesn't exist. Mend: run {programme.command('label')} first")
    reasons: Mapping[str, str] = {}
    if programme.quarantined.exists():
        told = storage.read_table(programme.quarantined)
        reasons = dict(zip(told["hash"].to_pylist(), told["reason"].to_pylist(), strict=True))
    rows = storage.read_table(programme.transfer).to_pylist()
    pairs = [_pair(row, reasons) for row in rows if row["teacher_value"] is None]
    doubts = most_doubtful(pairs, multi_label=resolved_task(programme).multi_label, most=most)
    path = review_file(programme)
    new = write_review(path, doubts)
    progress.note(f"{new:,} of {len(pairs):,} answers to look at in {path}")
    return path


def _pair(row: Mapping[str, Any], reasons: Mapping[str, str]) -> tuple[Prompt, Answer]:
    import numpy as np

    distribution = row["distribution"]
    answer = Answer(
        AnswerStatus(row["status"]),
        None if row["value"] is None else load_value(row["value"]),
        None if distribution is None else np.asarray(distribution, dtype=np.float32),
        reason=reasons.get(row["hash"], ""),
        repeatability=row["repeatability"],
    )
    return Prompt(row["id"], row["text"], row["source"], row["slice"]), answer


def programme_corrections(
    programme: Programme, task: Task, transfer: Collection[Prompt], progress: Progress
) -> dict[str, Value]:
    """What people said of answers of the transfer set, by prompt hash; of sealed gold nothing is taken.

    From `labelling.corrections`, and from the review file, which wins where both speak of a prompt.
    """
    own = review_file(programme)
    sources: list[tuple[SourceConfig, Path | str]] = []
    if (given := programme.config.labelling.corrections) is not None:
        sources.append((given, source_path(programme, given.path)))
    if _filled_in(own):
        columns = ColumnsConfig(separator=programme.config.gold.columns.separator)
        sources.append((SourceConfig(path=str(own), columns=columns), own))
    corrections: dict[str, Value] = {}
    for source, path in sources:
        found, rejected = read_corrections(source, path, task, transfer)
        tell_rejected(rejected, progress, f" in {path}")
        corrections |= found
    if sources:
        progress.note(f"{len(corrections):,} verdicts of people on answers")
    return corrections


def corrections_fingerprint(programme: Programme) -> str:
    """Changes with what people have said, and not where only more is put before them."""
    given = programme.config.labelling.corrections
    named = "none" if given is None else source_fingerprint(programme, given.path)
    filled = _filled_in(review_file(programme))
    return fingerprint([named, filled]) if filled else named


def _filled_in(path: Path) -> list[list[str]]:
    return [
        [str(row.get(HASH) or row.get("id")), str(row["label"])]
        for row in read_sheet(path)
        if not is_empty(row.get("label"))
    ]
