"""What an annotation tool's export holds: who said what of which text, and what nobody said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tutelage.errors import DataError

# Columns (or keys of a task's data) that say something about a prompt, and aren't the prompt.
ABOUT = ("id", "hash", "slice", "cluster", "source", "group")


class LeftOut(StrEnum):
    """What of an export is nobody's answer, as messages call it."""

    SUGGESTION = "suggestions of models"
    SKIPPED = "skipped"
    DRAFT = "drafts"
    DISCARDED = "discarded"
    EMPTY = "without an answer"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text that was marked, and as what."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer of a kind that no task here has, as a rectangle or a ranking."""

    kind: str


Piece = str | int | float | bool | Span | Unread | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What an export carries of the prompt beside its text: empty where it doesn't."""

    id: str = ""
    hash: str = ""
    slice: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> About:
        """As far as the data has them."""
        return cls(*(_name(data.get(name)) for name in ("id", "hash", "slice")))


def _name(content: Any) -> str:
    return str(content).strip() if isinstance(content, str | int) else ""


@dataclass(frozen=True, slots=True)
class Said:
    """What one person said of one prompt: by question (control, column) the pieces of the answer.

    `row` is the place in the file, from 1. `time` sorts what a person said twice. `suggested` tells that a
    model proposed all of it and the person left it so.
    """

    row: int
    text: str
    annotator: str
    answers: Mapping[str, Sequence[Piece]]
    about: About = About()
    comment: str = ""
    time: str = ""
    suggested: bool = False


@dataclass
class Export:
    """An export as it was read. `joined`: a cell may hold several labels with a separator between them.

    `faults` has row and reason of what can't be read; `unsure` counts answers that may be drafts, which the
    export doesn't tell.
    """

    tool: str
    said: list[Said] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    rows: int = 0
    unsure: int = 0
    joined: bool = False

    @property
    def questions(self) -> list[str]:
        """All that people were asked, in the order in which the file has them."""
        return list(dict.fromkeys(name for item in self.said for name in item.answers))

    def take(self, item: Said) -> None:
        """Count an answer in, or out where nothing was answered."""
        answers = {name: pieces for name, pieces in item.answers.items() if pieces}
        if not answers:
            self.left_out[LeftOut.EMPTY] += 1
        elif not item.annotator:
            self.faults.append((item.row, "nothing says whose answer it is"))
        else:
            self.said.append(item)


def text_of(data: Mapping[str, Any], column: str) -> str:
    """The prompt's text in a task's data: what is called `column`, else `text`, else the only text there.

    Raises ValueError where none is, or it can't be told which.
    """
    for name in (column, "text"):
        if isinstance(found := data.get(name), str):
            return found
    texts = [name for name, found in data.items() if isinstance(found, str) and name not in ABOUT]
    if len(texts) == 1:
        return str(data[texts[0]])
    there = ", ".join(map(repr, texts)) or "no text"
    raise ValueError(f"no {column!r}; there is {there}, so which is the prompt can't be told")


def listed(content: Any, what: str) -> list[Any]:
    """A list as it is, none where it is absent. Raises ValueError where it is something else."""
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError(f"{what} holds {type(content).__name__}, not a list")
    return content


def refused(path: object, faults: Iterable[tuple[int, str]], mend: str, *, shown: int = 5) -> DataError:
    """The error that names the first of the faults, by row, and says how many there are."""
    known = list(faults)
    told = "; ".join(f"row {row}: {reason}" for row, reason in known[:shown])
    more = f"; and {len(known) - shown:,} more" if len(known) > shown else ""
    return DataError(f"{path}: {told}{more}. Nothing was taken. Mend: {mend}")
