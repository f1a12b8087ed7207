"""Changes of what is said: padding, injected instructions, other languages, negation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tutelage.evaluation.perturbations.kinds import Occasion, Pair, alone, cased_like, joined, words_pattern

_SENTENCES = 2
_UNDONE = {
    "can't": "can", "can’t": "can", "cannot": "can", "don't": "do", "don’t": "do", "do not": "do",
    "doesn't": "does", "doesn’t": "does", "didn't": "did", "didn’t": "did", "isn't": "is", "isn’t": "is",
    "is not": "is", "aren't": "are", "aren’t": "are", "wasn't": "was", "wasn’t": "was", "was not": "was",
    "won't": "will", "won’t": "will", "haven't": "have", "haven’t": "have", "hasn't": "has", "hasn’t": "has",
    "couldn't": "could", "couldn’t": "could", "not": "", "never": "always", "no longer": "still",
}  # fmt: skip
_DONE = (
    "can", "could", "will", "would", "should", "is", "are", "was", "were", "am", "has", "have", "do", "does",
    "did", "must",
)  # fmt: skip
_UNDOES, _DOES = words_pattern(list(_UNDONE)), words_pattern(list(_DONE))
_VERBS = words_pattern(["want", "need", "like", "know", "got", "received", "ordered", "made", "paid", "see"])


def padding(phrases: Sequence[str], before: bool) -> Any:
    """Sentences that have nothing to do with it, before or after the text."""

    def change(occasion: Occasion) -> str:
        said = " ".join(occasion.random.sample(list(phrases), _SENTENCES))
        return f"{said} {occasion.text}" if before else joined(occasion.text, said)

    return alone(change)


def injection(phrases: Sequence[str]) -> Any:
    """An instruction after the text that asks for `target`; doesn't apply without one."""

    def change(occasion: Occasion) -> str | None:
        if not occasion.target:
            return None
        said = occasion.random.choice(phrases).format(target=occasion.target)
        return occasion.text + said if said.startswith("\n") else joined(occasion.text, said)

    return alone(change)


def code_switch(languages: Sequence[dict[str, str]]) -> Any:
    """A greeting and a closing in another language."""

    def change(occasion: Occasion) -> str:
        chosen = occasion.random.choice(languages)
        return f"{chosen['before']} {occasion.text.strip()} {chosen['after']}"

    return alone(change)


def negation(occasion: Occasion) -> Pair | None:
    """The first negation taken away; where there is none, the first verb that can be negated is.

    By rule, so that the sentence may be clumsy and what it means another matter than the task asks about.
    """
    text = occasion.text
    if found := _UNDOES.search(text):
        said = _UNDONE[found[0].lower()]
        rest = text[found.end() :]
        return Pair(
            text, text[: found.start()] + cased_like(said, found[0]) + (rest if said else rest.lstrip())
        )
    if found := _DOES.search(text):
        return Pair(text, _negated_auxiliary(text, found))
    if found := _VERBS.search(text):
        return Pair(text, f"{text[: found.start()]}never {text[found.start() :]}")
    return None


def _negated_auxiliary(text: str, found: re.Match[str]) -> str:
    """`not` after the verb, or in a question after its subject: `Can I not ...`."""
    rest = text[found.end() :]
    subject = re.match(r"\s+(i|you|he|she|it|we|they|there|(?:my|the|your|this|that)\s+\w+)\b", rest, re.I)
    place = found.end() + (subject.end() if subject else 0)
    return f"{text[:place]} not{text[place:]}"
