"""Whether a model that judges pairs of answers may be heard, and what it then says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.votes import SPLIT, JudgedPair, agreement, preference

PEOPLE, JUDGE = "people", "judge"
LEAST_PAIRS = 20  # that people decided: fewer say nothing of how far a judge agrees with them


def judge_agreement(people: Mapping[str, str], judge: Mapping[str, str], min_kappa: float) -> dict[str, Any]:
    """How far a judge agrees with people, and whether that is enough for it to be heard.

    `people` and `judge` are by pair of answers: an arm's name, `both`, `neither` or `split`. Pairs on which
    people are split are left out; a judge that says one thing of a pair and another of the same pair turned
    round is split, which agrees with nobody.

    JSON: `agreement` (as `votes.agreement` has it, None where no pair was decided by both), `steady` (the
    share of pairs of which the judge says the same turned round), `min_kappa`, `heard`, and `reason`. It is
    heard where the lower end of Cohen's kappa, at 95%, reaches `min_kappa` on `LEAST_PAIRS` or more.
    """
    shared = [key for key, said in people.items() if said != SPLIT and key in judge]
    found = agreement([{PEOPLE: people[key], JUDGE: judge[key]} for key in shared])
    steady = sum(said != SPLIT for said in judge.values()) / len(judge) if judge else None
    low = ((found or {}).get("kappa") or {}).get("low")
    heard = low is not None and low >= min_kappa and len(shared) >= LEAST_PAIRS
    return {
        "agreement": found,
        "steady": steady,
        "min_kappa": min_kappa,
        "heard": heard,
        "reason": _reason(found, len(shared), low, min_kappa),
    }


def _reason(found: Mapping[str, Any] | None, pairs: int, low: float | None, min_kappa: float) -> str:
    if pairs < LEAST_PAIRS:
        return (
            f"People and judge both decided {pairs} pairs; {LEAST_PAIRS} are the least that show how far "
            "they agree, so the judge isn't heard. Mend: vote on more"
        )
    kappa = (found or {}).get("kappa") or {}
    if low is None:
        return (
            f"On {pairs} pairs all votes are the same, so that chance alone would agree as well, and the "
            "judge isn't heard. Mend: vote on more"
        )
    said = f"Kappa with people is {kappa['estimate']:.2f} ({low:.2f} to {kappa['high']:.2f}) on {pairs} pairs"
    if low < min_kappa:
        return f"{said}, which isn't surely {min_kappa:.2f}: the judge isn't heard."
    return f"{said}, surely {min_kappa:.2f}: the judge is heard."


def judged_preference(
    said: Mapping[str, str], slices: Mapping[str, str], arms: tuple[str, str], *, pairs: int, differing: int
) -> dict[str, Any]:
    """`votes.preference` of a judge's word on each pair; `slices` has the slice of each pair."""
    judged: Sequence[JudgedPair] = [
        JudgedPair(slices[key], True, {JUDGE: word}) for key, word in said.items()
    ]
    return preference(judged, arms, pairs=pairs, differing=differing)
