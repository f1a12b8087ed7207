"""Perturbations: seeded changes of texts under which an answer ought to stay, or to follow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from tutelage.evaluation.perturbations import meaning, surface, swaps
from tutelage.evaluation.perturbations.kinds import Expectation, Occasion, Pair, Perturbation, alone
from tutelage.evaluation.perturbations.negation import negation

__all__ = ["PARAPHRASE", "Expectation", "Occasion", "Pair", "Perturbation", "known_perturbations"]

PARAPHRASE = Perturbation("paraphrase", "language", lambda _: None, rewords=True)  # written by a teacher


@cache
def known_perturbations() -> Mapping[str, Perturbation]:
    """Those that need no model, by name, in the order in which they are shown."""
    phrases, tables = _read("phrases.yaml"), _read("swaps.yaml")
    same, open_, different = Expectation.SAME, Expectation.OPEN, Expectation.DIFFERENT
    known = [
        Perturbation("lower-case", "surface", alone(surface.lower_case), rewords=True),
        Perturbation("upper-case", "surface", alone(surface.upper_case), rewords=True),
        Perturbation("typos", "surface", alone(surface.typos), rewords=True),
        Perturbation("whitespace", "surface", alone(surface.whitespace)),
        Perturbation("punctuation", "surface", alone(surface.punctuation), rewords=True),
        Perturbation("truncation", "length", alone(surface.truncation), open_),
        Perturbation("padding-before", "length", meaning.padding(phrases["padding"], before=True)),
        Perturbation("padding-after", "length", meaning.padding(phrases["padding"], before=False)),
        Perturbation("code-switch", "language", meaning.code_switch(phrases["code_switch"])),
        *(
            Perturbation(f"injection-{style}", "injection", meaning.injection(said), same)
            for style, said in phrases["injection"].items()
        ),
        Perturbation("name", "counterfactual", swaps.name_swap(tables["name"]), rewords=True),
        Perturbation("gender", "counterfactual", swaps.gender_swap(tables["gender"]), rewords=True),
        Perturbation(
            "nationality", "counterfactual", swaps.nationality_swap(tables["nationality"]), rewords=True
        ),
        Perturbation("dialect", "counterfactual", swaps.dialect_swap(tables["dialect"]), rewords=True),
        Perturbation("negation", "meaning", negation, different),
    ]
    return MappingProxyType({one.name: one for one in known})


def _read(name: str) -> Any:
    return yaml.safe_load(files(__name__).joinpath(name).read_text(encoding="utf-8"))
