"""What the gate's terms are about, as quantities that can be tested exactly against a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tutelage.evaluation.intervals import less_than_p, more_than_p, proportion_at_least, proportion_at_most
from tutelage.evaluation.paired import lower_bound, superiority_p


class Quantity(Protocol):
    """One number with its uncertainty. Levels and p-values are one-sided."""

    @property
    def n(self) -> float:
        """Examples behind it."""
        ...

    @property
    def estimate(self) -> float:
        """Its estimate."""
        ...

    def above_p(self, limit: float) -> float:
        """The p-value of its being at most `limit` against its being more."""
        ...

    def below_p(self, limit: float) -> float:
        """The p-value of its being at least `limit` against its being less."""
        ...

    def lower(self, level: float) -> float:
        """What it is above, but for a chance of `level`."""
        ...

    def upper(self, level: float) -> float:
        """What it is below, but for a chance of `level`."""
        ...

    def scaled(self, examples: int) -> Quantity:
        """The same with so many examples that turned out like those there are."""
        ...


@dataclass(frozen=True, slots=True)
class Share:
    """`successes` among `n` independent examples."""

    successes: float
    n: float

    @property
    def estimate(self) -> float:
        """See `Quantity.estimate`."""
        return self.successes / self.n

    def above_p(self, limit: float) -> float:
        """See `Quantity.above_p`."""
        return more_than_p(self.successes, self.n, limit)

    def below_p(self, limit: float) -> float:
        """See `Quantity.below_p`."""
        return less_than_p(self.successes, self.n, limit)

    def lower(self, level: float) -> float:
        """See `Quantity.lower`."""
        return proportion_at_least(self.successes, self.n, level)

    def upper(self, level: float) -> float:
        """See `Quantity.upper`."""
        return proportion_at_most(self.successes, self.n, level)

    def scaled(self, examples: int) -> Share:
        """See `Quantity.scaled`."""
        return Share(min(examples, self.successes * examples / self.n), examples)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much oftener a than b, on the same `n` examples; `only_a` and `only_b` are the discordant ones."""

    only_a: float
    only_b: float
    n: float

    @property
    def estimate(self) -> float:
        """See `Quantity.estimate`."""
        return (self.only_a - self.only_b) / self.n

    def above_p(self, limit: float) -> float:
        """See `Quantity.above_p`."""
        return superiority_p(self.only_a, self.only_b, self.n, limit)

    def below_p(self, limit: float) -> float:
        """See `Quantity.below_p`."""
        return superiority_p(self.only_b, self.only_a, self.n, -limit)

    def lower(self, level: float) -> float:
        """See `Quantity.lower`."""
        return lower_bound(self.only_a, self.only_b, self.n, level)

    def upper(self, level: float) -> float:
        """See `Quantity.upper`."""
        return -lower_bound(self.only_b, self.only_a, self.n, level) + 0.0

    def scaled(self, examples: int) -> PairedDifference:
        """See `Quantity.scaled`."""
        only_a = self.only_a * examples / self.n
        only_b = min(self.only_b * examples / self.n, examples - only_a)  # rounding may reach beyond
        return PairedDifference(only_a, only_b, examples)
