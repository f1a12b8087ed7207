"""What people prefer: the section of blind votes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt

Json = Mapping[str, Any]

_LEVEL = 0.05
_LONGEST_TEXT = 400


def section(metrics: Json) -> dict[str, Any] | None:
    """The votes in words and numbers; None where nobody voted on these answers."""
    found = metrics.get("votes")
    if not found or not found["pairs"]["votes"]:
        return None
    student, other = found["arms"]
    outcomes = found["outcomes"]
    order = (
        (student, "student"),
        ("both", "both"),
        ("split", "split"),
        ("neither", "neither"),
        (other, other),
    )
    return {
        **found,
        "student": student,
        "other": other,
        "sentences": [*_sentences(found), *_judge(metrics.get("judge"))],
        "stack": [{"kind": kind, "n": outcomes[name]} for name, kind in order if outcomes.get(name)],
        "agreement": _agreement(found.get("agreement")),
        "examples": [_example(item, found["arms"]) for item in found.get("examples") or ()],
        "people": len(found["reviewers"]),
    }


def _sentences(found: Json) -> list[str]:
    sentences = [*_preferred(found), *_not_worse(found)]
    if found["agreeing"]["judged"]:
        wrong = found["agreeing"]["wrong"]
        sentences.append(
            f"Where both say the same, {fmt.percent(wrong['estimate'])} was found wrong "
            f"({fmt.percent_interval(wrong)} of {fmt.plural(wrong['n'], 'pair')})."
        )
    if found.get("against_gold"):
        where = fmt.plural(found["against_gold"], "pair")
        sentences.append(f"In {where} they prefer an answer to gold’s own: gold may be wrong there.")
    return sentences


def _preferred(found: Json) -> list[str]:
    share = found["preferred"]
    if not share:
        return []
    return [
        f"Without knowing whose answer was whose, people preferred the {found['arms'][0]}’s in "
        f"{fmt.percent(share['estimate'])} of the {fmt.plural(share['n'], 'pair')} that either won "
        f"({fmt.percent_interval(share)}; {fmt.p_value(found['p_value'])}). {_conclusion(found)}"
    ]


def _not_worse(found: Json) -> list[str]:
    share, pairs = found["not_worse"], found["pairs"]
    if not share:
        return []
    student, other = found["arms"]
    judged, differ, everything = (fmt.count(pairs[name]) for name in ("judged", "differ", "all"))
    return [
        f"They judged {judged} of the {differ} pairs in which the two say different things, out of "
        f"{everything}. In {fmt.percent(share['estimate'])} of them the {student}’s answer was no worse than "
        f"the {other}’s ({fmt.percent_interval(share)})."
    ]


def _judge(found: Json | None) -> list[str]:
    """What a model that voted too says, or why it isn't heard."""
    if not found:
        return []
    steady = f" It says the same of {fmt.percent(found['steady'])} of pairs turned round."
    first = f"A model judged the pairs too. {found['reason']}{steady if found['steady'] is not None else ''}"
    judged = found.get("preference")
    if not judged or not judged["preferred"]:
        return [first]
    share, student = judged["preferred"], judged["arms"][0]
    return [
        f"{first} On {fmt.plural(judged['pairs']['judged'], 'pair')} of different answers it prefers the "
        f"{student}’s in {fmt.percent(share['estimate'])} of the {fmt.plural(share['n'], 'pair')} that "
        f"either won ({fmt.percent_interval(share)})."
    ]


def _conclusion(found: Json) -> str:
    if found["p_value"] >= _LEVEL:
        return "Chance alone could give as much: no preference is shown."
    student, other = found["arms"]
    return f"They prefer the {student if found['preferred']['estimate'] > 0.5 else other}’s answers."


def _agreement(found: Json | None) -> dict[str, Any] | None:
    if not found:
        return None
    alpha, kappa = found["alpha"], found.get("kappa")
    return {
        "units": found["units"],
        "same": found["same"],
        "figures": [
            (name, value["estimate"], value)
            for name, value in (("Krippendorff’s alpha", alpha), ("Cohen’s kappa", kappa))
            if value
        ],
    }


def _example(item: Json, arms: list[str]) -> dict[str, Any]:
    text = str(item["text"])
    return {
        "id": item["id"],
        "slice": item["slice"],
        "text": text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …",
        "gold": None if item["gold"] is None else fmt.said(item["gold"]),
        "answers": [(arm, fmt.said(item[arm]), item["outcome"] == arm) for arm in arms],
        "outcome": item["outcome"],
        "comments": item["comments"],
    }
