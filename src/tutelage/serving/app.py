"""The server as an ASGI application: routes, each with the role that may ask it, and nothing beside them."""

from __future__ import annotations

import asyncio
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
from starlette.routing import Match, Route

from tutelage.errors import DataError, TeacherError, TutelageError, UsageError
from tutelage.serving.access import KeyRing, Overwhelmed, Pace, Principal, Role, token_in
from tutelage.serving.gateway import Gateway, NobodyAnswers
from tutelage.serving.metrics import Metrics
from tutelage.serving.observed import ROUTE, Observed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]
_MOST_DIGITS = 18
_CLOSE = {"Connection": "close"}  # what is left of the body isn't read
_HEADERS = (  # of every answer that doesn't say otherwise: it is nobody's page, and nobody's to keep
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Guarded(Route):
    """A route that says who may ask it: a role, or everybody (None), for what holds nothing of the programme.

    Who asks is told by an API key in a header; pages, which know people by other means, derive from it.
    """

    def __init__(self, path: str, endpoint: Handler, *, methods: Sequence[str], role: Role | None) -> None:
        self.role, self._handler = role, endpoint
        name = getattr(endpoint, "__name__", None)
        super().__init__(path, self.respond, methods=list(methods), name=name)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `Route.matches`; the scope is told the template, by which requests are counted."""
        found, child = super().matches(scope)
        return found, child if found is Match.NONE else {**child, ROUTE: self.path}

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
    metrics: Metrics = field(default_factory=Metrics)
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
            Overwhelmed: _overwhelmed,
            TeacherError: _no_teacher,
            DataError: _no_store,
            TutelageError: _refused,
            UnicodeEncodeError: _no_text,
            Exception: _broken,
        },
    )
    config = service.gateway.config
    app.state.keys, app.state.pace = service.keys, Pace(config.requests_per_minute)
    return Observed(_Bounded(app, config.max_body_kb * 1024, config.deadline), service.metrics)


class _Bounded:
    """Reads no body beyond the limit (413, declared or not), and waits for none longer than `patience`
    seconds (408). Every answer has the headers that keep it from being taken for a page."""

    def __init__(self, app: ASGIApp, limit: int, patience: float) -> None:
        self._app, self._limit, self._patience = app, limit, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        # A number of thousands of digits is none that Python reads.
        if not declared.isdigit() or len(declared) > _MOST_DIGITS or int(declared) > self._limit:
            await fault(413, self._too_large(), _CLOSE)(scope, receive, _headed(send))
        else:
            await self._app(scope, self._bounded(receive), _headed(send))

    def _bounded(self, receive: Receive) -> Receive:
        seen, whole = 0, False
        ends = asyncio.get_running_loop().time() + self._patience

        async def bounded() -> Message:
            nonlocal seen, whole
            try:
                async with asyncio.timeout_at(None if whole else ends):
                    message = await receive()
            except TimeoutError:
                told = f"the body did not come within {self._patience:g} s"
                raise HTTPException(408, told, _CLOSE) from None
            whole = whole or not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413, self._too_large(), _CLOSE)
            return message

        return bounded

    def _too_large(self) -> str:
        return f"a body of more than {self._limit // 1024} KiB (serving.max_body_kb)"


def _headed(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in _HEADERS if name not in given]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return headed


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


async def _overwhelmed(request: Request, error: Exception) -> Response:
    return fault(429, "too many keys are being checked", {"Retry-After": "1"})


async def _no_store(request: Request, error: Exception) -> Response:
    return fault(503, str(error), {"Retry-After": "2"})


async def _no_teacher(request: Request, error: Exception) -> Response:
    return fault(502, str(error))


async def _refused(request: Request, error: Exception) -> Response:
    return fault(400, str(error))


async def _no_text(request: Request, error: Exception) -> Response:
    return fault(400, "the body holds half a character (a lone surrogate), which is no text")


async def _broken(request: Request, error: Exception) -> Response:
    _log.exception("a request failed", exc_info=error)
    return fault(500, "the server failed; its log says how")
