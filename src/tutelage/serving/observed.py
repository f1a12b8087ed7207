"""Each request as it is counted, traced and logged: how long, by whom answered, never what was said in it."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tutelage.errors import MissingExtraError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tutelage.serving.metrics import Metrics

ROUTE = "tutelage.route"  # where a scope keeps its route's template
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TOLD = {b"x-tutelage-by": "by", b"x-tutelage-stage": "stage", b"x-tutelage-id": "id"}
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_log = logging.getLogger("tutelage.requests")
_tracer = trace.get_tracer("tutelage.serving")
_propagator = TraceContextTextMapPropagator()
_NO_SPAN = nullcontext(trace.INVALID_SPAN)


class Observed:
    """The outermost layer. A trace that the client has begun (`traceparent`) goes on; without one and without
    a collector there are no spans."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, told = perf_counter(), 500, dict[str, str]()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                for name, value in message["headers"]:
                    if name in _TOLD:
                        told[_TOLD[name]] = value.decode("latin-1")
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "other"
        with _span(method, _context(scope)) as span:
            try:
                await self._app(scope, receive, noted)
            finally:
                route, seconds = scope.get(ROUTE, "none"), perf_counter() - began
                self._metrics.asked(method, route, status, seconds)
                if span.is_recording():
                    _describe(span, method, route, status, told)
                if _log.isEnabledFor(logging.INFO):
                    fields = {
                        "method": method,
                        "route": route,
                        "status": status,
                        "seconds": round(seconds, 6),
                    }
                    _log.info(
                        "request %s", " ".join(map(str, fields.values())), extra={"fields": fields | told}
                    )


def _span(method: str, context: Any) -> AbstractContextManager[trace.Span]:
    """What is begun here, or goes on; where nobody collects spans and none came, nothing that costs time."""
    if context is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return _NO_SPAN
    return _tracer.start_as_current_span(method, context, SpanKind.SERVER)


def _context(scope: Scope) -> Any:
    """What the client has begun. Not its baggage: that would go on to the teacher."""
    carrier = {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    return _propagator.extract(carrier) if carrier else None


def _describe(span: trace.Span, method: str, route: str, status: int, told: Mapping[str, str]) -> None:
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    span.set_attributes({f"tutelage.{name}": value for name, value in told.items()})
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def trace_headers() -> dict[str, str]:
    """Of a request to the teacher, the headers by which a trace goes on; none without a collector."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def begin_traces() -> bool:
    """Send spans to the collector that the usual variables name (OTEL_EXPORTER_OTLP_ENDPOINT and its kin).

    Whether there is one. Raises MissingExtraError where it is named and the extra `traces` is absent.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError("opentelemetry-sdk", "traces", "sending traces") from error
    name = os.environ.get("OTEL_SERVICE_NAME", "tutelage")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


class JsonFormatter(logging.Formatter):
    """A line of JSON a record. Of an exception it has the type and where it arose, not its words, which may
    hold what a request said."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        content: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            content["trace"] = f"{span.trace_id:032x}"
        if record.exc_info and record.exc_info[0] is not None:
            content["exception"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])[-8:]
            content["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(content)
