"""Corrections: what people said of a teacher's answers. Theirs win; the teacher's is kept beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tutelage.config import SourceConfig
from tutelage.records import Prompt, Rejection, Value
from tutelage.review.verdicts import HumanVerdict, read_verdicts
from tutelage.tasks import Task

UNKNOWN_PROMPT = "unknown_prompt"
CONTRADICTION = "contradiction"


def read_corrections(
    source: SourceConfig, path: Path | str, task: Task, prompts: Collection[Prompt]
) -> tuple[dict[str, Value], list[Rejection]]:
    """Corrections of the answers to `prompts`, by prompt hash, and the rows that were not taken.

    `path` is where `source` lies. Rows name the prompt by its text, else by its id; a row whose label is
    empty corrects nothing. One about a prompt that isn't among `prompts` (sealed gold never is) is rejected,
    and so is every row on a prompt of which the file says two different things.

    Raises DataError where the file can't be read at all.
    """
    rows = read_verdicts(path, source.columns, task, form=source.format, limit=source.limit, ours=True)
    rejected = list(rows.rejected)
    known, ids = _known(prompts if rows.accepted else (), rows.accepted)
    said: dict[str, list[HumanVerdict]] = {}
    for verdict in rows.accepted:
        by_id = ids.get(verdict.id, set())
        hash_ = verdict.hash or (next(iter(by_id)) if len(by_id) == 1 else "")
        if hash_ in known:
            said.setdefault(hash_, []).append(verdict)
        else:
            detail = "no prompt of the transfer set has this text or id"
            rejected.append(_rejection(path, verdict, UNKNOWN_PROMPT, detail))
    corrections: dict[str, Value] = {}
    for hash_, verdicts in said.items():
        if any(verdict.value != verdicts[0].value for verdict in verdicts):
            rows_ = ", ".join(str(verdict.row) for verdict in verdicts)
            detail = f"rows {rows_} say different things of one prompt"
            rejected += [_rejection(path, verdict, CONTRADICTION, detail) for verdict in verdicts]
        else:
            corrections[hash_] = verdicts[0].value
    return corrections, sorted(rejected, key=lambda item: item.row)


def _known(
    prompts: Iterable[Prompt], verdicts: Sequence[HumanVerdict]
) -> tuple[set[str], dict[str, set[str]]]:
    """Hashes of the prompts that verdicts may be about, and those of each id that they name."""
    hashes, names = {verdict.hash for verdict in verdicts}, {verdict.id for verdict in verdicts}
    known: set[str] = set()
    ids: dict[str, set[str]] = {}
    for prompt in prompts:
        hash_ = prompt.hash
        if prompt.id in names:
            ids.setdefault(prompt.id, set()).add(hash_)
        elif hash_ not in hashes:
            continue
        known.add(hash_)
    return known, ids


def _rejection(path: Path | str, verdict: HumanVerdict, reason: str, detail: str) -> Rejection:
    return Rejection(str(path), verdict.row, verdict.id, reason, detail, "")
