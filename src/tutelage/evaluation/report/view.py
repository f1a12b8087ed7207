"""What the report says: the verdict in a sentence, its headlines, the gate's terms, and the facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.report import (
    coverage,
    economics,
    errors,
    figures,
    measures,
    robustness,
    safety,
    votes,
)
from tutelage.gates import Verdict

Json = Mapping[str, Any]

_STATES = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.UNDECIDED: "undecided"}
_LONGEST_LIST = 8
# The term whose limit is drawn beside the difference: not that of a slice, of flips or of refusals.
_OF_THE_WHOLE = re.compile(r"(accuracy )?(difference to|loss against) the teacher(?!, )", re.IGNORECASE)
_SECTIONS = {
    "errors": errors.section,
    "measures": measures.section,
    "robustness": robustness.section,
    "safety": safety.section,
    "coverage": coverage.section,
    "votes": votes.section,
    "economics": economics.section,
}
_REMARKS = ("multiplicity", "critical_slices")  # facts of a release decision that its terms are read with


def build_view(metrics: Json, decision: Json, context: Json) -> dict[str, Any]:
    """All that the templates show, in words and in the numbers that the charts draw.

    Sections for which nothing was given are None or empty, and the templates leave them out.
    """
    margin = _margin(decision)
    sections = {name: section(metrics) for name, section in _SECTIONS.items()}
    return {
        **sections,
        "programme": context.get("programme"),
        "created": _moment(context.get("created")),
        "version": context.get("version"),
        "verdict": _verdict(decision),
        "lead": _lead(metrics, _control_source(context)),
        "scale": figures.scale(metrics, margin),
        "headlines": _headlines(metrics, context),
        "evidence": [_term(item) for item in decision.get("evidence") or ()],
        "remarks": [decision[key] for key in _REMARKS if isinstance(decision.get(key), str)],
        "confidence": fmt.percent(metrics.get("confidence", 0.95), 0),
        "multi_label": bool((metrics.get("task") or {}).get("multi_label")),
        "arms": figures.arms_of(metrics),
        "accuracy": figures.accuracy_rows(metrics),
        "differences": figures.difference_rows(metrics),
        "margin": margin,
        "gap_recovered": metrics.get("gap_recovered"),
        "retention": metrics.get("retention"),
        "calibration": figures.calibration(metrics),
        "labels": figures.label_rows(metrics),
        "tradeoff": figures.tradeoff(metrics),
        "worst": figures.worst(metrics),
        "facts": _facts(metrics, decision, context),
        "charts": {
            **figures.charts(metrics, margin),
            "shares": {
                "accuracy": figures.accuracy_chart(metrics),
                **{name: found["chart"] for name, found in sections.items() if found and "chart" in found},
            },
        },
    }


def _moment(created: Any) -> str | None:
    if not isinstance(created, str):
        return None
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = "" if moment.tzinfo is None else " UTC"
    moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"


def _margin(decision: Json) -> float | None:
    """The largest loss against the teacher that the gate accepts, as a difference: below zero."""
    for item in decision.get("evidence") or ():
        term = str(item.get("term", ""))
        if _OF_THE_WHOLE.match(term) and fmt.is_number(item.get("limit")):
            return -abs(float(item["limit"]))
    return None


def _verdict(decision: Json) -> dict[str, Any]:
    evidence = decision.get("evidence") or ()
    verdicts = [item.get("verdict") for item in evidence]
    gate, total = decision.get("gate", "release"), len(verdicts)
    terms = f"of the {total} terms" if total > 1 else "of its one term"
    failed, open_ = verdicts.count(Verdict.FAIL), verdicts.count(Verdict.UNDECIDED)
    word = str(decision.get("verdict") or Verdict.UNDECIDED)
    sentences = {
        Verdict.PASS: f"The student meets every term of the {gate} gate.",
        Verdict.FAIL: f"The student fails {failed} {terms} of the {gate} gate.",
        Verdict.UNDECIDED: f"The gold set can’t decide {open_} {terms} of the {gate} gate.",
    }
    state = Verdict(word) if word in set(Verdict) else Verdict.UNDECIDED
    sentence = sentences[state] if total else f"The {gate} gate has seen no evidence."
    needed = max((item["more_needed"] for item in evidence if item.get("more_needed")), default=None)
    known = any(fmt.count(needed) in str(item.get("reason", "")) for item in evidence)
    return {
        "state": _STATES[state],
        "word": str(state),
        "sentence": sentence,
        "against": [
            {"state": _STATES.get(item.get("verdict", ""), "undecided"), "reason": item.get("reason", "")}
            for item in evidence
            if item.get("verdict") != Verdict.PASS
        ],
        "needed": f"About {fmt.count(needed)} more gold examples would probably decide it."
        if needed and not failed and not known
        else None,
    }


def _control_source(context: Json) -> str | None:
    """What the control learned from, by `_CONTROLS`; None where not recorded."""
    control = (context.get("student") or {}).get("control")
    source = control.get("labels") if isinstance(control, Mapping) else None
    return source if isinstance(source, str) else None


def _lead(metrics: Json, control_source: str | None) -> list[str]:
    student = metrics["arms"].get("student")
    if not student:
        return []
    accuracy = student["accuracy"]
    first = (
        f"On {fmt.plural(metrics['n'], 'example')} that people labelled and training never saw, the student "
        f"is right {fmt.percent(accuracy['estimate'])} of the time ({fmt.percent_interval(accuracy)})"
    )
    against = {item["other"]: item for item in figures.comparisons(metrics)}
    if "teacher" in against:
        interval = fmt.points_interval(against["teacher"]["difference"])
        first += f", {_apart(against['teacher'])} the teacher ({interval})"
    worth = [_worth(against["control"], control_source)] if "control" in against else []
    return [f"{first}.", *worth]


def _apart(comparison: Json) -> str:
    difference = comparison["difference"]
    estimate = difference["estimate"]
    if not fmt.is_number(estimate):
        return "not compared with"
    side = "above" if estimate > 0 else "below"
    size = fmt.points(abs(estimate), plus=False)
    return "level with" if size.startswith("0.0 ") else f"{size} {side}"


# By what the control arm learned from: what the student learned beyond that, and what the control is.
_LEARNED = {
    "teacher": "learning the teacher’s probabilities",
    "answers": "learning the teacher’s reasons",
}
_CONTROLS = {
    "gold": "trained on people’s labels alone",
    "teacher": "trained on the teacher’s hard labels alone",
    "answers": "trained on the teacher’s answers alone",
    "none": "before any training",
}


def _worth(comparison: Json, source: str | None) -> str:
    """Whether distillation helped, said plainly."""
    difference = comparison["difference"]
    low, high = difference.get("low"), difference.get("high")
    what = _LEARNED.get(source or "", "learning from the teacher")
    gain, interval = fmt.points(difference["estimate"]), fmt.points_interval(difference)
    same = f"the same student {_CONTROLS.get(source or '', 'trained on hard labels alone')}"
    if fmt.is_number(low) and low > 0:
        return f"{fmt.opening(what)} helped: {gain} over {same} ({interval})."
    if fmt.is_number(high) and high < 0:
        return f"{fmt.opening(what)} did harm: {gain} against {same} ({interval})."
    return (
        f"Whether {what} helped can’t be told here: {gain} against {same}, "
        f"and the interval ({interval}) holds zero."
    )


def _headlines(metrics: Json, context: Json) -> list[dict[str, Any]]:
    return [_accuracy_headline(metrics), _speed_headline(metrics), _money_headline(metrics, context)]


def _accuracy_headline(metrics: Json) -> dict[str, Any]:
    arms = metrics["arms"]
    student, teacher = arms.get("student"), arms.get("teacher")
    accuracy = student["accuracy"] if student else {}
    lines = []
    if teacher:
        lines.append(
            f"Teacher {fmt.percent(teacher['accuracy']['estimate'])} "
            f"({fmt.percent_interval(teacher['accuracy'])})"
        )
    for item in figures.comparisons(metrics):
        if item["other"] == "teacher":
            lines.append(
                f"Difference {fmt.points(item['difference']['estimate'])} "
                f"({fmt.points_interval(item['difference'])})"
            )
    return {
        "label": "Student accuracy",
        "value": fmt.percent(accuracy.get("estimate")),
        "beside": fmt.percent_interval(accuracy),
        "lines": lines,
    }


def _speed_headline(metrics: Json) -> dict[str, Any]:
    prints = {name: arm.get("footprint") or {} for name, arm in metrics["arms"].items()}
    ours, theirs = prints.get("student", {}), prints.get("teacher", {})
    speed = _ratio(theirs.get("latency_p50_ms"), ours.get("latency_p50_ms"))
    size = _ratio(theirs.get("size_mb"), ours.get("size_mb"))
    mine, size_text = fmt.milliseconds(ours.get("latency_p50_ms")), fmt.megabytes(ours.get("size_mb"))
    if speed is None and size is None:
        return {
            "label": "Speed and size",
            "value": mine,
            "beside": size_text,
            "lines": [
                "Against the teacher: –",
                "Its latency and size weren’t measured here, as of a model behind an API"
                if ours
                else "No footprint was measured",
            ],
        }
    return {
        "label": "Against the teacher",
        "value": fmt.times(1 / speed if speed and speed < 1 else speed),
        "beside": "" if speed is None else "faster" if speed >= 1 else "slower",
        "lines": [
            f"{mine} instead of {fmt.milliseconds(theirs.get('latency_p50_ms'))} at the median",
            f"{size_text} instead of {fmt.megabytes(theirs.get('size_mb'))}: {_size_words(size)}",
        ],
    }


def _size_words(ratio: float | None) -> str:
    if ratio is None:
        return fmt.ABSENT
    return f"{fmt.times(ratio)} smaller" if ratio >= 1 else f"{fmt.times(1 / ratio)} larger"


def _ratio(over: Any, under: Any) -> float | None:
    return over / under if fmt.is_number(over) and fmt.is_number(under) and under > 0 else None


def _money_headline(metrics: Json, context: Json) -> dict[str, Any]:
    """What is saved, where traffic was given; else what the teacher has cost."""
    spent, found = _cost_headline(context), metrics.get("economics")
    if not found:
        return spent
    running = found["per_1000"]
    return {
        "label": "Saved in the first year",
        "value": fmt.money(found["first_year"]["estimate"]),
        "beside": "",
        "lines": [
            f"Between {fmt.money(found['first_year']['low'])} and {fmt.money(found['first_year']['high'])}",
            f"Break-even: {economics.months(found['break_even'])}",
            f"1,000 requests: {fmt.money(running['cascade']['estimate'])} instead of "
            f"{fmt.money(running['teacher']['estimate'])}",
        ],
    }


def _cost_headline(context: Json) -> dict[str, Any]:
    labelling = context.get("labelling") or {}
    cost, answers = labelling.get("cost"), labelling.get("answers")
    lines = [f"{fmt.plural(int(answers), 'answer')} asked for"] if fmt.is_number(answers) else []
    if not fmt.is_number(cost):
        lines.append("No cost was recorded")
    elif cost == 0:
        lines.append("The teacher ran on this machine, or without a price")
    elif answers:
        lines.append(f"{fmt.money(cost / answers)} an answer")
    return {"label": "Spent on the teacher", "value": fmt.money(cost), "beside": "", "lines": lines}


def _term(item: Json) -> dict[str, Any]:
    unit = fmt.unit_of(str(item.get("term", "")))
    return {
        "term": item.get("term", ""),
        "estimate": fmt.in_unit(item.get("estimate"), unit),
        "interval": fmt.interval_in_unit(item, unit),
        "limit": fmt.in_unit(item.get("limit"), unit),
        "n": fmt.count(item.get("n")),
        "state": _STATES.get(item.get("verdict", ""), "undecided"),
        "verdict": item.get("verdict", ""),
        "reason": item.get("reason", ""),
        "gauge": figures.gauge(item),
    }


def _facts(metrics: Json, decision: Json, context: Json) -> list[dict[str, Any]]:
    """Cards of facts, each with rows of (name, text) and tables; those without content are left out."""
    teacher = dict(context.get("teacher") or {})
    rights = {key: value for key, value in (teacher.pop("rights", None) or {}).items() if key != "gate"}
    allowed = {str(item.get("term")): item.get("reason") for item in rights.pop("evidence", None) or ()}
    labelling = dict(context.get("labelling") or {})
    statuses = labelling.pop("by_status", None) or {}
    run = dict(context.get("student") or {})
    arms = {name: run.pop(name) for name in ("student", "control") if isinstance(run.get(name), Mapping)}
    told = {"gate", "verdict", "evidence", *_REMARKS}
    more = {key: value for key, value in decision.items() if key not in told}
    cards = [
        sheet("Gold set and its seal", context.get("seal") or {}, {"examples_evaluated": metrics.get("n")}),
        sheet("Teacher", teacher),
        sheet("Rights", rights, allowed),
        sheet("Duties", {"duties": context["duties"]} if context.get("duties") else {}),
        sheet("Labelling", labelling, statuses),
        sheet("Rows that were not taken", context.get("rejected") or {}),
        sheet("Training run", run),
        *(sheet(f"{fmt.words(name)}: recipe and record", content) for name, content in arms.items()),
        sheet("Decision", more),
    ]
    return [card for card in cards if card["rows"] or card["tables"]]


def sheet(title: str, *contents: Json) -> dict[str, Any]:
    """Nested JSON as rows and tables: `{"record": {"steps": 5}}` → the row Record · Steps: 5."""
    card: dict[str, Any] = {"title": title, "rows": [], "tables": []}
    for content in contents:
        _spread(card, content, ())
    return card


def _spread(card: dict[str, Any], content: Any, path: tuple[str, ...]) -> None:
    name = " · ".join(fmt.words(part) for part in path)
    if isinstance(content, Mapping):
        for key, value in content.items():
            _spread(card, value, (*path, str(key)))
    elif isinstance(content, Sequence) and not isinstance(content, str):
        if content and all(isinstance(item, Mapping) for item in content):
            card["tables"].append(_table(name, content))
        else:
            card["rows"].append((name, _listed(content)))
    elif content is not None:
        card["rows"].append((name, _scalar(content, path[-1])))


def _table(name: str, items: Sequence[Json]) -> dict[str, Any]:
    columns = list(dict.fromkeys(key for item in items for key, value in item.items() if value is not None))
    cells = [[_scalar(item.get(column), str(column)) for column in columns] for item in items]
    return {"name": name, "columns": [fmt.words(str(column)) for column in columns], "cells": cells}


def _listed(items: Sequence[Any]) -> str:
    shown = ", ".join(_scalar(item, "") for item in items[:_LONGEST_LIST])
    return f"{shown} … ({len(items)} in all)" if len(items) > _LONGEST_LIST else shown or "none"


def _scalar(value: Any, key: str) -> str:
    if value is None:
        return fmt.ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not fmt.is_number(value):
        return _listed(value) if isinstance(value, list | tuple) else str(value)
    if key in {"seconds", "duration"}:
        return fmt.seconds(value)
    if "cost" in key or "budget" in key:
        return fmt.money(value)
    return str(value) if key in {"seed", "year"} else fmt.decimal(value)
