from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.times import read_time

NOON = 1_750_075_200.0  # 2025-06-16 12:00 UTC


@pytest.mark.parametrize(
    "cell",
    [
        "2025-06-16T12:00:00Z",
        "2025-06-16 12:00:00",
        "2025-06-16 12:00:00.000000",
        " 2025-06-16T14:00:00+02:00 ",
        "1750075200",
        "1750075200.0",
        1_750_075_200,
        1_750_075_200_000,
        1_750_075_200_000_000,
        1_750_075_200_000_000_000,
        "1750075200000000000",
        Decimal("1750075200"),
        datetime(2025, 6, 16, 12),
        datetime(2025, 6, 16, 12, tzinfo=UTC),
        datetime(2025, 6, 16, 8, tzinfo=timezone(timedelta(hours=-4))),
    ],
)
def test_every_way_of_writing_noon_is_noon(cell):
    assert read_time(cell) == NOON


def test_a_day_begins_at_midnight_and_an_empty_cell_is_no_time():
    assert read_time(date(2025, 6, 16)) == read_time("2025-06-16") == NOON - 12 * 3600
    assert read_time(None) is read_time("") is read_time("  ") is None


@pytest.mark.parametrize(
    "cell", ["yesterday", "12:00", True, [1], float("nan"), float("inf"), 1e30, "9" * 40]
)
def test_what_is_no_time_is_an_error(cell):
    with pytest.raises(ValueError):
        read_time(cell)


@given(st.text() | st.floats() | st.integers() | st.none())
def test_any_cell_gives_a_finite_time_or_none_or_a_value_error(cell):
    try:
        found = read_time(cell)
    except (ValueError, OverflowError):
        return
    assert found is None or abs(found) < 1e11
