"""Where student and teacher said something else, side by side."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tutelage.serving.overview import MONTH
from tutelage.web.pages._page import Page, Pages

if TYPE_CHECKING:
    from tutelage.stages.serve import Server

_AT_ONCE = 25


class DisagreementPages:
    """Captures that disagree, newest first."""

    def __init__(self, pages: Pages, server: Server) -> None:
        self._pages, self._store = pages, server.store

    def routes(self) -> list[Page]:
        """One page, which is turned."""
        return [self._pages.page("/disagreements", self.disagreements)]

    async def disagreements(self, request: Request) -> Response:
        """`GET /disagreements?slice=...&before=...`."""
        chosen, before = request.query_params.get("slice", ""), request.query_params.get("before", "")
        found = await asyncio.to_thread(
            self._store.captures,
            disagreeing=True,
            slice=chosen or None,
            before=before or None,
            limit=_AT_ONCE + 1,
        )
        totals = await asyncio.to_thread(self._store.totals, time() - MONTH)
        slices = {tally.slice for tally in totals.tallies if tally.disagreed} | ({chosen} - {""})
        return self._pages.show(
            request,
            "pages_disagreements.html.j2",
            page="disagreements",
            captures=found[:_AT_ONCE],
            older=found[_AT_ONCE - 1].id if len(found) > _AT_ONCE else "",
            before=before,
            chosen=chosen,
            slices=sorted(slices),
        )
