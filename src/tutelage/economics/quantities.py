"""The figures that a money question rests on, each with its range and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.float64]


class Origin(StrEnum):
    """How a figure is known. `RECKONED` follows from known lengths, listed prices and an assumption."""

    MEASURED = "measured"
    GIVEN = "given"
    RECKONED = "reckoned"
    ASSUMED = "assumed"


class Ends(NamedTuple):
    """A figure's most likely value between the ends it may have."""

    low: float
    likely: float
    high: float

    @classmethod
    def at(cls, value: float) -> Ends:
        """A figure that is known."""
        return cls(value, value, value)

    def scaled(self, factor: float) -> Ends:
        """Each of them times a factor from 0 on."""
        return Ends(self.low * factor, self.likely * factor, self.high * factor)

    def plus(self, other: Ends) -> Ends:
        """Both at their low ends, likely, and at their high ends: no wider can their sum be."""
        return Ends(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, other: Ends) -> Ends:
        """Likewise their product."""
        return Ends(self.low * other.low, self.likely * other.likely, self.high * other.high)

    def over(self, other: Ends) -> Ends:
        """Likewise their quotient; `other` is above 0."""
        return Ends(self.low / other.high, self.likely / other.likely, self.high / other.low)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One figure: its most likely value between the ends it may have; `text` says what it is, in words.

    Raises UsageError unless 0 <= low <= likely <= high, all finite.
    """

    text: str
    unit: str
    low: float
    likely: float
    high: float
    origin: Origin
    source: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.likely <= self.high < float("inf"):
            raise UsageError(
                f"{self.text}: {self.low:g}, {self.likely:g}, {self.high:g} don't rise from 0 on. "
                "Mend: give it as low, likely, high"
            )

    @classmethod
    def of(
        cls, text: str, unit: str, ends: tuple[float, float, float], origin: Origin, source: str
    ) -> Quantity:
        """From its three values."""
        return cls(text, unit, *ends, origin, source)

    @property
    def certain(self) -> bool:
        """Whether it has one value."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Quantities:
    """All that the model takes. Money in US dollars; shares in [0, 1].

    `teacher_per_1000` is of 1,000 live answers, `labelling_cost` of all that the teacher answered to teach;
    `student_rate` in requests a second of one machine; `machines` run whatever the traffic (0: time used is
    paid for). `gold_minutes` are people's, of one gold example, sealed or to learn from. Energy:
    `student_joules` and `teacher_wh` of one request, `training_wh` of one training, `grams_per_kwh` of CO2
    equivalent.
    """

    requests: Quantity
    escalation: Quantity
    audit: Quantity
    teacher_per_1000: Quantity
    teacher_fall: Quantity
    student_rate: Quantity
    machine_hour: Quantity
    machines: Quantity
    utilisation: Quantity
    person_hour: Quantity
    sealed_examples: Quantity
    training_examples: Quantity
    gold_minutes: Quantity
    labelling_cost: Quantity
    training_hours: Quantity
    training_hour: Quantity
    setup_hours: Quantity
    governance_hours: Quantity
    retrain_months: Quantity
    relabelled: Quantity
    retrain_hours: Quantity
    student_joules: Quantity
    teacher_wh: Quantity
    training_wh: Quantity
    grams_per_kwh: Quantity

    def items(self) -> list[tuple[str, Quantity]]:
        """Names with their quantities, in order."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def likely(self) -> dict[str, float]:
        """Every figure at its most likely value."""
        return {name: quantity.likely for name, quantity in self.items()}

    def draw(self, draws: int, seed: int) -> Mapping[str, Column]:
        """Every figure `draws` times, independently, from a triangular distribution over its range."""
        import numpy as np

        generator = np.random.default_rng(seed)
        drawn = {}
        for name, one in self.items():
            # One draw each, also of the certain, so that a figure's draws don't hang on others' ranges.
            share = generator.random(draws)
            drawn[name] = np.full(draws, one.likely) if one.certain else _triangular(one, share)
        return drawn

    def to_json(self) -> dict[str, dict[str, Any]]:
        """By name, each with the names of `Quantity`'s fields."""
        return {name: {**asdict(quantity), "origin": str(quantity.origin)} for name, quantity in self.items()}


def _triangular(quantity: Quantity, share: Column) -> Column:
    """The quantiles at `share` of the triangular distribution."""
    import numpy as np

    width = quantity.high - quantity.low
    left, right = quantity.likely - quantity.low, quantity.high - quantity.likely
    rising = quantity.low + np.sqrt(share * width * left)
    falling = quantity.high - np.sqrt((1.0 - share) * width * right)
    return np.where(share * width < left, rising, falling)
