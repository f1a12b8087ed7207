"""What a perturbation is: a named, seeded change of a text, and what ought to become of the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tutelage.records import text_hash


class Expectation(StrEnum):
    """What ought to become of the right answer when a text is perturbed.

    `SAME`: a flip is the model's fault. `OPEN`: the text may have lost or changed what decides, so flips are
    told and never judged. `DIFFERENT`: the meaning was turned, so what is told is how often the answer
    follows.
    """

    SAME = "same"
    OPEN = "open"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a change has to go by: the text, its own source of chance, and the configuration's dials.

    `target` is the answer that injected text asks for, as a person would write it. `typo_rate` is the share
    of letters that are mistyped.
    """

    text: str
    random: Random
    target: str = ""
    typo_rate: float = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts whose answers are compared. `before` is the original but for counterfactual insertions."""

    before: str
    after: str


Change = Callable[[Occasion], Pair | None]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A change by its name. `family` is what it is shown with.

    `rewords` tells that words which an extracted or written answer may repeat are changed: where values are
    open, its expectation is `OPEN`.
    """

    name: str
    family: str
    change: Change
    expectation: Expectation = Expectation.SAME
    rewords: bool = False

    def expected(self, open_values: bool) -> Expectation:
        """Its expectation, for a task whose values are open or are labels."""
        if self.rewords and open_values and self.expectation is Expectation.SAME:
            return Expectation.OPEN
        return self.expectation

    def apply(self, text: str, *, seed: int = 0, target: str = "", typo_rate: float = 0.05) -> Pair | None:
        """The pair of texts; None where the change doesn't apply or would change nothing.

        The same for the same text, seed and target, whatever else is perturbed.
        """
        random = Random(f"{seed}\0{self.name}\0{text_hash(text)}")  # noqa: S311
        pair = self.change(Occasion(text, random, target, typo_rate))
        return None if pair is None or pair.before == pair.after or not pair.after.strip() else pair


def alone(change: Callable[[Occasion], str | None]) -> Change:
    """A change that makes one text, as one that makes the pair of the original and it."""

    def made(occasion: Occasion) -> Pair | None:
        after = change(occasion)
        return None if after is None else Pair(occasion.text, after)

    return made


def cased_like(word: str, model: str) -> str:
    """`word` in the case of `model`: all capitals, a capital first, or as it is."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def words_pattern(words: list[str]) -> re.Pattern[str]:
    """Any of the words or phrases as whole words, whatever their case; longer ones first."""
    ordered = sorted(words, key=len, reverse=True)
    return re.compile(r"(?<![\w’'])(" + "|".join(map(re.escape, ordered)) + r")(?![\w’'])", re.I)


def joined(text: str, sentence: str) -> str:
    """The sentence after the text."""
    return f"{text.rstrip()} {sentence}"
