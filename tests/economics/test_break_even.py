import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from money_world import ROUND, quantities
from tutelage.economics import economics

# A month by hand: the teacher alone costs $1,000, one machine $73, a tenth of the traffic $100; each half year
# half of $1,000 for people's labels and $100 for the teacher's, $2 of training, an hour of a person.
SERVING = 0.1 * 730
UPKEEP = (0.5 * 1_000 + 0.5 * 100 + 2 + 60) / 6
MONTHLY = 1_000 - 100 - SERVING - UPKEEP
UPFRONT = 600 + 400 + 100 + 2 + 600 + 300


def simulated(values, months):
    """The account month by month, as a book-keeper would."""
    balance, price = -UPFRONT, values["teacher_per_1000"] / 1_000
    falls = (1 - values["teacher_fall"]) ** (1 / 12)
    for _ in range(months):
        calls = values["requests"] * price
        balance += calls - values["escalation"] * calls - SERVING
        balance -= 0.5 * 100 / 6 * price / (values["teacher_per_1000"] / 1_000)
        balance -= (0.5 * 1_000 + 2 + 60) / 6
        price *= falls
    return balance


def test_a_case_worked_by_hand():
    found = economics(quantities())
    assert found.upfront_total.estimate == pytest.approx(UPFRONT)
    assert sum(found.upfront.values()) == pytest.approx(UPFRONT)
    assert found.upfront["evaluation"] == pytest.approx(600)
    assert found.per_1000["teacher"].estimate == pytest.approx(10.0)
    assert found.per_1000["student"].estimate == pytest.approx(SERVING / 100)
    assert found.cascade_parts == pytest.approx(
        {"escalation": 1.0, "audit": 0.0, "serving": SERVING / 100, "retraining": UPKEEP / 100}
    )
    assert found.per_1000["saving"].estimate == pytest.approx(MONTHLY / 100)
    assert found.months.estimate == pytest.approx(UPFRONT / MONTHLY)
    assert found.requests.estimate == pytest.approx(100_000 * UPFRONT / MONTHLY)
    assert found.first_year.estimate == pytest.approx(12 * MONTHLY - UPFRONT)
    assert found.share_of_teacher.estimate == pytest.approx((1_000 - MONTHLY) / 1_000)
    assert found.never == 0.0


def test_what_is_certain_has_no_interval():
    found = economics(quantities(), draws=50)
    for one in (found.first_year, found.months, found.upfront_total, *found.per_1000.values()):
        assert one.low == pytest.approx(one.estimate)
        assert one.high == pytest.approx(one.estimate)
    assert found.swings == ()


@pytest.mark.parametrize("fall", [0.0, 0.2, 0.6])
def test_a_teacher_that_gets_cheaper_saves_less_each_month(fall):
    found = economics(quantities(teacher_fall=fall), draws=10)
    assert found.first_year.estimate == pytest.approx(simulated({**ROUND, "teacher_fall": fall}, 12))


def test_audited_requests_are_paid_to_the_teacher_too_but_once():
    found = economics(quantities(escalation=0.2, audit=0.5), draws=10)
    assert found.cascade_parts["escalation"] == pytest.approx(2.0)
    assert found.cascade_parts["audit"] == pytest.approx(0.5 * 0.8 * 10.0)
    everything = economics(quantities(escalation=1.0, audit=0.5), draws=10)
    assert everything.cascade_parts["audit"] == 0.0


@pytest.mark.parametrize(
    "machines, requests, wanted",
    [
        (1, 1e5, 1),
        (1, 1.4e8, 2),  # a machine at half its speed answers 131.4 million a month
        (3, 1e5, 3),
        (0, 1.314e7, 0.1),
    ],
)
def test_machines_are_as_many_as_the_traffic_needs(machines, requests, wanted):
    found = economics(quantities(machines=float(machines), requests=requests), draws=10)
    assert found.per_1000["student"].estimate * requests / 1_000 == pytest.approx(wanted * SERVING)


