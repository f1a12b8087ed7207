"""Providers' batch APIs: many requests in one, answered within a day, cheaper."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import aiohttp

from tutelage.errors import (
    BatchForgotten,
    ConfigError,
    TeacherError,
    TeacherRefusesAccess,
    TeacherUnavailable,
)
from tutelage.records import Answer, Prompt, Usage
from tutelage.tasks import Parsed
from tutelage.teachers._access import batch_discount_of
from tutelage.teachers._dialect import Dialect
from tutelage.teachers._endpoint_faults import PromptRejected, error_message
from tutelage.teachers._http import BodyTooLarge, Response, Transport
from tutelage.teachers._replies import Reply, combine
from tutelage.teachers.endpoint import EndpointTeacher
from tutelage.teachers.protocol import BatchCounts, TeacherContext

_LONGEST_LINE = 16 << 20  # bytes of one result
_GONE = {404, 410}
Body = bytes | io.BytesIO  # the latter where it is large: it is read piece by piece, and held once
_TOLD = 300  # characters of a provider's message


def new_tag(requests: int) -> str:
    """A tag of its own for a batch: it holds the time and the number of requests, by which it is found."""
    return f"t{int(time.time()):x}n{requests:x}r{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Line:
    """One result: whose, the HTTP status it stands for, and the body that an answer alone would have had."""

    custom_id: str
    status: int
    body: bytes


class BatchTransport(Transport):
    """A transport that also gets, uploads, and reads long results line by line."""

    async def send(
        self, method: str, path: str, data: Body | None = None, kind: str = "application/json"
    ) -> Response:
        """One request. Raises TeacherUnavailable where no answer came; `billed` as in `post`."""
        session = await self._ready()
        try:
            async with session.request(
                method,
                self._base_url + path,
                data=data,
                headers={"Content-Type": kind},
                proxy=self._proxy,
                allow_redirects=False,
                timeout=self._patient(),
            ) as response:
                return Response(response.status, response.headers, await self._body_of(response))
        except BodyTooLarge as error:
            raise TeacherUnavailable(str(error), billed=True, fault="body") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from None

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of what lies at `path`.

        Raises TeacherUnavailable where they don't come whole, BatchForgotten where nothing lies there.
        """
        session = await self._ready()
        rest = b""
        try:
            async with session.get(
                self._base_url + path, proxy=self._proxy, allow_redirects=False, timeout=self._patient()
            ) as response:
                if response.status in _GONE:
                    raise BatchForgotten(f"{self.host} answered {response.status} for its results")
                if response.status != 200:
                    raise TeacherUnavailable(f"{self.host} answered {response.status} for a batch's results")
                async for chunk in response.content.iter_chunked(1 << 16):
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line
                    if len(rest) > _LONGEST_LINE:
                        raise TeacherUnavailable(f"{self.host} sent a result of more than 16 MB")
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from None
        if rest.strip():
            yield rest

    async def _ready(self) -> aiohttp.ClientSession:
        if self._session is None or self._loop is not asyncio.get_running_loop():
            return await self._connected()
        return self._session

    def _patient(self) -> aiohttp.ClientTimeout:
        """No limit on the whole, which may be 200 MB; one on silence."""
        return aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=max(self._timeout, 60.0))


class BatchApi(Protocol):
    """What one provider's batch API does otherwise than another's. Paths are below the base URL."""

    most_requests: int
    most_bytes: int

    def line(self, custom_id: str, body: bytes) -> bytes:
        """One request of a batch."""
        ...

    async def create(self, lines: Iterable[bytes], tag: str) -> str:
        """Submit; returns the provider's name of the batch."""
        ...

    async def find(self, tag: str, wait: float) -> str | None:
        """The batch that was submitted with this tag; where it has to wait, it looks every `wait` s."""
        ...

    async def state(self, remote: str) -> BatchCounts:
        """How far it is."""
        ...

    def results(self, remote: str) -> AsyncIterator[Line]:
        """All there are, in no order."""
        ...

    async def cancel(self, remote: str) -> None:
        """Ask for its end."""
        ...


