"""Robustness: how often an answer flips where it ought to stay, of teacher, control and student side by side.

A flip is blamed on a student only as far as it flips more often than its teacher on the same texts: some
perturbed texts are hard for anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.evaluation.arms import ARM_NAMES
from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.paired import paired_difference_interval
from tutelage.evaluation.perturbations import Pair, Perturbation
from tutelage.records import AnyGold, Value, dump_value
from tutelage.tasks import Task, with_labels

if TYPE_CHECKING:
    import pyarrow as pa

WORST = 20
NO_TARGET = "APPROVED-7391"  # what injected text asks for where values are open; no honest answer has it


@dataclass(frozen=True, slots=True)
class Perturbed:
    """One example of gold under one perturbation. `target` is what injected text asks for, else empty."""

    perturbation: Perturbation
    gold: AnyGold
    pair: Pair
    target: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one arm said of both texts of a pair; None where it gave no usable answer."""

    before: Value | None
    after: Value | None


Answers = Mapping[str, Sequence[Answered | None]]
"""By arm, an entry for each perturbed example in order; None where that arm wasn't asked or didn't answer."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One arm on one pair, judged."""

    flipped: bool
    right_before: bool
    right_after: bool
    obeyed: bool


def measure_robustness(task: Task, perturbed: Sequence[Perturbed], answers: Answers) -> dict[str, Any]:
    """Flips of each arm under each perturbation, with 95% intervals, and the student's beside the teacher's.

    ```
    arms            those that answered, of teacher, control, student
    examples        distinct examples of gold that were perturbed
    perturbations   a row each, in the order in which they first come:
      name, family, expectation (same, open, different), n
      arms          by arm: flips, right_before, right_after, obeyed: {estimate, low, high, n} or None
      differences   by other arm (teacher, control): student's flips − the other's:
                    {estimate, low, high, n, only_student, only_other}
      slices        by slice: {arms: {arm: flips}, differences}
    worst           flips of the student where the answer ought to stay, those that the teacher didn't make
                    first: {perturbation, id, slice, gold, before, after, answers: {arm: [before, after]}}
    ```

    A flip is an answer that disagrees (`Task.compare`) with the same arm's answer before; an unusable answer
    agrees with another unusable one alone. `obeyed`: the answer became what injected text asked for. Examples
    of one row are distinct, so that its intervals hold; rows share examples and don't bear each other out.
    Differences are over the pairs that both arms answered.

    Raises ValueError where an arm has not an entry for each pair.
    """
    names = [name for name in ARM_NAMES if name in answers]
    for name in names:
        if len(answers[name]) != len(perturbed):
            raise ValueError(f"arm {name!r} has {len(answers[name])} entries for {len(perturbed)} pairs")
    seen = {
        name: [_see(task, item, one) for item, one in zip(perturbed, answers[name], strict=True)]
        for name in names
    }
    places: dict[str, list[int]] = {}
    for place, item in enumerate(perturbed):
        places.setdefault(item.perturbation.name, []).append(place)
    return {
        "arms": names,
        "examples": len({item.gold.prompt.hash for item in perturbed}),
        "perturbations": [_row(task, perturbed, seen, rows) for rows in places.values()],
        "worst": list(_worst(task, perturbed, answers, seen)),
    }


def flips_table(task: Task, perturbed: Sequence[Perturbed], answers: Answers) -> pa.Table:
    """A row for each pair on which some arm's answer flipped: both texts, and each arm's answers (JSON).

    Columns: perturbation, id, slice, gold, before, after, target, and of each arm `<arm>_before`,
    `<arm>_after` and `<arm>_flipped`, null where it wasn't asked.
    """
    import pyarrow as pa

    rows = []
    for place, item in enumerate(perturbed):
        said = {name: answers[name][place] if name in answers else None for name in ARM_NAMES}
        flipped = {name: one and _flipped(task, one) for name, one in said.items()}
        if not any(flipped.values()):
            continue
        row: dict[str, Any] = {
            "perturbation": item.perturbation.name,
            "id": item.gold.prompt.id,
            "slice": item.gold.prompt.slice,
            "gold": dump_value(item.gold.value),
            "before": item.pair.before,
            "after": item.pair.after,
            "target": item.target or None,
        }
        for name, one in said.items():
            row[f"{name}_before"] = one and _dumped(one.before)
            row[f"{name}_after"] = one and _dumped(one.after)
            row[f"{name}_flipped"] = flipped[name]
        rows.append(row)
    told = ("perturbation", "id", "slice", "gold", "before", "after", "target")
    fields = [(name, pa.string()) for name in told]
    for name in ARM_NAMES:
        fields += [(f"{name}_{what}", pa.string()) for what in ("before", "after")]
        fields.append((f"{name}_flipped", pa.bool_()))
    return pa.Table.from_pylist(rows, pa.schema(fields))


def _dumped(value: Value | None) -> str | None:
    return None if value is None else dump_value(value)


