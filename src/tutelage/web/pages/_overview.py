"""The first page: stage, bound against now, who answers, what it saved, and alerts."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from tutelage.serving.access import Role
from tutelage.serving.overview import DAY, Disagreement, Overview, read_overview
from tutelage.serving.router import By, Stage
from tutelage.web.pages._page import Page, Pages, see
from tutelage.web.site import Turned

if TYPE_CHECKING:
    from tutelage.stages.serve import Server

_SIDES = (By.STUDENT, By.TEACHER, By.PERSON, By.NOBODY)


class OverviewPages:
    """Where things stand."""

    def __init__(self, pages: Pages, server: Server) -> None:
        self._pages, self._server = pages, server

    def routes(self) -> list[Page]:
        """The page, the part of it that renews itself, and what is done on it."""
        return [
            self._pages.page("/", self.overview),
            self._pages.page("/live", self.live),
            self._pages.action("/alerts", self.acknowledge, Role.REVIEWER),
        ]

    async def overview(self, request: Request) -> Response:
        """`GET /`."""
        return await self._shown(request, "pages_overview.html.j2")

    async def live(self, request: Request) -> Response:
        """`GET /live`: what of it changes."""
        return await self._shown(request, "pages_live.html.j2")

    async def acknowledge(self, request: Request) -> Response:
        """`POST /alerts`: somebody has seen one."""
        number = request.state.form.get("alert", "")
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Turned(400, "that is no alert")
        who = request.state.principal.name
        await asyncio.to_thread(self._server.store.acknowledge_alert, int(number), by=who, at=time())
        return see("/")

    async def _shown(self, request: Request, template: str) -> Response:
        server = self._server
        now = server.rollouts.now
        config = server.gateway.config
        seen = await asyncio.to_thread(read_overview, server.store, server.monitor, now, config)
        traffic = _traffic(seen)
        return self._pages.show(
            request,
            template,
            page="overview",
            stages=list(Stage),
            seen=seen,
            bar=_bar(seen.disagreement),
            sides=[(side, seen.day.total(by=side).requests) for side in _SIDES],
            traffic=traffic,
            rows=_rows(traffic),
        )


def _bar(found: Disagreement) -> dict[str, Any]:
    """Where limit, interval and estimate stand on a line of 100 units; it ends at twice the limit or more."""
    end = min(1.0, max(2 * found.limit, 1.15 * found.high if found.n else 0.0))
    return {
        "limit": _places(found.limit, end),
        "low": _places(found.low, end),
        "width": _places(found.high - found.low, end),
        "estimate": None if found.estimate is None else _places(found.estimate, end),
        "end": end,
        "state": "fail" if found.low > found.limit else "pass" if found.high <= found.limit else "open",
    }


def _places(share: float, end: float) -> float:
    return round(100 * min(share / end, 1.0), 2)


def _traffic(seen: Overview) -> dict[str, Any]:
    """Requests of each side in each stretch of the day, also of those in which nothing came."""
    length = 60 * seen.step
    first = int((seen.at - DAY) // length)
    starts = [(first + place) * length for place in range(int(seen.at // length) - first + 1)]
    found = {round(totals.since): totals for totals in seen.traffic}
    sides = {
        str(side): [found[start].total(by=side).requests if start in found else 0 for start in starts]
        for side in _SIDES
    }
    return {"starts": starts, "sides": {side: counts for side, counts in sides.items() if any(counts)}}


def _rows(traffic: dict[str, Any]) -> list[tuple[float, list[int]]]:
    """The same as a table's rows, newest first, those without a request left out."""
    columns = list(traffic["sides"].values())
    rows = [(start, [counts[place] for counts in columns]) for place, start in enumerate(traffic["starts"])]
    return [(start, counts) for start, counts in reversed(rows) if any(counts)]
