"""The teacher behind the server: asked as the application asked, or as the programme asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Any, Protocol

import aiohttp
from yarl import URL

from tutelage.config import OpenAITeacherConfig
from tutelage.errors import TeacherError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Prompt, Value
from tutelage.serving.chat import ChatFormat, completion, said_in
from tutelage.serving.observed import trace_headers
from tutelage.tasks import Task
from tutelage.teachers import Teacher, headers_from_environment, key_of, tariff_of
from tutelage.teachers.openai import completions_path

_PASSING = frozenset((408, 409, 425, 429, *range(500, 600)))
_NO_ACCESS = frozenset((401, 402, 403, 404))
_CONNECT_WITHIN = 5.0
_SILENCE = 600.0  # seconds without a byte, after which what passes through is given up
_MOST_BYTES = 32 << 20
# Of a request, what goes on to the teacher; of its answer, what comes back. All else is of one connection.
_FORWARDED = frozenset(("accept", "content-type", "openai-beta", "x-stainless-lang", "x-request-id"))
_RETURNED = frozenset(("content-type", "retry-after", "x-request-id", "openai-processing-ms"))


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """What the teacher said: `value` is None where that is no value of the task. `cost` in US dollars.

    `body` is the whole completion, where a chat request was answered. `status` other than 200 tells that the
    request was turned down for what it is, and `body` how.
    """

    value: Value | None
    text: str
    cost: float
    model: str
    body: Mapping[str, Any] | None = None
    status: int = 200


class ServedTeacher(Protocol):
    """A teacher that a gateway asks. All raise TeacherError where no answer comes."""

    name: str

    async def ask(self, text: str) -> TeacherReply:
        """As the programme asks."""
        ...

    async def complete(self, body: Mapping[str, Any], text: str) -> TeacherReply:
        """A chat request of the task, as the application wrote it; `text` is the input in it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class AskedTeacher:
    """Any teacher: chat requests are put to it as the programme puts them, whatever else they say."""

    def __init__(self, teacher: Teacher, chat: ChatFormat) -> None:
        self.name = teacher.name
        self._teacher, self._chat = teacher, chat

    async def ask(self, text: str) -> TeacherReply:
        """See `ServedTeacher.ask`."""
        [answer] = await self._teacher.answer([Prompt("", text)])
        said = self._chat.text_of(answer.value) if answer.value is not None else answer.raw
        return TeacherReply(answer.value, said, answer.usage.cost, answer.model or self.name)

    async def complete(self, body: Mapping[str, Any], text: str) -> TeacherReply:
        """See `ServedTeacher.complete`."""
        reply = await self.ask(text)
        whole = completion("teacher", int(time()), reply.model, reply.text, {}, _NO_USAGE)
        return TeacherReply(reply.value, reply.text, reply.cost, reply.model, whole)

    async def close(self) -> None:
        """See `ServedTeacher.close`."""
        await self._teacher.close()


