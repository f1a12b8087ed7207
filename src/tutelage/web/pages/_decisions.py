"""Steps of the rollout: what the gate says before one is taken, and the journal of those that were."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tutelage.errors import GateRefused, IntegrityError, UsageError
from tutelage.serving.access import Role
from tutelage.serving.rollout import Wish, parse_stage
from tutelage.serving.router import Stage
from tutelage.web.pages._page import Page, Pages, see

if TYPE_CHECKING:
    from tutelage.stages.serve import Server

_TEMPLATE = "pages_decisions.html.j2"
_MOST_CHANGES = 100
_LONGEST_REASON = 2_000


class DecisionPages:
    """Who decided what, and on which evidence."""

    def __init__(self, pages: Pages, server: Server) -> None:
        self._pages, self._server = pages, server

    def routes(self) -> list[Page]:
        """The page with the gate's answer on it, and the step."""
        return [
            self._pages.page("/decisions", self.decisions),
            self._pages.action("/decisions", self.step, Role.ADMIN),
        ]

    async def decisions(self, request: Request) -> Response:
        """`GET /decisions?stage=...&share=...&revision=...`: with a stage, what the gate says of it."""
        return await self._shown(request, request.query_params)

    async def step(self, request: Request) -> Response:
        """`POST /decisions`: a step is taken."""
        form = request.state.form
        try:
            await self._server.rollouts.change(self._wish(request, form))
        except GateRefused as refused:
            return await self._shown(request, form, status=409, told=str(refused))
        return see("/decisions")

    def _wish(self, request: Request, form: Mapping[str, str]) -> Wish:
        reason = form.get("reason", "").strip()
        if len(reason) > _LONGEST_REASON:
            raise UsageError(
                f"the reason has {len(reason):,} characters. Mend: {_LONGEST_REASON:,} are the most"
            )
        return Wish(
            parse_stage(form.get("stage", "")),
            request.state.principal.name,
            reason,
            _share(form.get("share", "")),
            form.get("revision") or None,
            override=form.get("override") == "yes",
        )

    async def _shown(
        self, request: Request, asked: Mapping[str, str], *, status: int = 200, told: str = ""
    ) -> Response:
        server = self._server
        wish = self._wish(request, asked) if asked.get("stage") else None
        changes = await asyncio.to_thread(server.store.rollout_changes, _MOST_CHANGES)
        return self._pages.show(
            request,
            _TEMPLATE,
            status=status,
            told=told,
            page="decisions",
            stages=list(Stage),
            now=server.rollouts.now,
            canary=server.gateway.config.canary,
            wish=wish,
            decision=None if wish is None else server.rollouts.judged(wish),
            candidates=await asyncio.to_thread(server.shelf.all),
            changes=changes,
            chain=await asyncio.to_thread(self._chain),
        )

    def _chain(self) -> str:
        try:
            return f"{self._server.store.verify_rollout():,} steps, whose hashes follow from one another."
        except IntegrityError as error:
            return str(error)


def _share(text: str) -> float | None:
    """A share of keys, given in percent; None where nothing is. Raises UsageError for what is none."""
    if not text.strip():
        return None
    try:
        share = float(text) / 100
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"{text[:20]!r} is no share of keys. Mend: give percent, above 0 and up to 100")
    return share
