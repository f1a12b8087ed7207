"""Numbers as people read them: 90.5%, −0.4 points, p = 0.03. What is absent is an en dash."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

ABSENT = "–"
_MINUS = "−"
_NAMES = {
    "n": "Examples",
    "sha256": "SHA-256",
    "ok": "OK",
    "id": "Id",
    "seconds": "Time",
    "ece": "ECE",
    "f1": "F1",
}
_UNITS = (  # the first that fits: a slice may be named in a term, and its name may hold anything
    (re.compile(r"loss|difference|\bgap\b|\bdrop\b|points|minus|−", re.I), "points"),
    (re.compile(r"\bms\b|latency|millisecond", re.I), "ms"),
    (re.compile(r"\bmb\b|\bsize\b|megabyte", re.I), "MB"),
    (re.compile(r"\bece\b|calibration|brier", re.I), "error"),
    (re.compile(r"\bcost of\b|dollar", re.I), "dollars"),
    (
        re.compile(r"accuracy|retention|share|gold among|f1|recall|precision|agreement|\brate\b|%", re.I),
        "percent",
    ),
)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number (a bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: Any, places: int = 1) -> str:
    """A share as a percentage: 0.905 → 90.5%."""
    return _signed(f"{100 * value:.{places}f}%") if is_number(value) else ABSENT


def points(value: Any, *, plus: bool = True) -> str:
    """A difference of shares: −0.004 → −0.4 points."""
    return f"{_bare_points(value, plus)} points" if is_number(value) else ABSENT


def _bare_points(value: float, plus: bool = True) -> str:
    return _signed(f"{100 * value:+.1f}" if plus else f"{100 * value:.1f}")


def _signed(text: str) -> str:
    """A typographic minus, and no sign on a zero."""
    if not re.search(r"[1-9]", text):
        return text.lstrip("+-")
    return text.replace("-", _MINUS)


def percent_interval(item: Mapping[str, Any] | None) -> str:
    """`{"low", "high"}` as 88.7–92.1%."""
    low, high = _ends(item)
    return f"{100 * low:.1f}–{100 * high:.1f}%" if is_number(low) and is_number(high) else ABSENT


def points_interval(item: Mapping[str, Any] | None) -> str:
    """`{"low", "high"}` as −1.3 to +0.5."""
    low, high = _ends(item)
    if not (is_number(low) and is_number(high)):
        return ABSENT
    return f"{_bare_points(low)} to {_bare_points(high)}"


def _ends(item: Mapping[str, Any] | None) -> tuple[Any, Any]:
    return (item.get("low"), item.get("high")) if item else (None, None)


def count(value: Any) -> str:
    """A whole number with thousands apart: 10,003."""
    return f"{round(value):,}" if is_number(value) else ABSENT


def decimal(value: Any, digits: int = 3) -> str:
    """A plain number to so many significant digits, thousands apart, never in exponents above 1e-6."""
    if not is_number(value):
        return ABSENT
    if value == 0 or float(value).is_integer():
        return _signed(f"{value:,.0f}")
    if abs(value) < 1e-6:
        return _signed(f"{value:.1e}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return _signed(text.rstrip("0").rstrip(".") if "." in text else text)


def fixed(value: Any, places: int = 3) -> str:
    """A plain number to so many places: 0.031."""
    return _signed(f"{value:.{places}f}") if is_number(value) else ABSENT


def p_value(value: Any) -> str:
    """p = 0.03, p = 0.004, p < 0.001."""
    if not is_number(value):
        return ABSENT
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.01 else f"p = {value:.2f}"


def money(value: Any) -> str:
    """US dollars; small sums keep two significant digits, large ones no cents: $12.40, $0.0012, −$5,312."""
    if not is_number(value):
        return ABSENT
    size = abs(value)
    places = 1 - math.floor(math.log10(size)) if 0 < size < 0.01 else 2 if size < 1_000 else 0
    return f"{_MINUS if value < 0 else ''}${size:,.{places}f}"


def money_interval(item: Mapping[str, Any] | None) -> str:
    """`{"low", "high"}` as $120.00 to $340.00."""
    low, high = _ends(item)
    return f"{money(low)} to {money(high)}" if is_number(low) and is_number(high) else ABSENT


def milliseconds(value: Any) -> str:
    """0.42 ms, 3.1 ms, 51 ms, 1.24 s."""
    if not is_number(value):
        return ABSENT
    return f"{decimal(value / 1000)} s" if value >= 1000 else f"{decimal(value, 2 if value < 100 else 3)} ms"


def megabytes(value: Any) -> str:
    """17 MB, 1.4 GB."""
    if not is_number(value):
        return ABSENT
    return (
        f"{decimal(value / 1000, 2)} GB" if value >= 1000 else f"{decimal(value, 2 if value < 100 else 3)} MB"
    )


def large(value: Any) -> str:
    """A count in short: 22.7M."""
    if not is_number(value):
        return ABSENT
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{decimal(value / size)}{letter}"
    return count(value)


def times(value: Any) -> str:
    """A ratio: 24×, 5.2×."""
    return f"{decimal(value, 2 if value < 100 else 3)}×" if is_number(value) else ABSENT


def seconds(value: Any) -> str:
    """42 s, 3 min 5 s, 2 h 10 min."""
    if not is_number(value):
        return ABSENT
    if value < 60:
        return f"{decimal(value, 2)} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def answer(value: Any) -> str:
    """A label, or several; an empty set of labels says so."""
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        parts = (f"{name}: {'none' if part == [] else answer(part)}" for name, part in value.items())
        return ", ".join(parts) or "empty record"
    if isinstance(value, Sequence):
        return " + ".join(str(name) for name in value) or "no label"
    return str(value)


def said(text: Any) -> str:
    """A value's JSON as `answer` puts it; text that is no JSON, such as a refusal, as it stands."""
    try:
        return answer(json.loads(text))
    except (TypeError, ValueError):
        return answer(text)


def plural(number: int, one: str, many: str | None = None) -> str:
    """1 term, 6 terms."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def unit_of(term: str) -> str:
    """The unit of a gate's term, read from its words: ms, MB, points, percent, error, dollars or plain."""
    return next((unit for pattern, unit in _UNITS if pattern.search(term)), "plain")


def in_unit(value: Any, unit: str) -> str:
    """One number of a term."""
    if unit == "points":
        return points(value, plus=False)
    writers = {"ms": milliseconds, "MB": megabytes, "percent": percent, "error": fixed, "dollars": money}
    return writers.get(unit, decimal)(value)


def interval_in_unit(item: Mapping[str, Any], unit: str) -> str:
    """The interval of a term; where only one end is known, that one."""
    low, high = _ends(item)
    if is_number(low) and is_number(high):
        if unit == "percent":
            return percent_interval(item)
        if unit == "points":
            return f"{_bare_points(low, False)} to {_bare_points(high, False)}"
        return f"{in_unit(low, unit)} to {in_unit(high, unit)}"
    if is_number(low):
        return f"at least {in_unit(low, unit)}"
    return f"at most {in_unit(high, unit)}" if is_number(high) else ABSENT


def opening(text: Any) -> str:
    """With a capital first letter."""
    return f"{text}"[:1].upper() + f"{text}"[1:]


def words(key: str) -> str:
    """A key as words: `stopped_early` → Stopped early."""
    if key.lower() in _NAMES:
        return _NAMES[key.lower()]
    return opening(key.replace("_", " ").replace("-", " ").strip())
