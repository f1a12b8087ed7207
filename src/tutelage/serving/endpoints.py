"""What applications ask: chat completions, typed predictions, models; all else goes on to the teacher."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tutelage.records import NORMAL_SLICE, text_hash
from tutelage.serving.access import Role
from tutelage.serving.app import Guarded, fault, read_json
from tutelage.serving.bodies import (
    BatchRequest,
    BatchResponse,
    PredictRequest,
    PredictResponse,
    about,
    read_body,
)
from tutelage.serving.chat import chunks, completion
from tutelage.serving.gateway import Ask, Gateway, NobodyAnswers, Reply, Streamed
from tutelage.serving.router import By
from tutelage.serving.upstream import ChatEndpoint

_EVENTS = "text/event-stream"
_AT_ONCE = 16  # inputs of a batch asked side by side
_LONGEST_KEY = 200
_PLAIN_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})+")  # RFC 3986, pchar and "/"
_SEPARATOR = re.compile(r"[/\\]")


class Endpoints:
    """The routes of role `client`."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        """`name` is the model name under which the task itself can be asked."""
        self._gateway, self._name, self._created = gateway, name, int(time.time())

    def routes(self) -> list[Guarded]:
        """In the order in which they are tried: the last takes whatever isn't the task."""
        client = Role.CLIENT
        return [
            Guarded("/v1/chat/completions", self.chat, methods=["POST"], role=client),
            Guarded("/v1/models", self.models, methods=["GET"], role=client),
            Guarded("/v1/predict", self.predict, methods=["POST"], role=client),
            Guarded("/v1/predict/batch", self.batch, methods=["POST"], role=client),
        ]

    def passing(self) -> list[Guarded]:
        """The route of all that isn't ours, which has to stand last."""
        return [Guarded("/v1/{path:path}", self.forward, methods=["GET", "POST", "DELETE"], role=Role.CLIENT)]

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        body = await read_json(request)
        text = self._gateway.chat.input_of(body) if isinstance(body, dict) else None
        if text is None:
            return await self.forward(request)
        ask = Ask(text, _key_of(request, body, text), _slice_of(request, body), body)
        if not body.get("stream"):
            return self._completion(ask, await self._gateway.answer(ask))
        if not isinstance(self._gateway.teacher, ChatEndpoint):
            return self._streamed(ask, await self._gateway.answer(ask))
        answered = await self._gateway.stream(ask)
        if isinstance(answered, Reply):
            return self._streamed(ask, answered)
        headers = {**_headers_of_stream(answered), "Content-Type": answered.kind}
        return StreamingResponse(answered.events, answered.status, headers)

    def _completion(self, ask: Ask, reply: Reply) -> Response:
        headers = headers_of(reply)
        if reply.body is None:
            return _Json(self._whole(ask, reply), headers=headers)
        if reply.turned_down != 200:
            return _Json(dict(reply.body), reply.turned_down, headers)
        return _Json({**reply.body, "tutelage": about(reply)}, headers=headers)

    def _streamed(self, ask: Ask, reply: Reply) -> Response:
        options = (ask.body or {}).get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        events = b"".join(chunks(self._whole(ask, reply), with_usage=with_usage))
        return Response(events, headers=headers_of(reply), media_type=_EVENTS)

    def _whole(self, ask: Ask, reply: Reply) -> dict[str, Any]:
        model = (ask.body or {}).get("model")
        model = model if isinstance(model, str) else self._name
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return completion(reply.id, int(time.time()), model, reply.text, about(reply), usage)

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict`."""
        wanted = read_body(PredictRequest, await read_json(request))
        reply = await self._gateway.answer(_ask(wanted))
        return _Json(PredictResponse.of(reply).model_dump(), headers=headers_of(reply))

    async def batch(self, request: Request) -> Response:
        """`POST /v1/predict/batch`."""
        wanted = read_body(BatchRequest, await read_json(request))
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(ask: Ask) -> PredictResponse | None:
            async with places:
                try:
                    return PredictResponse.of(await self._gateway.answer(ask))
                except NobodyAnswers:
                    return None

        # All begin now: the deadline is that of the whole batch.
        answers = await asyncio.gather(*map(one, map(_ask, wanted.inputs)))
        return _Json(BatchResponse(answers=list(answers)).model_dump())

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: the task's own, and the teacher's."""
        own = {"id": self._name, "object": "model", "created": self._created, "owned_by": "tutelage"}
        teacher = {**own, "id": self._gateway.teacher.name, "owned_by": "teacher"}
        return JSONResponse({"object": "list", "data": [own, teacher]})

    async def forward(self, request: Request) -> Response:
        """Untouched, to the teacher."""
        teacher = self._gateway.teacher
        if not isinstance(teacher, ChatEndpoint):
            return fault(
                404, f"this isn't the task, and the teacher {teacher.name} is no endpoint to pass it on to"
            )
        path, query = _passed_on(request)
        stack = AsyncExitStack()
        try:
            response, headers = await stack.enter_async_context(
                teacher.forward(request.method, path, query, request.headers, await request.body())
            )
        except BaseException:
            await stack.aclose()
            raise

        async def passed_on() -> AsyncIterator[bytes]:
            try:
                async for data in response.content.iter_any():
                    yield data
            finally:
                await stack.aclose()

        return StreamingResponse(passed_on(), response.status, {**headers, "X-Tutelage-By": "teacher"})


class _Json(JSONResponse):
    """JSON of whatever a teacher said, half a character too, which UTF-8 has no bytes for."""

    def render(self, content: Any) -> bytes:
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False).encode()


def headers_of(reply: Reply) -> dict[str, str]:
    """Who answered, in headers."""
    headers = {
        "X-Tutelage-Id": reply.id,
        "X-Tutelage-By": str(reply.by),
        "X-Tutelage-Revision": _in_header(reply.revision),
        "X-Tutelage-Stage": str(reply.stage),
    }
    if reply.confidence is not None:
        headers["X-Tutelage-Confidence"] = f"{reply.confidence:.4f}"
    if reply.reason:
        headers["X-Tutelage-Reason"] = _in_header(reply.reason)
    if reply.flagged:
        headers["X-Tutelage-Flagged"] = "true"
    return headers


def _headers_of_stream(answered: Streamed) -> dict[str, str]:
    headers = {
        "X-Tutelage-Id": answered.id,
        "X-Tutelage-By": str(By.TEACHER),
        "X-Tutelage-Stage": str(answered.stage),
    }
    if answered.reason:
        headers["X-Tutelage-Reason"] = _in_header(answered.reason)
    return headers


def _passed_on(request: Request) -> tuple[str, str]:
    """Path and query as they go on, encoded as they came. Raises HTTPException 400 for a path that could
    lead out of the teacher's own.

    Not from `request.url`, which begins with whatever the client wrote in its Host header.
    """
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = raw.partition(b"?")[0].decode("latin-1").removeprefix("/v1")
    decoded = path
    while (further := unquote(decoded)) != decoded:  # a proxy on the way may decode once more
        decoded = further
    parts = _SEPARATOR.split(decoded[1:].removesuffix("/"))
    if not _PLAIN_PATH.fullmatch(path) or any(part in ("..", ".", "") for part in parts):
        raise HTTPException(400, "this path can't be passed on")
    return path, request.scope["query_string"].decode("latin-1")


def _in_header(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isascii() and character.isprintable() else "?" for character in text
    )


def _ask(wanted: PredictRequest) -> Ask:
    return Ask(wanted.input, wanted.key or text_hash(wanted.input), wanted.slice)


def _key_of(request: Request, body: Mapping[str, Any], text: str) -> str:
    """Whose request it is: told by header or by the fields that OpenAI has for it, else the text's own."""
    for given in (request.headers.get("X-Tutelage-Key"), body.get("safety_identifier"), body.get("user")):
        if isinstance(given, str) and given:
            return given[:_LONGEST_KEY]
    return text_hash(text)


def _slice_of(request: Request, body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    named = metadata.get("slice") if isinstance(metadata, dict) else None
    for given in (request.headers.get("X-Tutelage-Slice"), named):
        if isinstance(given, str) and given:
            return given[:100]
    return NORMAL_SLICE
