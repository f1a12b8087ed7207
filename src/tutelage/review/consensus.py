"""Where reviewers agree on a better answer than the teacher's, in the file of corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.records import Fields, Prompt, Value, dump_value, load_value
from tutelage.review.selection import COLUMNS
from tutelage.review.sheet import read_sheet, shown, write_sheet
from tutelage.review.verdicts import HASH, is_empty
from tutelage.review.votes import Choice, Vote, majority


@dataclass(frozen=True, slots=True)
class Consensus:
    """What more than half of a prompt's reviewers say: `value` is better, or (None) no answer is right."""

    value: Value | None
    reviewers: tuple[str, ...]


def consensus(votes: Iterable[Vote], *, at_least: int = 1) -> dict[str, Consensus]:
    """By prompt hash, where more than half of all votes on the prompt, and `at_least` so many, say the same.

    Votes that find both answers fine, or prefer an answer that couldn't be used, decide nothing.
    """
    by_prompt: dict[str, list[Vote]] = {}
    for vote in votes:
        by_prompt.setdefault(vote.prompt, []).append(vote)
    found = {}
    for prompt, cast in by_prompt.items():
        decided = majority(_said(vote) for vote in cast)
        agreeing = tuple(sorted({vote.reviewer for vote in cast if _said(vote) == decided}))
        if decided in {None, Choice.BOTH, "null"} or len(agreeing) < at_least:
            continue
        value = None if decided == Choice.NEITHER else load_value(str(decided))
        found[prompt] = Consensus(value, agreeing)
    return found


def _said(vote: Vote) -> str:
    """The answer preferred (JSON, so never a word of `Choice`), or the choice."""
    return vote.choice if vote.preferred is None else vote.preferred


def record_consensus(
    path: Path,
    found: Mapping[str, Consensus],
    taught: Sequence[tuple[Prompt, Value | None]],
    separator: str,
) -> tuple[int, int]:
    """Put what reviewers say against the teacher's answers (`taught`) into the file of corrections at `path`.

    A better answer becomes the row's label; where no answer is right the row waits for one. Rows that a
    person has filled in stay as they are. Returns how many labels were given, and how many rows wait.

    Raises DataError where the file that is there can't be read.
    """
    rows: list[dict[str, Any]] = read_sheet(path)
    by_hash = {str(row.get(HASH) or ""): row for row in rows}
    given = waiting = 0
    for prompt, value in taught:
        said = found.get(prompt.hash)
        if said is None or (said.value is not None and said.value == value):
            continue
        row = by_hash.get(prompt.hash)
        if row is not None and not is_empty(row.get("label")):
            continue
        if row is None:
            row = {"id": prompt.id, "text": shown(prompt.text), "teacher": shown(cell_of(value, separator))}
            row |= {"confidence": "", HASH: prompt.hash}
            rows.append(row)
        cell = cell_of(said.value, separator)
        row["label"] = "" if _would_run(cell) else cell
        row["why"] = shown(_why(said, cell))
        given, waiting = given + bool(row["label"]), waiting + (not row["label"])
    if given or waiting:
        write_sheet(path, COLUMNS, rows)
    return given, waiting


def _why(said: Consensus, cell: str) -> str:
    names = " and ".join(said.reviewers)
    if said.value is None:
        return f"{names}: neither answer is right"
    return f"{names}: another answer is better" + (f", {cell!r}" if _would_run(cell) else "")


def _would_run(cell: str) -> bool:
    """Whether a spreadsheet would take an answer for a formula: a person has to write such a label."""
    return shown(cell) != cell


def cell_of(value: Value | None, separator: str) -> str:
    """A value as a cell of a sheet; empty for none."""
    if value is None:
        return ""
    if isinstance(value, Fields):
        return dump_value(value)
    return separator.join(value) if isinstance(value, tuple) else value
