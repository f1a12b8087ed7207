"""What operators and monitors ask: health, metrics, and the rollout."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from time import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tutelage.serving.access import Role
from tutelage.serving.app import Guarded, read_json
from tutelage.serving.bodies import RolloutRequest, read_body
from tutelage.serving.gateway import Gateway
from tutelage.serving.metrics import Metrics
from tutelage.serving.monitor import Monitor
from tutelage.serving.openapi import openapi_document
from tutelage.serving.overview import saved
from tutelage.serving.rollout import Rollouts, Wish, parse_stage
from tutelage.serving.store import Store

_DAY = 86_400.0


class Operations:
    """The routes of those who run the server."""

    def __init__(
        self, rollouts: Rollouts, store: Store, monitor: Monitor, gateway: Gateway, metrics: Metrics
    ) -> None:
        self._rollouts, self._store, self._monitor, self._gateway = rollouts, store, monitor, gateway
        self._metrics = metrics

    def routes(self) -> list[Guarded]:
        """Health for everybody, the rest by role."""
        return [
            Guarded("/healthz", self.health, methods=["GET"], role=None),
            Guarded("/readyz", self.ready, methods=["GET"], role=None),
            Guarded("/metrics", self.metrics, methods=["GET"], role=Role.VIEWER),
            Guarded("/openapi.json", self.openapi, methods=["GET"], role=None),
            Guarded("/v1/rollout", self.rollout, methods=["GET"], role=Role.VIEWER),
            Guarded("/v1/rollout", self.change, methods=["POST"], role=Role.ADMIN),
            Guarded("/v1/status", self.status, methods=["GET"], role=Role.VIEWER),
        ]

    async def health(self, request: Request) -> Response:
        """`GET /healthz`: the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """`GET /readyz`: the store can be read and captures are kept; 503 else."""
        try:
            await asyncio.to_thread(self._store.rollout)
        except Exception as error:  # noqa: BLE001 - whatever a database raises, it isn't ready
            return JSONResponse({"status": "no store", "fault": type(error).__name__}, 503)
        if self._store.failure:
            return JSONResponse({"status": "captures are lost", "lost": self._store.lost}, 503)
        return JSONResponse({"status": "ready", "stage": self._rollouts.state()["stage"]})

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`: for Prometheus, whose scraper sends a viewer's key as a bearer token."""
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`: what can be asked, and how; it says nothing of this programme."""
        return JSONResponse(openapi_document())

    async def rollout(self, request: Request) -> Response:
        """`GET /v1/rollout`: what holds, and how it came about."""
        changes = await asyncio.to_thread(self._store.rollout_changes, 50)
        return JSONResponse({**self._rollouts.state(), "changes": [asdict(change) for change in changes]})

    async def change(self, request: Request) -> Response:
        """`POST /v1/rollout`: a step, or what the gate says of it."""
        wanted = read_body(RolloutRequest, await read_json(request))
        wish = Wish(
            parse_stage(wanted.stage),
            request.state.principal.name,
            wanted.reason,
            wanted.share,
            wanted.revision,
            wanted.override,
        )
        if wanted.dry_run:
            return JSONResponse(self._rollouts.judged(wish).to_json())
        return JSONResponse(asdict(await self._rollouts.change(wish)))

    async def status(self, request: Request) -> Response:
        """`GET /v1/status`: the last day in figures."""
        totals = await asyncio.to_thread(self._store.totals, time() - _DAY)
        body: dict[str, Any] = {
            **self._rollouts.state(),
            "audits": [asdict(watched) for watched in self._monitor.figures()],
            "drift": self._monitor.drift.figures(),
            "saved": asdict(saved(totals)),
            "last_day": [asdict(tally) for tally in totals.tallies],
            "audits_skipped": self._gateway.audits_skipped,
            "teacher": {"name": self._gateway.teacher.name, **self._gateway.calls.breaker.state()},
            "lost": self._store.lost,
            "late": self._store.late,
        }
        return JSONResponse(body)
