"""Perturbed gold and what arms answered of it, in counts."""

from __future__ import annotations

from tutelage.evaluation import Answered, Expectation, Perturbation, Perturbed
from tutelage.evaluation.perturbations import Pair
from tutelage.records import Gold, Prompt

HELD, FLIPPED = Answered("a", "a"), Answered("a", "b")


def change_of(name="upper-case", family="surface", expectation=Expectation.SAME, rewords=False):
    return Perturbation(name, family, lambda _: None, expectation, rewords)


def perturbed_of(n, change=None, *, target="", value="a", slices=None):
    slices = slices or ["normal"] * n
    return [
        Perturbed(
            change or change_of(),
            Gold(Prompt(f"p{row}", f"text {row}", slice=slices[row]), value),
            Pair(f"text {row}", f"TEXT {row}"),
            target,
        )
        for row in range(n)
    ]


def flips(n, *places):
    """Answers of which those at `places` flip."""
    return [FLIPPED if place in places else HELD for place in range(n)]
