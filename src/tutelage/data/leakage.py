"""Sealed gold among what was learned from, or shown to the teacher: what is left after cleaning.

`gold` and `collect` set aside what is the same, or nearly by `traffic.near_duplicate`.
Left may be texts that differ in punctuation alone, and near ones where that threshold is higher than usual;
and gold that was copied into the teacher's instruction, which nothing cleans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tutelage.data.duplicates import DuplicateIndex, Match, normalise, without_marks
from tutelage.records import Prompt, in_parts

USUAL_THRESHOLD = 0.85
_AT_ONCE = 10_000  # texts that are looked up together
_LEAST_WORDS = 4  # of a text that is looked for in an instruction: "card lost" stands in many by right


class LeakKind(StrEnum):
    """How the two are alike."""

    SAME = "same"
    PUNCTUATION = "same but for punctuation"
    NEAR = "near"
    IN_PROMPT = "in the teacher's prompt"


@dataclass(frozen=True, slots=True)
class Leak:
    """One example of gold (`gold` its id) and what is like it: `other` an id in `part`, empty for a prompt.

    `similarity` is Jaccard's, of character 5-grams; 1.0 where the two are the same.
    """

    kind: LeakKind
    gold: str
    part: str
    other: str
    similarity: float


def find_leaks(
    gold: Sequence[Prompt],
    parts: Mapping[str, Iterable[Prompt]],
    *,
    shown: str = "",
    cleaned_at: float = 1.0,
) -> list[Leak]:
    """What of `parts` (by name) is like gold, and which gold stands in `shown`, the teacher's prompt.

    Near ones, from a similarity of 0.85, are looked for only where cleaning was laxer (`cleaned_at` above
    it): else there can be none. A pair is listed once, under the first kind that fits. Of `parts` few prompts
    are held at a time.
    """
    near = cleaned_at > USUAL_THRESHOLD
    index = DuplicateIndex([prompt.text for prompt in gold] if near else [], USUAL_THRESHOLD)
    spoken = {said: prompt for prompt in gold if (said := _spoken(prompt.text))}
    leaks = []
    for part, prompts in parts.items():
        for prompt, match in _matched(prompts, index if near else None):
            same = spoken.get(_spoken(prompt.text))
            if same is not None:
                exact = normalise(prompt.text) == normalise(same.text)
                kind = LeakKind.SAME if exact else LeakKind.PUNCTUATION
                leaks.append(Leak(kind, same.id, part, prompt.id, 1.0))
            elif match is not None:
                leaks.append(Leak(LeakKind.NEAR, gold[match.index].id, part, prompt.id, match.similarity))
    return [*leaks, *_in_prompt(gold, shown)]


def _matched(
    prompts: Iterable[Prompt], index: DuplicateIndex | None
) -> Iterator[tuple[Prompt, Match | None]]:
    for some in in_parts(prompts, _AT_ONCE):
        found = [None] * len(some) if index is None else index.match_all([prompt.text for prompt in some])
        yield from zip(some, found, strict=True)


def have_near(texts: Sequence[str], others: Sequence[str]) -> int:
    """How many of `texts` have a near duplicate (0.85) among `others`."""
    return sum(match is not None for match in DuplicateIndex(others, USUAL_THRESHOLD).match_all(texts))


def _in_prompt(gold: Sequence[Prompt], shown: str) -> list[Leak]:
    whole = f" {_words(shown)} "
    return [
        Leak(LeakKind.IN_PROMPT, prompt.id, "the teacher's prompt", "", 1.0)
        for prompt in gold
        if len((words := _words(prompt.text)).split()) >= _LEAST_WORDS and f" {words} " in whole
    ]


def _words(text: str) -> str:
    return " ".join("".join(mark if mark.isalnum() else " " for mark in normalise(text)).split())


def _spoken(text: str) -> str:
    return without_marks(normalise(text))
