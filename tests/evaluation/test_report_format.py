"""Numbers as the report writes them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation import _report_format as fmt


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (fmt.percent(0.9054), "90.5%"),
        (fmt.percent(1), "100.0%"),
        (fmt.percent(-0.0001), "0.0%"),
        (fmt.percent_interval({"low": 0.887, "high": 0.921}), "88.7–92.1%"),
        (fmt.percent_interval(None), "–"),
        (fmt.points(-0.004), "−0.4 points"),
        (fmt.points(0.019), "+1.9 points"),
        (fmt.points(-0.0002), "0.0 points"),
        (fmt.points(0.03, plus=False), "3.0 points"),
        (fmt.points_interval({"low": -0.013, "high": 0.005}), "−1.3 to +0.5"),
        (fmt.p_value(0.0312), "p = 0.03"),
        (fmt.p_value(0.0042), "p = 0.004"),
        (fmt.p_value(0.0000001), "p < 0.001"),
        (fmt.p_value(1.0), "p = 1.00"),
        (fmt.count(10003), "10,003"),
        (fmt.plural(1, "term"), "1 term"),
        (fmt.plural(6, "term"), "6 terms"),
        (fmt.money(12.4), "$12.40"),
        (fmt.money(1234.6), "$1,235"),
        (fmt.money(-5311.7), "−$5,312"),
        (fmt.money(-0.0012), "−$0.0012"),
        (fmt.money_interval({"low": -1200, "high": 12}), "−$1,200 to $12.00"),
        (
            fmt.answer({"order": "A1", "tags": ["x", "y"], "note": None, "more": []}),
            "order: A1, tags: x + y, note: –, more: none",
        ),
        (fmt.money(0.00124), "$0.0012"),
        (fmt.money(0), "$0.00"),
        (fmt.said('["a", "b"]'), "a + b"),
        (fmt.said("I can't."), "I can't."),
        (fmt.said(None), "–"),
        (fmt.milliseconds(0.4234), "0.42 ms"),
        (fmt.milliseconds(51.2), "51 ms"),
        (fmt.milliseconds(1240), "1.24 s"),
        (fmt.megabytes(17.3), "17 MB"),
        (fmt.megabytes(1400), "1.4 GB"),
        (fmt.large(22_700_000), "22.7M"),
        (fmt.large(812), "812"),
        (fmt.times(24.04), "24×"),
        (fmt.times(5.25), "5.2×"),
        (fmt.seconds(42.2), "42 s"),
        (fmt.seconds(1184.2), "19 min 44 s"),
        (fmt.seconds(7800), "2 h 10 min"),
        (fmt.decimal(0.0003), "0.0003"),
        (fmt.decimal(1402), "1,402"),
        (fmt.decimal(3e-9), "3.0e−09"),
        (fmt.answer(["a", "b"]), "a + b"),
        (fmt.answer([]), "no label"),
        (fmt.answer(None), "–"),
        (fmt.words("stopped_early"), "Stopped early"),
    ],
)
def test_numbers_in_words(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("term", "unit"),
    [
        ("accuracy loss against the teacher", "points"),
        ("student minus teacher", "points"),
        ("accuracy difference to the teacher, slice ms size ece", "points"),
        ("accuracy", "percent"),
        ("latency p95 (ms)", "ms"),
        ("size on disk (MB)", "MB"),
        ("expected calibration error", "error"),
        ("running cost of 1,000 requests", "dollars"),
        ("running cost as a share of the teacher's", "percent"),
        ("gold among what was learned from", "percent"),
        ("over-refusal difference to the teacher", "points"),
        ("gold examples", "plain"),
    ],
)
def test_a_terms_unit_is_read_from_its_words(term: str, unit: str) -> None:
    assert fmt.unit_of(term) == unit


@pytest.mark.parametrize(
    ("item", "unit", "expected"),
    [
        ({"low": 0.887, "high": 0.92}, "percent", "88.7–92.0%"),
        ({"low": -0.002, "high": 0.024}, "points", "−0.2 to 2.4"),
        ({"low": 0.022, "high": 0.047}, "plain", "0.022 to 0.047"),
        ({"low": 0.88, "high": None}, "percent", "at least 88.0%"),
        ({"low": None, "high": 3.4}, "ms", "at most 3.4 ms"),
        ({}, "percent", "–"),
    ],
)
def test_an_interval_in_its_terms_unit(item: dict[str, Any], unit: str, expected: str) -> None:
    assert fmt.interval_in_unit(item, unit) == expected


WRITERS = [
    *(fmt.percent, fmt.points, fmt.p_value, fmt.count, fmt.money, fmt.milliseconds, fmt.megabytes, fmt.large),
    *(fmt.times, fmt.seconds, fmt.decimal, fmt.fixed),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "", True, object()])
def test_what_is_no_number_is_a_dash(write: Any, value: Any) -> None:
    assert write(value) == fmt.ABSENT


@given(value=st.floats(min_value=1e-5, max_value=1e12))
def test_a_plain_number_reads_back_within_its_digits(value: float) -> None:
    assert float(fmt.decimal(value).replace(",", "")) == pytest.approx(value, rel=6e-3)


@given(value=st.floats(min_value=-1, max_value=1))
def test_a_difference_has_one_sign_and_none_on_zero(value: float) -> None:
    text = fmt.points(value)
    assert re.fullmatch(r"(0\.0|[+−]\d+\.\d) points", text)
    assert abs(float(text.split()[0].replace("−", "-")) - 100 * value) <= 0.05 + 1e-9
