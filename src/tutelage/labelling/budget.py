"""The purse: no call is made that could take what was spent past the budget."""

from __future__ import annotations

import asyncio

from tutelage.errors import BudgetExhausted

_ROUNDING = 1e-9  # dollars; sums of floats differ by less


class Purse:
    """Money spent and money set aside for calls under way, in US dollars.

    `spent` starts with what earlier runs spent; `limit` None means no limit.
    """

    def __init__(self, limit: float | None, spent: float) -> None:
        self.limit = limit
        self.spent = spent
        self._reserved: list[float] = []
        self._settled = asyncio.Event()

    @property
    def reserved(self) -> float:
        """What calls under way could cost at most."""
        return sum(self._reserved)

    async def reserve(self, bound: float) -> None:
        """Set `bound` aside, waiting while only calls under way stand in the way.

        Raises BudgetExhausted where the budget can't bear the call even with all others settled.
        """
        while self.limit is not None and self.spent + self.reserved + bound > self.limit + _ROUNDING:
            if not self._reserved:
                raise BudgetExhausted(
                    f"the budget of ${self.limit:.4f} can't bear another call: ${self.spent:.4f} is spent, "
                    f"${max(self.limit - self.spent, 0.0):.4f} remains, and the next call could cost "
                    f"${bound:.4f}"
                )
            await self._settled.wait()
        self._reserved.append(bound)

    def settle(self, bound: float, cost: float) -> None:
        """Replace a reservation by what the call did cost, or may have."""
        self._reserved.remove(bound)
        self.spent += cost
        self._settled.set()
        self._settled = asyncio.Event()
