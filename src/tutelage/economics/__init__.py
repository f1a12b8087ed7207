"""Economics: what a provider charges, and what a run will cost."""

from tutelage.economics.estimate import LEAST_SAMPLE, Estimate, added_up, estimate
from tutelage.economics.prices import Price, describe, price_of

__all__ = ["LEAST_SAMPLE", "Estimate", "Price", "added_up", "describe", "estimate", "price_of"]
