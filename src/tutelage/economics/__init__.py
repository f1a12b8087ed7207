"""Economics: what a provider charges, what a run will cost, and when a student pays for itself."""

from tutelage.economics.break_even import Economics, Estimated, economics
from tutelage.economics.energy import EnergyMeter
from tutelage.economics.estimate import LEAST_SAMPLE, Estimate, added_up, cost_of_each, estimate
from tutelage.economics.prices import Price, describe, price_of
from tutelage.economics.quantities import Ends, Origin, Quantities, Quantity

__all__ = [
    "LEAST_SAMPLE",
    "Economics",
    "Ends",
    "EnergyMeter",
    "Estimate",
    "Estimated",
    "Origin",
    "Price",
    "Quantities",
    "Quantity",
    "added_up",
    "cost_of_each",
    "describe",
    "economics",
    "estimate",
    "price_of",
]
