"""Whether the verdict on gold says anything of the traffic: coverage, leaks, weighted accuracy."""

from __future__ import annotations

from collections.abc import Iterator

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.verdicts import LEVEL, Metrics, at_least, change
from tutelage.gates import Evidence, Verdict

_NAMED = 3
_UNLIKE = "share of the traffic that gold is too thin in"
_LEAKS = "gold among what was learned from"
_WEIGHTED = "accuracy difference to the teacher, weighted to the traffic"


def like_the_traffic(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The share of traffic in clusters that gold lacks or is thin in, against `max_unlike_share`.

    More than that is doubt, not failure: the student may be good there, and nobody knows.
    """
    limit, found = release.max_unlike_share, metrics.get("coverage")
    if limit is None:
        return
    if found is None:
        # The default asks nothing of who evaluates without traffic.
        if "max_unlike_share" in release.model_fields_set:
            yield _unmeasured(_UNLIKE, limit)
        return
    unlike, n = found["unlike"], found["texts"]["gold"]
    short = [entry for entry in found["clusters"] if entry["state"] != "covered"]
    reason = (
        f"{fmt.percent(unlike['estimate'])} of the traffic is in clusters that gold lacks or is thin in; "
        f"at most {fmt.percent(limit)} is acceptable."
    )
    if unlike["estimate"] <= limit:
        yield Evidence(_UNLIKE, Verdict.PASS, reason, unlike["estimate"], limit=limit, n=n)
        return
    named = ", ".join(f"“{entry['name']}”" for entry in short[:_NAMED])
    more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
    reason += f" Mend: label about {fmt.count(unlike['needed'])} prompts of {named}{more}."
    yield Evidence(
        _UNLIKE,
        Verdict.UNDECIDED,
        reason,
        unlike["estimate"],
        limit=limit,
        n=n,
        more_needed=unlike["needed"],
    )


def free_of_leaks(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """No example of gold was learned from or shown to the teacher; near ones no oftener than in the traffic.

    Near duplicates are looked for where `traffic.near_duplicate` is lax. Where requests are often nearly the
    same, gold's are too by right: it fails where gold has significantly more of them than fresh traffic.
    """
    found = metrics.get("coverage")
    if found is None:
        return
    leakage = found["leakage"]
    n, known, near = leakage["n_gold"], leakage["known"], leakage["near"]
    if known:
        kinds = ", ".join(
            f"{fmt.count(one['pairs'])} {one['kind']} ({one['part']})" for one in leakage["left"]
        )
        reason = (
            f"{fmt.count(known)} of {fmt.count(n)} examples of gold were learned from or shown to the "
            f"teacher: {kinds}. What they show of the student is worth nothing. Mend: lower "
            "traffic.near_duplicate, or take them out of the instruction (prompts/coverage.json lists them)"
        )
        yield Evidence(_LEAKS, Verdict.FAIL, reason, known / n, limit=0.0, n=n)
    elif near is not None and near["p"] <= LEVEL:
        reason = (
            f"{fmt.percent(near['gold'])} of gold has a near duplicate among what was learned from, and "
            f"{fmt.percent(near['traffic'])} of fresh traffic (p {near['p']:.2g}), so it flatters. "
            f"Mend: lower traffic.near_duplicate, which is {leakage['cleaned_at']:g}"
        )
        yield Evidence(_LEAKS, Verdict.FAIL, reason, near["gold"], limit=near["traffic"], n=n)
    else:
        reason = "No example of gold was learned from or shown to the teacher"
        if near is not None:
            reason += ", and near duplicates are no commoner in gold than in fresh traffic"
        yield Evidence(_LEAKS, Verdict.PASS, f"{reason}.", 0.0, limit=0.0, n=n)


def weighted_loss(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The loss against the teacher on gold weighted to the traffic, against `max_weighted_loss`.

    It passes only where all weights there are (by cluster, density ratio and label) say so and can be relied
    on, and fails where all do; shown is the one whose interval reaches lowest.
    """
    limit = release.max_weighted_loss
    if limit is None:
        return
    weighted = (metrics.get("coverage") or {}).get("weighted", {})
    found = [
        (pair, by, name)
        for name, by in weighted.items()
        if by is not None
        for pair in by["comparisons"]
        if (pair["a"], pair["b"]) == ("student", "teacher")
    ]
    if not found:
        yield _unmeasured(_WEIGHTED, limit)
        return
    pair, by, name = min(found, key=lambda one: float(one[0]["low"]))
    estimate, low, high = pair["estimate"], pair["low"], pair["high"]
    verdicts = {at_least(one["low"], one["high"], -limit) for one, _, _ in found}
    doubts = list(dict.fromkeys(doubt for _, each, _ in found for doubt in each["doubts"]))
    verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.UNDECIDED
    if doubts and verdict is Verdict.PASS:
        verdict = Verdict.UNDECIDED
    reason = (
        f"Weighted to the traffic (by {name}), student {change(estimate, 'the teacher')} (95% interval "
        f"{fmt.points_interval(pair)}); a loss of at most {fmt.points(limit, plus=False)} is acceptable."
    )
    if doubts:
        reason += f" The weights can't be relied on: {'; '.join(doubts)}."
    yield Evidence(_WEIGHTED, verdict, reason, estimate, low, high, -limit, by["n"])


def _unmeasured(term: str, limit: float) -> Evidence:
    reason = f"The {term} wasn't measured. Mend: run `tutelage coverage`, then `tutelage evaluate`"
    return Evidence(term, Verdict.UNDECIDED, reason, limit=limit)
