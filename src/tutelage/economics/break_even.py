"""When a student pays for itself: upfront cost, cost a request, break-even, and what they hang on most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tutelage.economics.quantities import Quantities

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.float64]

DRAWS = 10_000
HORIZON = 120  # months; what hasn't paid for itself in ten years never does
CONFIDENCE = 0.95
_HOURS = 730.0  # of a month
_MOST_TRAFFIC = 1e12  # requests a month, beyond which nobody asks
_THOUSAND = 1_000.0


@dataclass(frozen=True, slots=True)
class Estimated:
    """A figure at the most likely values, with its interval's ends; infinite where it is never reached."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Infinity is null."""
        return {name: _finite(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Swing:
    """What first-year saving comes to with one quantity at either end of its range, others as likely."""

    name: str
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far the two lie apart."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Economics:
    """All of it. US dollars.

    `upfront` by part; `per_1000` of 1,000 requests in the first month for `teacher` (it alone), `student` (it
    alone), `cascade` (the student, with escalation, audit, and retraining spread evenly) and `saving`
    (teacher less cascade); `cascade_parts` sum up to its estimate. `months` and `requests` to break-even;
    `never` is the share of draws that don't within the horizon. `first_year` saving is less upfront.
    `monthly_needed` is the least traffic with which it would within a year, None where no traffic is enough.
    `energy` in Wh of 1,000 requests and kWh of a training, with grams of CO2 equivalent.
    """

    quantities: Quantities
    upfront: Mapping[str, float]
    upfront_total: Estimated
    per_1000: Mapping[str, Estimated]
    cascade_parts: Mapping[str, float]
    months: Estimated
    requests: Estimated
    never: float
    first_year: Estimated
    monthly_needed: float | None
    share_of_teacher: Estimated
    swings: tuple[Swing, ...]
    energy: Mapping[str, Estimated]
    draws: int = DRAWS
    seed: int = 0
    confidence: float = field(default=CONFIDENCE)

    @property
    def verdict(self) -> str:
        """Whether it pays for itself, in a sentence."""
        if not self.breaks_even:
            why = (
                "running it costs more than the teacher alone"
                if self.per_1000["saving"].estimate <= 0.0
                else "what it saves doesn't reach the upfront cost within ten years"
            )
            return f"It never pays for itself: {why}."
        when = f"for itself, after about {self.months.estimate:,.1f} months"
        if self.never <= (1.0 - self.confidence) / 2.0:
            return f"It pays {when}."
        return f"It may pay {when}, but in {self.never:.0%} of {self.draws:,} draws it never does."

    @property
    def breaks_even(self) -> bool:
        """Whether it does within the horizon, at the most likely values."""
        return self.months.estimate < float("inf")

    def to_json(self) -> dict[str, Any]:
        """For `metrics.json` under `economics`, and `--json`. What is never reached is null.

        `currency`, `confidence`, `draws`, `seed`, `horizon_months`; `quantities` by name ({text, unit, low,
        likely, high, origin, source}); `upfront` {`total`, `parts`}; `per_1000` by who, `cascade_parts`;
        `break_even` {`months`, `requests`, `never`, `monthly_needed`}; `first_year`; `share_of_teacher`, the
        cascade's running cost as a share of the teacher's; `tornado`, a list of {name, at_low, at_high} of
        first-year saving, the widest first; `energy` by figure. An interval is {estimate, low, high}.
        """
        return {
            "currency": "USD",
            "confidence": self.confidence,
            "draws": self.draws,
            "seed": self.seed,
            "horizon_months": HORIZON,
            "quantities": self.quantities.to_json(),
            "upfront": {"total": self.upfront_total.to_json(), "parts": dict(self.upfront)},
            "per_1000": {name: one.to_json() for name, one in self.per_1000.items()},
            "cascade_parts": dict(self.cascade_parts),
            "break_even": {
                "months": self.months.to_json(),
                "requests": self.requests.to_json(),
                "never": self.never,
                "monthly_needed": self.monthly_needed,
            },
            "first_year": self.first_year.to_json(),
            "share_of_teacher": self.share_of_teacher.to_json(),
            "tornado": [asdict(swing) for swing in self.swings],
            "energy": {name: one.to_json() for name, one in self.energy.items()},
        }


def economics(quantities: Quantities, *, draws: int = DRAWS, seed: int = 0) -> Economics:
    """Work it out: estimates at the most likely values, intervals of a Monte-Carlo over all ranges.

    Saving of month m is what the teacher alone costs less the cascade; the teacher gets cheaper by
    `teacher_fall` a year, and retraining is spread evenly. Draws are independent and triangular; intervals
    are percentiles at 2.5% and 97.5%, in which a draw that never breaks even counts as infinite.
    """
    base = _Flows(quantities.likely())
    drawn = _Flows(quantities.draw(draws, seed))

    def ends(name: str, scale: float = 1.0) -> Estimated:
        return _estimated(getattr(base, name) * scale, getattr(drawn, name) * scale)

    months = drawn.break_even()
    requests = _estimated(base.break_even() * quantities.requests.likely, months * drawn.values["requests"])
    return Economics(
        quantities=quantities,
        upfront={name: float(value) for name, value in base.upfront_parts.items()},
        upfront_total=ends("upfront"),
        per_1000={
            name: ends(f"{name}_each", _THOUSAND) for name in ("teacher", "student", "cascade", "saving")
        },
        cascade_parts={name: float(value) * _THOUSAND for name, value in base.cascade_parts.items()},
        months=_estimated(base.break_even(), months),
        requests=requests,
        never=float((months == float("inf")).mean()),
        first_year=_estimated(base.saved_by(12.0) - base.upfront, drawn.saved_by(12.0) - drawn.upfront),
        monthly_needed=_monthly_needed(quantities),
        share_of_teacher=ends("share_of_teacher"),
        swings=_swings(quantities),
        energy={name: _estimated(value, drawn.energy()[name]) for name, value in base.energy().items()},
        draws=draws,
        seed=seed,
    )


class _Flows:
    """Money in and out, of one set of values or of many at once (each value a number or a column [draws])."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        import numpy as np

        v = self.values = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
        self.asked = v["escalation"] + v["audit"] * (1.0 - v["escalation"])  # share that the teacher answers
        answer = v["teacher_per_1000"] / _THOUSAND
        people = v["person_hour"]
        each = v["gold_minutes"] / 60.0 * people
        sealed, learned = v["sealed_examples"] * each, v["training_examples"] * each
        training = v["training_hours"] * v["training_hour"]
        self.upfront_parts = {
            "teacher_labels": v["labelling_cost"],
            "people_labels": learned,
            "training": training,
            "evaluation": sealed,
            "setup": v["setup_hours"] * people,
            "governance": v["governance_hours"] * people,
        }
        self.upfront = sum(self.upfront_parts.values())
        # Of one month: what falls with the teacher's price, and what doesn't.
        relabelling = v["relabelled"] * v["labelling_cost"] / v["retrain_months"]
        upkeep = (v["relabelled"] * (sealed + learned) + training + v["retrain_hours"] * people) / v[
            "retrain_months"
        ]
        serving = self._serving()
        self.falling = v["requests"] * answer * (1.0 - self.asked) - relabelling
        self.steady = serving + upkeep
        self.teacher_each = answer
        self.student_each = serving / v["requests"]
        self.cascade_parts = {
            "escalation": v["escalation"] * answer,
            "audit": (self.asked - v["escalation"]) * answer,
            "serving": self.student_each,
            "retraining": (relabelling + upkeep) / v["requests"],
        }
        self.cascade_each = sum(self.cascade_parts.values())
        self.saving_each = self.teacher_each - self.cascade_each
        self.share_of_teacher = _ratio(self.cascade_each, self.teacher_each)

    def _serving(self) -> Column:
        """Of a month: as many machines as the traffic needs on average, or those that run anyway."""
        import numpy as np

        v = self.values
        needed = v["requests"] / (v["student_rate"] * v["utilisation"] * 3_600.0 * _HOURS)
        machines = np.where(v["machines"] > 0, np.maximum(np.ceil(needed), v["machines"]), needed)
        return np.asarray(machines * v["machine_hour"] * _HOURS)

    def saved_by(self, month: float) -> Column:
        """What has been saved in running by the end of a month, upfront cost left out."""
        import numpy as np

        monthly = (1.0 - self.values["teacher_fall"]) ** (1.0 / 12.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            discounted = np.where(monthly < 1.0, (1.0 - monthly**month) / (1.0 - monthly), month)
        return np.asarray(self.falling * discounted - self.steady * month)

    def break_even(self) -> Column:
        """Months until savings reach upfront cost, between two months' ends in proportion; else infinity."""
        import numpy as np

        found = np.full(np.shape(self.upfront), np.inf)
        before = -np.asarray(self.upfront)
        found = np.where(before >= 0.0, 0.0, found)
        for month in range(1, HORIZON + 1):
            after = self.saved_by(month) - self.upfront
            reached = np.isinf(found) & (after >= 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(reached, month - 1 + before / (before - after), found)
            before = after
        return np.asarray(found)

    def energy(self) -> dict[str, Column]:
        """Wh and grams of CO2 equivalent of 1,000 requests, kWh of one training."""
        v = self.values
        student = v["student_joules"] / 3_600.0
        watt_hours = {"teacher": v["teacher_wh"], "cascade": student + self.asked * v["teacher_wh"]}
        found = {"student_wh": student * _THOUSAND, "training_kwh": v["training_wh"] / _THOUSAND}
        for name, each in watt_hours.items():
            found[f"{name}_wh"] = each * _THOUSAND
            found[f"{name}_grams"] = each * v["grams_per_kwh"]  # 1,000 Wh of each are as many kWh as Wh
        return found


def _swings(quantities: Quantities) -> tuple[Swing, ...]:
    likely = quantities.likely()

    def saving(name: str, value: float) -> float:
        flows = _Flows({**likely, name: value})
        return float(flows.saved_by(12.0) - flows.upfront)

    found = [
        Swing(name, saving(name, one.low), saving(name, one.high))
        for name, one in quantities.items()
        if not one.certain
    ]
    moving = [swing for swing in found if swing.width > 0.0]
    return tuple(sorted(moving, key=lambda swing: (-swing.width, swing.name)))


def _monthly_needed(quantities: Quantities) -> float | None:
    """By bisection, to half a percent. Machines come whole: near a further one it may be a little off."""
    likely = quantities.likely()

    def pays(requests: float) -> bool:
        flows = _Flows({**likely, "requests": requests})
        return bool(flows.saved_by(12.0) >= flows.upfront)

    low, high = 1.0, 1.0
    while not pays(high):
        low, high = high, 10.0 * high
        if high > _MOST_TRAFFIC:
            return None
    while high - low > 0.005 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if pays(middle) else (middle, high)
    return high


def _estimated(estimate: Any, draws: Any) -> Estimated:
    import numpy as np

    # Without interpolation: between a finite draw and an infinite one there is nothing.
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1.0 - tail], method="closest_observation")
    return Estimated(float(estimate), float(low), float(high))


def _ratio(numerator: Any, denominator: Any) -> Column:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(denominator > 0.0, numerator / denominator, np.inf))


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
