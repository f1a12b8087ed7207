"""What the server can be asked, as OpenAPI 3.1 has it; made from the bodies that it reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from tutelage.serving.access import Role
from tutelage.serving.bodies import (
    BatchRequest,
    BatchResponse,
    Body,
    FaultBody,
    PredictRequest,
    PredictResponse,
    RolloutRequest,
)

_VERSION = "1"
_GUARDED = (401, 403, 429)
_READS = (400, 408, 413, 422)
_BEARER = {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key of `tutelage keys`."}}


class ChatMessage(BaseModel):
    """A message, as OpenAI's API has it; what else it says is kept."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(BaseModel):
    """A chat request. The task's is answered by teacher or student; any other goes on as it came."""

    model: str = Field(examples=["my-programme"])
    messages: list[ChatMessage]
    stream: bool = False


class Health(Body):
    """How the server is."""

    status: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One of them. `takes` and `gives` are its bodies, None where there is none or where it is free in shape;
    `also` the statuses beside success and those that every such route has.

    `open_ended` tells that what comes back is the teacher's, whatever its status.
    """

    summary: str
    role: Role | None
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    also: tuple[int, ...] = ()
    media: str = "application/json"
    open_ended: bool = False


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/chat/completions"): Operation(
        "A chat completion, by teacher or student", Role.CLIENT, ChatRequest, None, (503,), open_ended=True
    ),
    ("GET", "/v1/models"): Operation("The task's own model name, and the teacher's", Role.CLIENT),
    ("POST", "/v1/predict"): Operation(
        "An answer to one input of the task", Role.CLIENT, PredictRequest, PredictResponse, (503,)
    ),
    ("POST", "/v1/predict/batch"): Operation(
        "Answers to several inputs, in their order", Role.CLIENT, BatchRequest, BatchResponse
    ),
    ("GET", "/healthz"): Operation("Whether the process answers", None, None, Health),
    ("GET", "/readyz"): Operation("Whether the state can be read and captures are kept", None, also=(503,)),
    ("GET", "/metrics"): Operation("Metrics for Prometheus", Role.VIEWER, media="text/plain"),
    ("GET", "/openapi.json"): Operation("This document", None),
    ("GET", "/v1/rollout"): Operation("What holds, and how it came about", Role.VIEWER, also=(503,)),
    ("POST", "/v1/rollout"): Operation(
        "A step of the rollout; with dry_run what its gate says", Role.ADMIN, RolloutRequest, None, (503,)
    ),
    ("GET", "/v1/status"): Operation("The last day in figures", Role.VIEWER, also=(503,)),
}


def openapi_document() -> dict[str, Any]:
    """The document. What goes on to the teacher (`/v1/...`) is its API's, and isn't here."""
    bodies = {
        body for one in OPERATIONS.values() for body in (one.takes, one.gives, FaultBody) if body is not None
    }
    ordered = sorted(bodies, key=lambda body: body.__name__)
    _, schemas = models_json_schema(
        [(body, "validation") for body in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tutelage",
            "version": _VERSION,
            "description": "A server before teacher and student.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": _BEARER},
    }


def _described(operation: Operation) -> dict[str, Any]:
    statuses = operation.also
    if operation.role is not None:
        statuses = (*statuses, *_GUARDED)
    if operation.takes is not None:
        statuses = (*statuses, *_READS)
    faults = {str(status): _fault(status, operation) for status in sorted(statuses)}
    good = {"description": "OK", "content": {operation.media: {"schema": _schema(operation)}}}
    told: dict[str, Any] = {"summary": operation.summary, "responses": {"200": good, **faults}}
    if operation.open_ended:
        told["responses"]["default"] = {"description": "What the teacher says of it."}
    if operation.role is not None:
        told["security"] = [{"bearer": []}]
        told["description"] = f"For the role {operation.role}, and admin."
    if operation.takes is not None:
        reference = {"$ref": f"#/components/schemas/{operation.takes.__name__}"}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return told


def _schema(operation: Operation) -> dict[str, Any]:
    if operation.gives is not None:
        return {"$ref": f"#/components/schemas/{operation.gives.__name__}"}
    return {"type": "string"} if operation.media.startswith("text/") else {"type": "object"}


def _fault(status: int, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if operation.role is None:  # health says in its own words that it isn't
        return {**described, "content": {"application/json": {"schema": {"type": "object"}}}}
    reference = {"$ref": "#/components/schemas/FaultBody"}
    return {**described, "content": {"application/json": {"schema": reference}}}