def test_a_student_dearer_than_its_teacher_never_pays_for_itself():
    found = economics(quantities(teacher_per_1000=0.5), draws=100)
    assert not found.breaks_even
    assert found.months.estimate == found.requests.estimate == math.inf
    assert found.never == 1.0
    told = found.to_json()
    assert told["break_even"]["months"] == {"estimate": None, "low": None, "high": None}
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_a_price_that_falls_fast_can_keep_it_from_ever_paying():
    slow = economics(quantities(teacher_per_1000=3.5), draws=10)
    fast = economics(quantities(teacher_per_1000=3.5, teacher_fall=0.5), draws=10)
    assert slow.breaks_even
    assert fast.per_1000["saving"].estimate > 0
    assert not fast.breaks_even


def test_some_draws_that_never_break_even_leave_the_interval_open():
    found = economics(quantities(teacher_per_1000=(0.0, 8.0, 9.0)))
    assert found.breaks_even
    assert 0.025 < found.never < 0.5
    assert found.months.low < found.months.estimate < found.months.high == math.inf


def test_nothing_upfront_has_paid_for_itself_at_once():
    free = dict.fromkeys(
        ("sealed_examples", "training_examples", "labelling_cost", "training_hours", "setup_hours"), 0.0
    )
    assert economics(quantities(**free, governance_hours=0.0), draws=10).months.estimate == 0.0


def test_no_teacher_cost_leaves_no_share():
    found = economics(quantities(teacher_per_1000=0.0), draws=10)
    assert found.to_json()["share_of_teacher"]["estimate"] is None
    assert found.monthly_needed is None


def test_the_traffic_needed_is_where_a_year_just_pays():
    needed = economics(quantities(), draws=10).monthly_needed
    assert economics(quantities(requests=needed), draws=10).months.estimate <= 12.0
    assert economics(quantities(requests=0.98 * needed), draws=10).months.estimate > 12.0


def test_the_tornado_is_sorted_and_recomputes():
    ranges = {"escalation": (0.0, 0.1, 0.9), "audit": (0.0, 0.0, 0.1), "machine_hour": (0.05, 0.1, 0.3)}
    found = economics(quantities(**ranges), draws=10)
    assert [swing.name for swing in found.swings] == ["escalation", "machine_hour", "audit"]
    for swing in found.swings:
        low, _, high = ranges[swing.name]
        for value, saved in ((low, swing.at_low), (high, swing.at_high)):
            alone = economics(quantities(**{swing.name: value}), draws=10)
            assert saved == pytest.approx(alone.first_year.estimate)


def test_the_same_seed_draws_the_same():
    ranges = quantities(escalation=(0.0, 0.1, 0.9))
    assert economics(ranges, draws=200).to_json() == economics(ranges, draws=200).to_json()
    assert economics(ranges, draws=200).first_year != economics(ranges, draws=200, seed=1).first_year


def test_intervals_hold_what_was_drawn():
    found = economics(quantities(escalation=(0.0, 0.1, 1.0)))
    # Of a triangle from 0 over 0.1 to 1, 2.5% lie below 0.05 and 2.5% above 0.85.
    assert found.per_1000["cascade"].low == pytest.approx(10 * 0.05 + (SERVING + UPKEEP) / 100, abs=0.05)
    assert found.per_1000["cascade"].high == pytest.approx(10 * 0.85 + (SERVING + UPKEEP) / 100, abs=0.1)


def test_energy_is_that_of_both():
    found = economics(quantities(audit=0.0), draws=10).energy
    assert found["teacher_wh"].estimate == pytest.approx(500.0)
    assert found["student_wh"].estimate == pytest.approx(1.0)
    assert found["cascade_wh"].estimate == pytest.approx(1.0 + 50.0)
    assert found["cascade_grams"].estimate == pytest.approx(0.051 * 400)
    assert found["training_kwh"].estimate == pytest.approx(0.1)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 1e9), st.floats(0.0, 1e3), st.floats(0.0, 1.0), st.floats(0.0, 0.95))
def test_any_sound_figures_give_an_answer(requests, price, escalation, fall):
    changed = {
        "requests": requests,
        "teacher_per_1000": price,
        "escalation": escalation,
        "teacher_fall": fall,
    }
    found = economics(quantities(**changed), draws=5)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.months.estimate >= 0.0
    if found.first_year.estimate > 0:
        assert found.months.estimate <= 12.0