_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class ChatEndpoint:
    """An OpenAI-compatible endpoint: chat requests go to it as they came, and all else as well.

    Only to this host, without following redirects, with the programme's key in place of the application's.
    """

    def __init__(
        self, config: OpenAITeacherConfig, asked: AskedTeacher, chat: ChatFormat, task: Task, timeout: float
    ) -> None:
        """`asked` is the same endpoint as a `Teacher`. Raises ConfigError without key or price."""
        self.name = asked.name
        self._config, self._asked, self._chat, self._task = config, asked, chat, task
        self._timeout, self._path = timeout, completions_path(config)
        self._price = tariff_of(config).price
        key = key_of(config)
        own = {"api-key": key} if config.api == "azure" else {"Authorization": f"Bearer {key or 'none'}"}
        self._headers = {**config.headers, **headers_from_environment(config), **own}
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, text: str) -> TeacherReply:
        """See `ServedTeacher.ask`."""
        return await self._asked.ask(text)

    async def complete(self, body: Mapping[str, Any], text: str) -> TeacherReply:
        """See `ServedTeacher.complete`."""
        sent = {**self._addressed(body, text), "stream": False}
        sent.pop("stream_options", None)
        async with self._called("POST", self._path, json=sent) as response:
            data = await _whole(response)
            if response.status in _PASSING or response.status in _NO_ACCESS:
                raise self._fault(response)
        content = _read(data)
        if content is None:
            raise TeacherUnavailable(
                f"{self.name} answered {response.status} with no JSON object", fault="body"
            )
        said = said_in(content)
        if response.status != 200:
            return TeacherReply(None, said, 0.0, "", content, response.status)
        if not content.get("choices"):
            raise TeacherUnavailable(f"{self.name} answered without a choice", fault="body")
        model = str(content.get("model") or "")
        return TeacherReply(
            self._chat.value_of(said), said, self.cost_of(content.get("usage")), model, content
        )

    @asynccontextmanager
    async def stream(self, body: Mapping[str, Any], text: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A chat request as a stream of events; raises TeacherError before its first byte."""
        async with self._called("POST", self._path, json=self._addressed(body, text)) as response:
            if response.status in _PASSING or response.status in _NO_ACCESS:
                raise self._fault(response)
            yield response

    @asynccontextmanager
    async def forward(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, dict[str, str]]]:
        """Any other request as it came, with the headers of the answer that may go back."""
        kept = {name: value for name, value in headers.items() if name.lower() in _FORWARDED}
        target = path + (f"?{query}" if query else "")
        # How long it may take is known to whoever asked: it hangs up.
        patient = aiohttp.ClientTimeout(connect=_CONNECT_WITHIN, sock_read=_SILENCE)
        async with self._called(method, target, data=body or None, headers=kept, timeout=patient) as response:
            back = {name: value for name, value in response.headers.items() if name.lower() in _RETURNED}
            yield response, back

    def _addressed(self, body: Mapping[str, Any], text: str) -> dict[str, Any]:
        """The request under the teacher's own model name; with the programme's prompt where it has none."""
        sent = dict(body)
        if body.get("model") in self._chat.names:
            sent["model"] = self._config.model
        if self._chat.is_bare(body):
            sent["messages"] = self._task.render(text)
        return sent

    def cost_of(self, usage: Any) -> float:
        """US dollars of what an answer says that it used."""
        if self._price is None or not isinstance(usage, dict):
            return 0.0
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        inputs, outputs = (count if isinstance(count, int) and count >= 0 else 0 for count in counts)
        return self._price.of(inputs, outputs)

    @asynccontextmanager
    async def _called(self, method: str, path: str, **how: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._session or self._open()
        headers = {**how.pop("headers", {}), **trace_headers()}
        address = URL(self._config.base_url + path, encoded=True)
        try:
            async with session.request(
                method,
                address,
                allow_redirects=False,
                headers=headers,
                **how,
            ) as response:
                yield response
        except TimeoutError:
            raise TeacherUnavailable(f"{self.name} did not answer in time", fault="time-out") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TeacherUnavailable(
                f"the connection to {self.name} failed: {type(error).__name__}", fault="connection"
            ) from error

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout, connect=min(_CONNECT_WITHIN, self._timeout)),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    def _fault(self, response: aiohttp.ClientResponse) -> TeacherError:
        told = f"{self.name} answered {response.status}"
        if response.status in _NO_ACCESS:
            return TeacherRefusesAccess(told)
        return TeacherUnavailable(told, retry_after=_seconds(response), fault=str(response.status))

    async def close(self) -> None:
        """See `ServedTeacher.close`."""
        await self._asked.close()
        if self._session is not None:
            await self._session.close()


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    data = await response.content.read(_MOST_BYTES + 1)
    while len(data) <= _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
        data += more
    if len(data) > _MOST_BYTES:
        response.close()
        raise TeacherUnavailable(f"the teacher sent more than {_MOST_BYTES >> 20} MB")
    return data


def _read(data: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else, also for what Python alone takes for JSON."""
    try:
        content = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _seconds(response: aiohttp.ClientResponse) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