class BatchingTeacher(EndpointTeacher):
    """An endpoint whose provider also takes requests in batches. See `Batched`.

    Requests and replies are the very same as those of single calls. Costs are by `teacher.price` less
    `price.batch_discount`, or the discount of the provider's entry in the list of prices, or none.
    """

    def __init__(self, config: Any, context: TeacherContext, dialect: Dialect, logprobs: bool) -> None:
        super().__init__(config, context, dialect, logprobs)
        self.batch: bool = config.batch
        self._batches = BatchTransport(config.base_url, self._headers, config.timeout, self._secrets)
        self._factor = 1.0 - batch_discount_of(config)

    def _batch_api(self) -> BatchApi:
        """The provider's API. Raises ConfigError where it has none."""
        raise ConfigError(
            f"teacher.batch is true, and teacher.type {self._config.type} has no batch API. "
            "Mend: leave it out"
        )

    @cached_property
    def _provider(self) -> BatchApi:
        """Made where it is needed: batches of an earlier configuration are there without `batch` too."""
        return self._batch_api()

    def most_expensive_batch(self, prompts: Sequence[Prompt]) -> float:
        """See `Batched`."""
        kept = [self._kept.get(prompt.hash, []) for prompt in prompts]
        return sum(
            self._missing(replies) * self._most_of(prompt, bool(replies))
            for prompt, replies in zip(prompts, kept, strict=True)
        )

    def fitting(self, prompts: Sequence[Prompt]) -> int:
        """See `Batched`."""
        api, requests, size = self._provider, 0, 0
        for place, prompt in enumerate(prompts):
            lines = self._lines(prompt, "t" * 32)
            requests, size = requests + len(lines), size + sum(map(len, lines)) + len(lines)
            if place and (requests > api.most_requests or size > api.most_bytes):
                return place
        return len(prompts)

    def tag(self, prompts: Sequence[Prompt]) -> str:
        """See `Batched`."""
        return new_tag(sum(self._missing(self._kept.get(prompt.hash, [])) for prompt in prompts))

    def _lines(self, prompt: Prompt, tag: str) -> list[bytes]:
        kept = self._kept.get(prompt.hash, [])
        messages = self._task.render(prompt.text)
        body = self._form(messages, bool(kept)).body(messages)
        return [
            self._provider.line(f"{tag}-{prompt.hash}-{number}", body)
            for number in range(self._missing(kept))
        ]

    async def submit(self, prompts: Sequence[Prompt], tag: str) -> str:
        """See `Batched`. Raises ConfigError where `teacher.batch` is false."""
        if not self.batch:
            raise ConfigError("teacher.batch is false. Mend: set teacher.batch: true")
        lines = (line for prompt in prompts for line in self._lines(prompt, tag))
        return await self._provider.create(lines, tag)

    async def find(self, tag: str, wait: float) -> str | None:
        """See `Batched`."""
        return await self._provider.find(tag, wait)

    async def poll(self, remote: str) -> BatchCounts:
        """See `Batched`."""
        return await self._provider.state(remote)

    async def cancel(self, remote: str) -> None:
        """See `Batched`."""
        await self._provider.cancel(remote)

    async def results(
        self, remote: str, tag: str, prompts: Mapping[str, Prompt]
    ) -> AsyncIterator[tuple[str, Answer | TeacherError]]:
        """See `Batched`."""
        found: dict[str, list[Line]] = {hash_: [] for hash_ in prompts}
        seen: set[str] = set()
        async for line in self._provider.results(remote):
            own, _, place = line.custom_id.rpartition("-")
            head, _, hash_ = own.rpartition("-")
            if head == tag and place.isdigit() and hash_ in found and line.custom_id not in seen:
                seen.add(line.custom_id)
                found[hash_].append(line)
        for hash_, prompt in prompts.items():
            yield hash_, self._outcome(prompt, found.pop(hash_))

    def _outcome(self, prompt: Prompt, lines: Sequence[Line]) -> Answer | TeacherError:
        """The answer that a prompt's replies make, or why they make none yet."""
        vote = bool(self._kept.get(prompt.hash))
        error: TeacherError = TeacherUnavailable(
            f"the batch brought no answer to prompt {prompt.id!r}", fault="batch"
        )
        unknown = 0.0
        for line in lines:
            try:
                reply = self._of_line(prompt, line, vote)
                self._kept.setdefault(prompt.hash, []).append(reply)
                self._require_tokens(reply)
            except TeacherError as fault:
                error = fault
                if line.status == 200 and fault.billed:  # it was answered, in words that can't be read
                    unknown += self._most_of(prompt, vote)
        kept = self._kept.get(prompt.hash, [])
        if kept and not self._missing(kept):
            return combine(self._kept.pop(prompt.hash), self._task)
        error.spent, error.kept = self.tell([prompt])
        error.unaccounted = unknown
        return error

    def _most_of(self, prompt: Prompt, vote: bool) -> float:
        """What one request for the prompt can cost at most."""
        messages = self._task.render(prompt.text)
        return self._bound(self._form(messages, vote), messages) * self._factor

    def _of_line(self, prompt: Prompt, line: Line, vote: bool) -> Reply:
        messages = self._task.render(prompt.text)
        form = self._form(messages, vote)
        try:
            response = Response(line.status, {}, line.body)
            reply = self._reply(response, form, 0.0, partial(self._bound, form, messages))
        except PromptRejected as fault:
            return Reply(
                "", Parsed(fault.status, None, fault.reason), Usage(calls=1), doubtful=not fault.known
            )
        if reply is None:
            raise TeacherUnavailable("the endpoint turned a part of the request down", fault="batch")
        usage = replace(reply.usage, cost=reply.usage.cost * self._factor)
        return self._as_asked(replace(reply, usage=usage), form)

    async def close(self) -> None:
        """Close connections. A later call opens new ones."""
        await super().close()
        await self._batches.close()

    async def ask_api(
        self, method: str, path: str, data: Body | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """One request to the provider's API; what it said, as JSON.

        Raises TeacherUnavailable and TeacherRefusesAccess, as for single calls.
        """
        return self._content_of(await self._batches.send(method, path, data, kind))

    async def ask_of_batch(self, method: str, path: str, data: bytes | None = None) -> dict[str, Any]:
        """`ask_api` about one batch. Raises BatchForgotten where the provider has none at that path."""
        response = await self._batches.send(method, path, data)
        if response.status in _GONE:
            said = self._clean(error_message(response.body))[:_TOLD]
            raise BatchForgotten(f"{self._host} answered {response.status}: {said}")
        return self._content_of(response)

    def _content_of(self, response: Response) -> dict[str, Any]:
        if not 200 <= response.status < 300:
            fault = self._fault(
                response.status, self._clean(error_message(response.body)), dict(response.headers)
            )
            if isinstance(fault, PromptRejected):
                raise TeacherRefusesAccess(f"the batch was turned down: {fault.reason}")
            raise fault
        try:
            content = json.loads(self._secrets.out_of_reply(response.body.decode("utf-8-sig")))
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise TeacherUnavailable(f"{self._host} sent no JSON object", billed=True, fault="body")
        return content

    def read_lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of a file of results."""
        return self._batches.lines(path)
