"""Comparing two records field by field, by rules that follow from the schema and from `task.fields`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tutelage.records import Fields
from tutelage.tasks.protocol import Comparison
from tutelage.tasks.similarity import chrf


@dataclass(frozen=True, slots=True)
class Rule:
    """How two values of a field are compared: see `FieldConfig`."""

    how: str = "exact"
    tolerance: float = 0.0
    similarity: float = 0.8


@dataclass(frozen=True, slots=True)
class Outcome:
    """One field of two records. `given`, `wanted`: whether answer and reference have it.

    Null and an empty list are no value: to say nothing where nothing is is right, and finds nothing. `score`
    in [0, 1]. A field that neither has agrees.
    """

    path: str
    agree: bool
    score: float
    given: bool
    wanted: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field compared as a whole."""

    rule: Rule = Rule()


@dataclass(frozen=True, slots=True)
class Branch:
    """An object, whose fields are compared one by one; fields that it doesn't name are compared exactly."""

    fields: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list whose items are compared place by place."""

    item: Node


Node = Leaf | Branch | Listing


def compare_records(answer: Any, reference: Any, node: Node) -> Comparison:
    """All fields agree or they don't; the score is the mean over fields, a list's the mean of its items.

    `fields` has the score of each field by its dotted path, without those that are ignored.
    """
    outcomes = list(outcomes_of(answer, reference, node))
    scores: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        scores[outcome.path].append(outcome.score)
    fields = {path: sum(some) / len(some) for path, some in scores.items()}
    whole = sum(fields.values()) / len(fields) if fields else 1.0
    return Comparison(all(outcome.agree for outcome in outcomes), whole, fields)


def outcomes_of(answer: Any, reference: Any, node: Node, path: str = "") -> Iterator[Outcome]:
    """Each compared field; one inside a list comes once for every place that either list has."""
    if isinstance(node, Branch) and _all_or_none(answer, reference, Mapping):
        yield from _fields(answer or {}, reference or {}, node, path)
    elif isinstance(node, Listing) and _all_or_none(answer, reference, list) and (answer or reference):
        ours, theirs = answer or [], reference or []
        for place in range(max(len(ours), len(theirs))):
            yield from outcomes_of(_at(ours, place), _at(theirs, place), node.item, path)
    elif not isinstance(node, Leaf) or node.rule.how != "ignore":
        rule = node.rule if isinstance(node, Leaf) else Rule()
        yield _compared(answer, reference, rule, path)


def _all_or_none(answer: Any, reference: Any, kind: type) -> bool:
    """Whether both are of the kind, or one is and the other isn't there, so that their parts are compared."""
    there = [value for value in (answer, reference) if value is not None]
    return bool(there) and all(isinstance(value, kind) for value in there)


def _fields(
    answer: Mapping[str, Any], reference: Mapping[str, Any], node: Branch, path: str
) -> Iterator[Outcome]:
    others = [name for name in {**reference, **answer} if name not in node.fields]
    for name in (*node.fields, *others):
        below = node.fields.get(name, Leaf())
        yield from outcomes_of(
            answer.get(name), reference.get(name), below, f"{path}.{name}" if path else name
        )


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _compared(answer: Any, reference: Any, rule: Rule, path: str) -> Outcome:
    given, wanted = (value is not None and value != [] for value in (answer, reference))
    if not (given and wanted):
        alike = bool(answer == reference)
        return Outcome(path, alike, float(alike), given, wanted)
    agree, score = _judged(answer, reference, rule)
    return Outcome(path, agree, score, given, wanted)


def _judged(answer: Any, reference: Any, rule: Rule) -> tuple[bool, float]:
    """Values of another type than the rule is for are compared exactly."""
    if rule.how == "number" and _is_number(answer) and _is_number(reference):
        # As decimals, since 1.1 - 1.0 is more than 0.1 in binary.
        difference = abs(Decimal(repr(answer)) - Decimal(repr(reference)))
        close = difference <= Decimal(repr(rule.tolerance))
        return close, float(close)
    if rule.how == "text" and _are_texts(answer, reference):
        score = chrf(answer, reference)
        return score >= rule.similarity, score
    if rule.how == "set" and isinstance(answer, list) and isinstance(reference, list):
        ours, theirs = Counter(map(_boxed, answer)), Counter(map(_boxed, reference))
        union = (ours | theirs).total()
        return ours == theirs, (ours & theirs).total() / union if union else 1.0
    same = answer == reference if _are_texts(answer, reference) else _boxed(answer) == _boxed(reference)
    return same, float(same)


def _are_texts(answer: Any, reference: Any) -> bool:
    """Most fields are, and of texts Python's equality is JSON's."""
    return isinstance(answer, str) and isinstance(reference, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _boxed(value: Any) -> Fields:
    """A JSON value that is equal, and hashed, as JSON has it."""
    return Fields({"": value})