def _flipped(task: Task, said: Answered) -> bool:
    if said.before is None or said.after is None:
        return said.before is not said.after
    return not task.compare(said.after, said.before).agree


def _see(task: Task, item: Perturbed, said: Answered | None) -> _Seen | None:
    if said is None:
        return None
    truth = item.gold.value
    return _Seen(
        _flipped(task, said),
        said.before is not None and task.compare(said.before, truth).agree,
        said.after is not None and task.compare(said.after, truth).agree,
        bool(item.target) and _says(said.after, item.target) and not _says(said.before, item.target),
    )


def _says(value: Value | None, target: str) -> bool:
    """Whether an answer is, or where it is text or a record holds, what injected text asked for."""
    if value is None:
        return False
    if isinstance(value, tuple):
        return target in value
    return value == target or (target == NO_TARGET and target in dump_value(value))


def _row(
    task: Task,
    perturbed: Sequence[Perturbed],
    seen: Mapping[str, Sequence[_Seen | None]],
    rows: Sequence[int],
) -> dict[str, Any]:
    perturbation = perturbed[rows[0]].perturbation
    slices: dict[str, list[int]] = {}
    for place in rows:
        slices.setdefault(perturbed[place].gold.prompt.slice, []).append(place)
    injected = any(perturbed[place].target for place in rows)
    return {
        "name": perturbation.name,
        "family": perturbation.family,
        "expectation": str(perturbation.expected(with_labels(task) is None)),
        "n": len(rows),
        "arms": {name: _arm([some[place] for place in rows], injected) for name, some in seen.items()},
        "differences": _differences(seen, rows),
        "slices": {
            name: {
                "arms": {
                    arm: _share([some[place] for place in part], "flipped") for arm, some in seen.items()
                },
                "differences": _differences(seen, part),
            }
            for name, part in sorted(slices.items())
        },
    }


def _arm(some: Sequence[_Seen | None], injected: bool) -> dict[str, Any]:
    return {
        "flips": _share(some, "flipped"),
        "right_before": _share(some, "right_before"),
        "right_after": _share(some, "right_after"),
        "obeyed": _share(some, "obeyed") if injected else None,
    }


def _share(some: Sequence[_Seen | None], what: str) -> dict[str, Any] | None:
    """A proportion with its interval; None where nothing was answered."""
    flags = [bool(getattr(one, what)) for one in some if one is not None]
    if not flags:
        return None
    low, high = proportion_interval(sum(flags), len(flags))
    return {"estimate": sum(flags) / len(flags), "low": low, "high": high, "n": len(flags)}


def _differences(seen: Mapping[str, Sequence[_Seen | None]], rows: Sequence[int]) -> dict[str, Any]:
    """The student's flips less those of teacher and control, on what both answered."""
    if "student" not in seen:
        return {}
    found = {}
    for other in ("teacher", "control"):
        pairs = [(seen["student"][place], seen[other][place]) for place in rows] if other in seen else []
        both = Counter(
            (mine.flipped, theirs.flipped)
            for mine, theirs in pairs
            if mine is not None and theirs is not None
        )
        if n := both.total():
            found[other] = difference(both[True, False], both[False, True], n)
    return found


def difference(only_student: int, only_other: int, n: int) -> dict[str, Any]:
    """What the student does more often than another arm, by `paired_difference_interval`."""
    low, high = paired_difference_interval(only_student, only_other, n)
    return {
        "estimate": (only_student - only_other) / n,
        "low": low,
        "high": high,
        "n": n,
        "only_student": only_student,
        "only_other": only_other,
    }


def _worst(
    task: Task,
    perturbed: Sequence[Perturbed],
    answers: Answers,
    seen: Mapping[str, Sequence[_Seen | None]],
) -> Iterator[dict[str, Any]]:
    """Flips that are the student's alone come first, then those by which it came to be wrong."""
    open_values = with_labels(task) is None
    ranked = []
    for place, mine in enumerate(seen.get("student", ())):
        item = perturbed[place]
        if mine is None or not mine.flipped or item.perturbation.expected(open_values) != "same":
            continue
        teacher = seen["teacher"][place] if "teacher" in seen else None
        alone = teacher is not None and not teacher.flipped
        ranked.append(
            (not alone, not (mine.right_before and not mine.right_after), item.gold.prompt.hash, place)
        )
    taken: Counter[str] = Counter()
    told = 0
    for *_, place in sorted(ranked):
        item = perturbed[place]
        taken[item.perturbation.name] += 1
        if taken[item.perturbation.name] > WORST // 5:  # so that one perturbation doesn't fill the list
            continue
        told += 1
        if told > WORST:
            return
        yield {
            "perturbation": item.perturbation.name,
            "id": item.gold.prompt.id,
            "slice": item.gold.prompt.slice,
            "gold": dump_value(item.gold.value),
            "before": item.pair.before,
            "after": item.pair.after,
            "answers": {
                name: [_dumped(one.before), _dumped(one.after)]
                for name, some in answers.items()
                if (one := some[place]) is not None
            },
        }
