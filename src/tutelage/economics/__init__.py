"""Economics: what a provider charges, and what a run will cost."""

from tutelage.economics.estimate import Estimate, estimate
from tutelage.economics.prices import Price, describe, price_of

__all__ = ["Estimate", "Price", "describe", "estimate", "price_of"]
