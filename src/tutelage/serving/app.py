"""The server as an ASGI application: routes, each with the role that may ask it, and nothing beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tutelage.errors import TeacherError, TutelageError, UsageError
from tutelage.serving.access import KeyRing, Pace, Principal, Role, token_in
from tutelage.serving.gateway import Gateway, NobodyAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Guarded(Route):
    """A route that says who may ask it: a role, or everybody (None), for what holds nothing of the programme.

    Who asks is told by an API key in a header; pages, which know people by other means, derive from it.
    """

    def __init__(self, path: str, endpoint: Handler, *, methods: Sequence[str], role: Role | None) -> None:
        self.role, self._handler = role, endpoint
        name = getattr(endpoint, "__name__", None)
        super().__init__(path, self.respond, methods=list(methods), name=name)

    async def respond(self, request: Request) -> Response:
        """What `endpoint` answers to whoever may ask. Raises HTTPException 401, 403 or 429 for others."""
        await self.admit(request)
        return await self._handler(request)

    async def admit(self, request: Request) -> None:
        """Turn away who may not ask, or asks too often; `request.state.principal` is who does."""
        if self.role is None:
            return
        principal = await self.principal(request)
        if not principal.role.allows(self.role):
            raise HTTPException(
                403, f"this needs the role {self.role}, and {principal.name} has {principal.role}"
            )
        if wait := request.app.state.pace.wait(principal.name):
            raise HTTPException(
                429, "more requests than this key may make", {"Retry-After": str(int(wait) + 1)}
            )
        request.state.principal = principal

    async def principal(self, request: Request) -> Principal:
        """Who asks. Raises HTTPException 401 where it is nobody known."""
        keys: KeyRing = request.app.state.keys
        found = await keys.principal(token_in(request.scope["headers"]))
        if found is None:
            raise HTTPException(
                401,
                "no key, or one that isn't valid. Mend: Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        return found


@dataclass(frozen=True)
class Service:
    """What the application serves. `opened` and `closed` run with it."""

    gateway: Gateway
    keys: KeyRing
    routes: Sequence[Guarded]
    opened: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    closed: Sequence[Callable[[], Awaitable[None]]] = field(default=())


def make_app(service: Service) -> ASGIApp:
    """The application. Raises UsageError for a route that doesn't say who may ask it."""
    for route in service.routes:
        if not isinstance(route, Guarded):
            raise UsageError(f"the route {route} says of no role that it may ask. Mend: make it Guarded")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        for begin in service.opened:
            await begin()
        try:
            yield
        finally:
            for end in service.closed:
                await end()

    app = Starlette(
        routes=list(service.routes),
        lifespan=lifespan,
        exception_handlers={
            HTTPException: _told,
            NobodyAnswers: _nobody,
            TeacherError: _no_teacher,
            TutelageError: _refused,
            Exception: _broken,
        },
    )
    config = service.gateway.config
    app.state.keys, app.state.pace = service.keys, Pace(config.requests_per_minute)
    return _Bounded(app, config.max_body_kb * 1024)


class _Bounded:
    """Reads no body beyond the limit: declared or not, it is turned away with 413."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await self._turn_away(scope, receive, send)
            return
        seen, begun = 0, False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, bounded, noted)
        except _TooLarge:
            if begun:
                raise
            await self._turn_away(scope, receive, send)

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = f"a body of more than {self._limit // 1024} KiB (serving.max_body_kb)"
        await fault(413, text)(scope, receive, send)


class _TooLarge(Exception):
    pass


def fault(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A fault as OpenAI's clients read it."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    body = {"error": {"message": message, "type": kind, "code": None, "param": None}}
    return JSONResponse(body, status, headers)


async def read_json(request: Request) -> Any:
    """The request's body. Raises HTTPException 400 where it is no JSON."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    headers = dict(error.headers or {})
    return fault(error.status_code, error.detail or HTTPStatus(error.status_code).phrase, headers)


async def _nobody(request: Request, error: Exception) -> Response:
    assert isinstance(error, NobodyAnswers)  # noqa: S101
    headers = {"Retry-After": str(max(1, round(error.retry_after))), "X-Tutelage-Id": error.id}
    return fault(503, str(error), headers)


async def _no_teacher(request: Request, error: Exception) -> Response:
    return fault(502, str(error))


async def _refused(request: Request, error: Exception) -> Response:
    return fault(400, str(error))


async def _broken(request: Request, error: Exception) -> Response:
    _log.exception("a request failed", exc_info=error)
    return fault(500, "the server failed; its log says how")
