"""Does it pay: the section of costs, break-even and what they hang on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt

Json = Mapping[str, Any]

_BARS = 8
_ROOM = 0.06  # of a bar's scale left free at both ends
_WHO = (
    ("teacher", "The teacher alone"),
    ("saving", "Saved"),
    ("cascade", "Student and teacher together"),
)


def section(metrics: Json) -> dict[str, Any] | None:
    """Costs in words and numbers; None where no traffic was given, so that none were worked out."""
    found = metrics.get("economics")
    if not found:
        return None
    quantities = found["quantities"]
    upfront = found["upfront"]
    return {
        "requests": quantities["requests"]["likely"] if "requests" in quantities else None,
        "numbers": [
            _number("Upfront", fmt.money(upfront["total"]["estimate"]), fmt.money_interval(upfront["total"])),
            _number(
                "Break-even", months(found["break_even"]), _months_interval(found["break_even"]["months"])
            ),
            _number(
                "Saved in the first year",
                fmt.money(found["first_year"]["estimate"]),
                fmt.money_interval(found["first_year"]),
            ),
        ],
        "sentence": _sentence(found["break_even"]),
        "per_1000": [
            {"name": text, **found["per_1000"][name]} for name, text in _WHO if name in found["per_1000"]
        ],
        "cascade_parts": _parts(found["cascade_parts"]),
        "upfront": _parts(upfront["parts"]),
        "tornado": _tornado(found),
        "quantities": [_quantity(item) for item in quantities.values()],
        "energy": _energy(found.get("energy") or {}),
    }


def _number(label: str, value: str, beside: str) -> dict[str, str]:
    return {"label": label, "value": value, "beside": beside}


def months(break_even: Json) -> str:
    """After how many months what was saved reaches what was paid upfront."""
    estimate = break_even["months"]["estimate"]
    if not fmt.is_number(estimate):
        return "never"
    return f"{fmt.decimal(estimate, 2)} months"


def _months_interval(interval: Json) -> str:
    low, high = interval.get("low"), interval.get("high")
    if not fmt.is_number(low):
        return "" if not fmt.is_number(interval.get("estimate")) else "to never"
    return f"{fmt.decimal(low, 2)} to {fmt.decimal(high, 2) if fmt.is_number(high) else 'never'}"


def _sentence(break_even: Json) -> str:
    never, needed = break_even.get("never"), break_even.get("monthly_needed")
    first = ""
    if fmt.is_number(never) and never > 0:
        first = f"In {fmt.percent(never, 0)} of what the ranges allow it never pays for itself. "
    if not fmt.is_number(needed):
        return first + "No traffic would make it pay within a year."
    return f"{first}Within a year it pays from about {fmt.count(float(f'{needed:.2g}'))} requests a month on."


def _parts(parts: Json) -> list[tuple[str, Any]]:
    return [(fmt.words(name), value) for name, value in parts.items()]


def _tornado(found: Json) -> dict[str, Any] | None:
    """Bars from the saving at a quantity's low end to that at its high end, in percent of the width."""
    bars = (found.get("tornado") or [])[:_BARS]
    base = found["first_year"]["estimate"]
    if not bars or not fmt.is_number(base):
        return None
    ends = [bar[end] for bar in bars for end in ("at_low", "at_high")] + [base]
    least, most = min(ends), max(ends)
    room = _ROOM * (most - least) or 1.0
    least, width = least - room, most - least + 2 * room

    def at(value: float) -> float:
        return round(float(100 * (value - least) / width), 2)

    rows = []
    for bar in bars:
        quantity = found["quantities"].get(bar["name"]) or {}
        low, high = sorted((bar["at_low"], bar["at_high"]))
        rows.append(
            {
                "name": quantity.get("text") or fmt.words(bar["name"]),
                "range": _range(quantity),
                "at_low": bar["at_low"],
                "at_high": bar["at_high"],
                "left": at(low),
                "right": round(100 - at(high), 2),
                "rising": bar["at_high"] >= bar["at_low"],
            }
        )
    zero = at(0.0) if least < 0 < least + width else None
    return {"rows": rows, "base": at(base), "zero": zero}


def _quantity(item: Json) -> dict[str, Any]:
    return {
        "text": item["text"],
        "likely": _amount(item["likely"], item["unit"]),
        "range": _range(item) if item["low"] != item["high"] else "",
        "origin": item["origin"],
        "source": item["source"],
    }


def _range(item: Json) -> str:
    if not item:
        return ""
    return f"{_amount(item['low'], item['unit'])} to {_amount(item['high'], item['unit'])}"


def _amount(value: Any, unit: str) -> str:
    if unit == "$":
        return fmt.money(value)
    if unit == "share":
        return fmt.percent(value)
    return f"{fmt.decimal(value)} {unit}".strip()


def _energy(energy: Json) -> list[dict[str, Any]]:
    rows = []
    for who, text in _WHO:
        spent = energy.get(f"{who}_wh")
        if spent:
            rows.append({"name": text, "wh": spent, "grams": energy.get(f"{who}_grams")})
    return rows
