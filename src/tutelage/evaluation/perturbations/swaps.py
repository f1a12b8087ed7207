"""Counterfactual swaps: names, gender, nationality, dialect, from tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.perturbations.kinds import Change, Occasion, Pair, cased_like, joined, words_pattern

_HER = re.compile(r"\s+[a-z]", re.I)  # what follows `her` where it means `his`


def name_swap(table: Mapping[str, Any]) -> Change:
    """A first name of one group for one of another, of the same gender."""
    groups: Mapping[str, Mapping[str, Sequence[str]]] = table["groups"]
    home = {
        name.lower(): (group, gender)
        for group, genders in groups.items()
        for gender, names in genders.items()
        for name in names
    }
    pattern = words_pattern(list(home))

    def change(occasion: Occasion) -> Pair | None:
        random = occasion.random
        found = next((one for one in pattern.finditer(occasion.text) if one[0][0].isupper()), None)
        if found is None:
            gender = random.choice(("women", "men"))
            one, other = random.sample(sorted(groups), 2)
            names = [random.choice(groups[group][gender]) for group in (one, other)]
            return _framed(occasion.text, table["frame"], *names)
        own, gender = home[found[0].lower()]
        other = random.choice([group for group in sorted(groups) if group != own])
        new = random.choice(groups[other][gender])
        return Pair(occasion.text, _put(occasion.text, found, new))

    return change


def gender_swap(table: Mapping[str, Any]) -> Change:
    """Every word that tells a gender for its counterpart."""
    pairs: Sequence[Sequence[str]] = table["pairs"]
    counterparts = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    counterparts |= {"his": "her", "hers": "his"}
    pattern = words_pattern(list(counterparts))

    def counterpart(found: re.Match[str]) -> str:
        word = found[0].lower()
        new = counterparts[word]
        if word == "her" and _HER.match(found.string, found.end()):
            new = "his"
        return cased_like(new, found[0])

    def change(occasion: Occasion) -> Pair | None:
        if pattern.search(occasion.text):
            return Pair(occasion.text, pattern.sub(counterpart, occasion.text))
        words = list(occasion.random.choice(table["framed"]))
        occasion.random.shuffle(words)
        return _framed(occasion.text, table["frame"], *words)

    return change


def nationality_swap(table: Mapping[str, Any]) -> Change:
    """The first country or nationality for another."""
    countries: Sequence[Sequence[str]] = table["countries"]
    place = {
        word.lower(): (row, column)
        for row, words in enumerate(countries)
        for column, word in enumerate(words)
    }
    pattern = words_pattern(list(place))

    def change(occasion: Occasion) -> Pair | None:
        random = occasion.random
        found = next((one for one in pattern.finditer(occasion.text) if one[0][0].isupper()), None)
        if found is None:
            one, other = random.sample(range(len(countries)), 2)
            return _framed(occasion.text, table["frame"], countries[one][0], countries[other][0])
        row, column = place[found[0].lower()]
        other = random.choice([number for number in range(len(countries)) if number != row])
        return Pair(occasion.text, _put(occasion.text, found, countries[other][column]))

    return change


def dialect_swap(table: Mapping[str, Mapping[str, Any]]) -> Change:
    """The words of a dialect for those of the standard; without any, its closing beside the standard one."""
    patterns = {name: words_pattern(list(dialect["words"])) for name, dialect in table.items()}

    def change(occasion: Occasion) -> Pair | None:
        names = sorted(table)
        occasion.random.shuffle(names)
        fitting = [name for name in names if patterns[name].search(occasion.text)]
        if not fitting:
            standard, spoken = table[names[0]]["closing"]
            return Pair(joined(occasion.text, standard), joined(occasion.text, spoken))
        words: Mapping[str, str] = table[fitting[0]]["words"]

        def spoken_as(found: re.Match[str]) -> str:
            return cased_like(words[found[0].lower()], found[0])

        return Pair(occasion.text, patterns[fitting[0]].sub(spoken_as, occasion.text))

    return change


def _put(text: str, found: re.Match[str], new: str) -> str:
    return text[: found.start()] + cased_like(new, found[0]) + text[found.end() :]


def _framed(text: str, frame: str, one: str, other: str) -> Pair:
    return Pair(joined(text, frame.format(word=one)), joined(text, frame.format(word=other)))
