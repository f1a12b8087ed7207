"""Economics: what a provider charges."""

from tutelage.economics.prices import Price, describe, price_of

__all__ = ["Price", "describe", "price_of"]
