"""The gold set: split, cleaned, sealed by hash; and the gate that asks whether it can decide.

Width of intervals: at n sealed examples and an expected accuracy p the half-width of the exact 95% interval
(Clopper and Pearson 1934), which is the one that evaluation reports. Planned by Wilson's, which is narrower,
gold kept within its margin in a fifth to two fifths of draws (`benchmarks/gold_plan.py`).
"""

from __future__ import annotations

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import GoldConfig
from tutelage.data.duplicates import exclude_gold, normalise, reject
from tutelage.data.sources import RejectReason
from tutelage.data.tables import gold_from_table
from tutelage.errors import ConfigError, DataError, IntegrityError
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.records import SYNTHETIC, AnyGold, Gold, Rejection, SameGold, SealedGold, Value, dump_value
from tutelage.tasks import names_of

Agree = Callable[[Value, Value], bool]

_CONFIDENCE = 0.95
_MOST_NEEDED = 10_000_000


@dataclass(frozen=True)
class GoldSet:
    """What will be sealed, what may be learned from, what was set aside, what certificates are tested on."""

    sealed: list[SealedGold]
    training: list[Gold]
    rejected: list[Rejection]
    calibration: list[Gold] = field(default_factory=list)

    @property
    def examples(self) -> list[AnyGold]:
        """Of all parts; what is in it can be counted and kept apart, not learned from."""
        return [*self.sealed, *self.training, *self.calibration]


def half_width(n: int, accuracy: float) -> float:
    """Half the width of the exact 95% interval for `accuracy` measured on `n` examples; 0.5 for none.

    `accuracy * n` may be no whole number: it is what is to be expected.
    """
    from scipy.special import betaincinv

    right, tail = accuracy * n, (1 - _CONFIDENCE) / 2
    low = float(betaincinv(right, n - right + 1, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, n - right, 1 - tail)) if right < n else 1.0
    return (high - low) / 2


def examples_needed(margin: float, accuracy: float) -> int:
    """The least n whose `half_width` is at most `margin`."""
    low, high = 1, _MOST_NEEDED
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(middle, accuracy) <= margin else (middle + 1, high)
    return low


def split_training(
    examples: Sequence[Gold], share: float, seed: int, *, by_value: bool = True
) -> tuple[list[Gold], list[Gold]]:
    """Split into (training part, rest), stratified by value and slice; by slice alone without `by_value`.

    That is for open values, which hardly ever repeat: each would be a stratum of its own, and the training
    part would be those that come first in the alphabet.

    Examples with the same text (normalised) go together, so that `clean_gold` sees every repeat and
    contradiction: parted, one of two contradictory labels would be sealed as the truth. So do those of one
    group. Shares are counted in what goes together; where labels differ in it, it is a stratum of its own.
    Each stratum gives its share rounded so that the totals come out right (largest remainders); which of its
    texts go follows from `seed` and the order in the file.
    """
    import numpy as np

    strata: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for group in _inseparable(examples):
        value, slice_ = _stratum([examples[index] for index in group])
        strata[value if by_value else "", slice_].append(group)
    generator = np.random.default_rng(seed)
    exact = {key: share * len(groups) for key, groups in strata.items()}
    counts = {key: math.floor(value) for key, value in exact.items()}
    remaining = round(share * sum(map(len, strata.values()))) - sum(counts.values())
    for key in sorted(exact, key=lambda key: (counts[key] - exact[key], key))[:remaining]:
        counts[key] += 1
    chosen: set[int] = set()
    for key in sorted(strata):
        groups = strata[key]
        for place in generator.permutation(len(groups))[: counts[key]]:
            chosen.update(groups[place])
    training = [item for index, item in enumerate(examples) if index in chosen]
    return training, [item for index, item in enumerate(examples) if index not in chosen]


