"""What the reader should hear of rows, labels and money before they are built on or spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from tutelage.config.teachers import EndpointConfig, TeacherConfig, sole_teachers
from tutelage.data import GoldSet
from tutelage.economics import Estimate, describe, price_of
from tutelage.progress import Progress
from tutelage.records import AnyGold, Prompt, Rejection
from tutelage.tasks import names_of
from tutelage.teachers import Teacher

_SHOWN = 5
_MENDS = {"not_utf8": "; save the file as UTF-8"}


def tell_rejected(rejections: Iterable[Rejection], progress: Progress, kept_in: str) -> None:
    """A line for each reason: how many rows, the first of them, and where all of them stand."""
    counts: Counter[str] = Counter()
    firsts: dict[str, Rejection] = {}
    for item in rejections:
        counts[str(item.reason)] += 1
        firsts.setdefault(str(item.reason), item)
    tell_reasons(counts, firsts, progress, kept_in)


def tell_reasons(
    counts: Mapping[str, int], firsts: Mapping[str, Rejection], progress: Progress, kept_in: str
) -> None:
    """`tell_rejected` of what was counted before."""
    for reason, count in sorted(counts.items()):
        row = f"row {firsts[reason].row}"
        first = f"{row}: {firsts[reason].detail}" if firsts[reason].detail else row
        progress.warn(f"{count:,} not taken, {reason} ({first}{_MENDS.get(reason, '')}){kept_in}")


def tell_labels(
    gold: GoldSet, labels: Mapping[str, str], separator: str, multi_label: bool, progress: Progress
) -> None:
    """Labels that look wrong, that sealed gold can't judge, or that nothing is learned of.

    Nothing is told where values are open, so that `labels` is empty.
    """
    if not labels:
        return
    joined = [label for label in labels if separator in label]
    if joined and not multi_label:
        progress.warn(
            f"{len(joined)} of {len(labels)} labels hold {separator!r} ({joined[0]!r}): if they are several "
            "labels joined, set task.multi_label to true"
        )
    if alike := _alike(labels):
        progress.warn(
            f"labels that differ in case, spaces or marks alone: {alike}. If they are one, mend the file: "
            "each counts as a label of its own"
        )
    missing = _without_examples(labels, gold.sealed)
    if missing:
        progress.warn(f"labels without a sealed example, so nothing will be known of them: {missing}")
    unlearned = _without_examples(labels, gold.training) if gold.training else ""
    if unlearned:
        progress.warn(f"labels without an example to learn from in gold's training part: {unlearned}")


def tell_bound(
    teacher: Teacher, prompts: Collection[Prompt], budget: float | None, progress: Progress
) -> None:
    """Where there is no budget, what asking `prompts` could cost at most."""
    if budget is not None or not teacher.paid:
        return
    most = sum(teacher.most_expensive([prompt]) for prompt in prompts)
    if most > 0:
        progress.warn(
            f"labelling.budget is not set; {len(prompts):,} prompts could cost ${most:,.2f} at the very "
            "most, a token counted for every byte"
        )


def tell_price(teacher: TeacherConfig, progress: Progress) -> list[str]:
    """Which listed prices calls are booked at, where the configuration gives none: one line each."""
    lines = []
    for one in sole_teachers(teacher):
        if not isinstance(one, EndpointConfig) or one.price is not None or one.free or not one.remote_host:
            continue
        if (price := price_of(one.remote_host, one.model)) is not None:
            lines.append(f"{one.model}: {describe(price)}")
            progress.note(f"price of {lines[-1]}")
    return lines


def tell_estimate(estimate: Estimate, budget: float | None, spent: float, progress: Progress) -> None:
    """What the rest will cost, and whether the budget bears it."""
    progress.note(f"{estimate.describe()}. Gold's answers are taken for typical of the rest")
    left = None if budget is None else budget - spent
    if left is None or estimate.high <= left:
        return
    surely = "will end" if estimate.low > left else "may end"
    progress.warn(
        f"labelling.budget {surely} before the transfer set does: ${max(left, 0.0):,.2f} of it is left. What "
        "is answered until then is kept. Mend: raise it, or lower traffic.limit"
    )


def _alike(labels: Iterable[str]) -> str:
    """Groups of labels that one would read as the same; "" where there are none."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        key = "".join(filter(str.isalnum, label.casefold()))
        groups.setdefault(key or label, []).append(label)
    found = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _without_examples(labels: Iterable[str], examples: Sequence[AnyGold]) -> str:
    counts = Counter(name for item in examples for name in names_of(item.value))
    names = [label for label in labels if not counts[label]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