def _by_text(examples: Sequence[AnyGold]) -> list[list[int]]:
    """Indices of examples, together where the text is the same after normalisation, in order of the first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(examples):
        groups[normalise(item.prompt.text)].append(index)
    return list(groups.values())


def _inseparable(examples: Sequence[Gold]) -> list[list[int]]:
    """`_by_text`, and together what is of one group too, through however many of either.

    Where that is all of them no split can spare the group, and texts alone count.
    """
    units: dict[int, list[int]] = {}
    unit_of: dict[str, int] = {}
    for number, same in enumerate(_by_text(examples)):
        names = {examples[index].prompt.group for index in same} - {""}
        members = list(same)
        for other in sorted({unit_of[name] for name in names if name in unit_of}):
            members = [*units.pop(other), *members]
        units[number] = sorted(members)
        for index in members:
            if name := examples[index].prompt.group:
                unit_of[name] = number
    return sorted(units.values()) if len(units) > 1 else _by_text(examples)


def _stratum(group: Sequence[Gold]) -> tuple[str, str]:
    first = group[0]
    if any(item.value != first.value for item in group):
        return "", ""  # of no value: these are JSON, and never empty
    return dump_value(first.value), first.prompt.slice


def clean_gold(
    examples: Sequence[SealedGold],
    training: Sequence[Gold],
    near_duplicate: float,
    agree: Agree = operator.eq,
    calibration: Sequence[Gold] = (),
) -> GoldSet:
    """Drop repeats and contradictions from gold, and from its parts whatever sealed gold has too.

    The calibration part loses what is sealed, and the training part what either has. Answers to the same text
    contradict each other unless they `agree`; of those that do the first is kept.

    An example of a part that gives a text kept elsewhere another label counts as contradictory; that label
    stands, and isn't told.
    """
    sealed, rejected = _without_repeats(examples, agree)
    tested, tested_rejected = _clean_part(calibration, {"sealed gold": sealed}, near_duplicate, agree)
    kept_apart: dict[str, Sequence[AnyGold]] = {"sealed gold": sealed, "gold's calibration part": tested}
    learned, learned_rejected = _clean_part(training, kept_apart, near_duplicate, agree)
    return GoldSet(sealed, learned, [*rejected, *tested_rejected, *learned_rejected], tested)


def _clean_part(
    part: Sequence[Gold], kept: Mapping[str, Sequence[AnyGold]], near_duplicate: float, agree: Agree
) -> tuple[list[Gold], list[Rejection]]:
    """What of a part stays beside what is `kept` elsewhere, by that place's name, and what doesn't."""
    rejected: list[Rejection] = []
    for place, examples in kept.items():
        agreeing, contradicting = _split_contradicting(part, examples, agree, place)
        prompts, duplicates = exclude_gold(
            [item.prompt for item in agreeing], [item.prompt for item in examples], near_duplicate
        )
        left = {id(prompt) for prompt in prompts}
        part = [item for item in agreeing if id(item.prompt) in left]
        rejected += [*contradicting, *duplicates]
    distinct, repeated = _without_repeats(part, agree)
    return distinct, [*rejected, *repeated]


def _split_contradicting(
    part: Sequence[Gold], kept: Sequence[AnyGold], agree: Agree, place: str
) -> tuple[list[Gold], list[Rejection]]:
    truths = {normalise(item.prompt.text): item for item in kept}
    agreeing, contradicting = [], []
    for item in part:
        truth = truths.get(normalise(item.prompt.text), item)
        if agree(truth.value, item.value):
            agreeing.append(item)
            continue
        detail = f"the same text has another label in {place}, as {truth.prompt.id!r}"
        contradicting.append(reject(item.prompt, RejectReason.CONFLICTING_LABEL, detail))
    return agreeing, contradicting


def _without_repeats(examples: Sequence[SameGold], agree: Agree) -> tuple[list[SameGold], list[Rejection]]:
    kept: list[SameGold] = []
    rejected: list[Rejection] = []
    for group in _by_text(examples):
        first, *others = (examples[index] for index in group)
        if all(agree(item.value, first.value) for item in others):
            kept.append(first)
            detail = f"same text and label as {first.prompt.id!r}"
            rejected += [reject(item.prompt, RejectReason.DUPLICATE_TEXT, detail) for item in others]
        else:
            values = " and ".join(sorted({dump_value(item.value) for item in (first, *others)}))
            detail = f"the same text is labelled {values[:120]}"
            rejected += [
                reject(item.prompt, RejectReason.CONFLICTING_LABEL, detail) for item in (first, *others)
            ]
    return kept, rejected


def resolve_labels(
    gold: GoldSet, declared: Mapping[str, str] | None, out_of_scope: str | None
) -> dict[str, str]:
    """The label set with descriptions: as declared, else what gold has, sorted.

    Raises DataError where nothing is left to seal or gold has fewer than two labels, ConfigError where
    `out_of_scope` is none of them.
    """
    _require_sealed(gold)
    found = sorted({name for item in gold.examples for name in names_of(item.value)})
    labels = dict(declared) if declared is not None else dict.fromkeys(found, "")
    if len(labels) < 2:
        raise DataError(
            f"gold has {len(labels)} label(s): {found}; two are the least; {_losses(gold.rejected)}. "
            "Mend: check gold.columns.label"
        )
    if out_of_scope is not None and out_of_scope not in labels:
        raise ConfigError(
            f"task.out_of_scope {out_of_scope!r} is not in the label set. Mend: correct it, or add it"
        )
    return labels


def _require_sealed(gold: GoldSet) -> None:
    if not gold.sealed:
        if not gold.rejected and not gold.training and not gold.calibration:
            raise DataError(
                "no gold example is there: its file has a header and no rows. Mend: add labelled rows"
            )
        raise DataError(
            f"no gold example is left to seal; {_losses(gold.rejected)}. "
            "Mend: see gold/rejected.parquet, and check gold.columns and task.labels"
        )


def _losses(rejected: Sequence[Rejection]) -> str:
    """How many rows were not taken, with the three commonest reasons and a row of each."""
    if not rejected:
        return "no row was refused"
    counts = Counter(str(item.reason) for item in rejected)
    firsts = {str(item.reason): item for item in reversed(rejected)}
    told = [
        f"{count:,} {reason} (row {firsts[reason].row} of {Path(firsts[reason].source).name}: "
        f"{firsts[reason].detail[:80]})"
        for reason, count in counts.most_common(3)
    ]
    more = " and others" if len(counts) > len(told) else ""
    return f"{len(rejected):,} rows were not taken: {', '.join(told)}{more}"


def make_seal(
    gold: GoldSet,
    labels: Mapping[str, str],
    config: GoldConfig,
    sealed_path: Path,
    calibration_path: Path | None = None,
) -> dict[str, Any]:
    """What `gold/seal.json` says; with a calibration part that is sealed too.

    Raises DataError where nothing is left to seal, or a model wrote some of it.
    """
    _require_sealed(gold)
    if written := [item.prompt.id for item in gold.examples if item.prompt.source == SYNTHETIC]:
        raise DataError(
            f"{len(written):,} examples of gold were written by a model (the first is {written[0]!r}), and "
            "synthetic prompts are never gold. Mend: take them out of gold's file"
        )
    slices = Counter(item.prompt.slice for item in gold.sealed)
    accuracy = config.expected_accuracy
    calibration = (
        {} if calibration_path is None else {"calibration": _calibration_seal(gold, calibration_path)}
    )
    return {
        **calibration,
        "hash": storage.hash_file(sealed_path),
        "labels": dict(labels),
        "n": len(gold.sealed),
        "training_n": len(gold.training),
        "rejected": dict(sorted(Counter(str(item.reason) for item in gold.rejected).items())),
        "slices": {
            name: {"n": n, "half_width": half_width(n, accuracy)} for name, n in sorted(slices.items())
        },
        "half_width": half_width(len(gold.sealed), accuracy),
        "margin": config.margin,
        "expected_accuracy": accuracy,
        "needed": examples_needed(config.margin, accuracy),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def read_sealed(sealed_path: Path, seal_path: Path) -> list[SealedGold]:
    """The sealed examples. Raises IntegrityError where they are not those that were sealed."""
    verify_seal(sealed_path, seal_path)
    return to_be_sealed(gold_from_table(storage.read_table(sealed_path)))


def to_be_sealed(examples: Sequence[Gold]) -> list[SealedGold]:
    """The same examples, by which nothing can be chosen any more."""
    return [SealedGold(item.prompt, item.value) for item in examples]


def verify_seal(sealed_path: Path, seal_path: Path) -> None:
    """Raise IntegrityError where the sealed file is not the one that was sealed."""
    if not sealed_path.exists() or storage.hash_file(sealed_path) != storage.read_json(seal_path)["hash"]:
        raise IntegrityError(
            f"{sealed_path} is not what {seal_path} sealed. Mend: restore it, or run "
            "`tutelage gold --reseal`, knowing that evaluations before and after can't be compared"
        )


def _calibration_seal(gold: GoldSet, path: Path) -> dict[str, Any]:
    return {"hash": storage.hash_file(path), "n": len(gold.calibration)}


def read_calibration(path: Path, seal_path: Path) -> list[Gold]:
    """Gold's calibration part; none where the seal names none.

    Raises IntegrityError where the file is not the one that was sealed.
    """
    sealed = storage.read_json(seal_path).get("calibration")
    if sealed is None:
        return []
    if not path.exists() or storage.hash_file(path) != sealed["hash"]:
        raise IntegrityError(
            f"{path} is not what {seal_path} sealed. Mend: restore it, or run `tutelage gold --reseal`, "
            "knowing that certificates of before were tested on other prompts"
        )
    return gold_from_table(storage.read_table(path))


def read_training(path: Path) -> list[Gold]:
    """Gold's training part."""
    return gold_from_table(storage.read_table(path))


def gold_gate(seal: Mapping[str, Any], config: GoldConfig) -> Decision:
    """Whether sealed gold is large enough for the margin in tutelage.yaml."""
    n, width = int(seal["n"]), half_width(int(seal["n"]), config.expected_accuracy)
    needed = examples_needed(config.margin, config.expected_accuracy)
    enough = width <= config.margin
    reason = (
        f"{n:,} sealed examples give an interval of ±{width:.1%} at an accuracy of "
        f"{config.expected_accuracy:.0%}; gold.margin is ±{config.margin:.1%}."
    )
    if not enough:
        reason += f" Mend: label {needed - n:,} more, or widen gold.margin."
    evidence = Evidence(
        term="half-width of the accuracy interval",
        verdict=Verdict.PASS if enough else Verdict.FAIL,
        reason=reason,
        estimate=width,
        limit=config.margin,
        n=n,
        more_needed=None if enough else needed - n,
    )
    return Decision.of("gold", [evidence])
