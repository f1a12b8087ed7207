"""Providers' batch APIs: many requests in one, answered within a day, cheaper."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import aiohttp

from tutelage.economics import price_of
from tutelage.errors import ConfigError, TeacherError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, Prompt, Usage
from tutelage.tasks import Parsed
from tutelage.teachers._dialect import Dialect
from tutelage.teachers._endpoint_faults import PromptRejected, error_message
from tutelage.teachers._http import Response, Transport
from tutelage.teachers._replies import Reply, combine
from tutelage.teachers.endpoint import EndpointTeacher
from tutelage.teachers.protocol import BatchCounts, TeacherContext

_LONGEST_LINE = 16 << 20  # bytes of one result
_LISTED = 100  # batches a page
_CLOCKS_APART = 600.0  # seconds by which the provider's clock may differ from ours
# Errors of single requests, by the status that a single call would have had.
_STATUSES = {"invalid_request_error": 400, "authentication_error": 401, "permission_error": 403}
_TAG = re.compile(r"t([0-9a-f]+)n([0-9a-f]+)r[0-9a-f]{8}")


def new_tag(requests: int) -> str:
    """A tag of its own for a batch: it holds the time and the number of requests, by which it is found."""
    return f"t{int(time.time()):x}n{requests:x}r{secrets.token_hex(4)}"


def _told_by(tag: str) -> tuple[float, int]:
    """When a tag was made (seconds since 1970), and for how many requests."""
    found = _TAG.fullmatch(tag)
    return (float(int(found[1], 16)), int(found[2], 16)) if found else (0.0, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One result: whose, the HTTP status it stands for, and the body that an answer alone would have had."""

    custom_id: str
    status: int
    body: bytes


class BatchTransport(Transport):
    """A transport that also gets, uploads, and reads long results line by line."""

    async def send(
        self, method: str, path: str, data: bytes | None = None, kind: str = "application/json"
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
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from None

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of what lies at `path`. Raises TeacherUnavailable where they don't come whole."""
        session = await self._ready()
        rest = b""
        try:
            async with session.get(
                self._base_url + path, proxy=self._proxy, allow_redirects=False, timeout=self._patient()
            ) as response:
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

    async def create(self, lines: Sequence[bytes], tag: str) -> str:
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
        self._batches = BatchTransport(config.base_url, dialect.headers(self._key), config.timeout)
        self._api = self._batch_api() if self.batch else None
        discount = config.price.batch_discount if config.price is not None else None
        if discount is None:
            listed = price_of(self._host, config.model)
            discount = listed.batch_discount if listed is not None else 0.0
        self._factor = 1.0 - discount

    def _batch_api(self) -> BatchApi:
        """The provider's API. Raises ConfigError where it has none."""
        raise ConfigError(
            f"teacher.batch is true, and teacher.type {self._config.type} has no batch API. "
            "Mend: leave it out"
        )

    @property
    def _provider(self) -> BatchApi:
        if self._api is None:
            raise ConfigError("teacher.batch is false. Mend: set teacher.batch: true")
        return self._api

    def most_expensive_batch(self, prompts: Sequence[Prompt]) -> float:
        """See `Batched`."""
        bound = 0.0
        for prompt in prompts:
            messages = self._task.render(prompt.text)
            bound += self._missing(self._kept.get(prompt.hash, [])) * self._bound(
                self._form(messages, bool(self._kept.get(prompt.hash))), messages
            )
        return bound * self._factor

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
        """See `Batched`."""
        return await self._provider.create(
            [line for prompt in prompts for line in self._lines(prompt, tag)], tag
        )

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
        for hash_, lines in found.items():
            yield hash_, self._outcome(prompts[hash_], lines)

    def _outcome(self, prompt: Prompt, lines: Sequence[Line]) -> Answer | TeacherError:
        """The answer that a prompt's replies make, or why they make none yet."""
        vote = bool(self._kept.get(prompt.hash))
        error: TeacherError = TeacherUnavailable(
            f"the batch brought no answer to prompt {prompt.id!r}", fault="batch"
        )
        for line in lines:
            try:
                reply = self._of_line(prompt, line, vote)
            except TeacherError as fault:
                error = fault
                continue
            self._kept.setdefault(prompt.hash, []).append(reply)
        kept = self._kept.get(prompt.hash, [])
        if kept and not self._missing(kept):
            return combine(self._kept.pop(prompt.hash), self._task)
        error.spent, error.kept = self.tell([prompt])
        error.unaccounted = 0.0
        return error

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
        reply = self._as_asked(replace(reply, usage=usage), form)
        self._require_tokens(reply)
        return reply

    async def close(self) -> None:
        """Close connections. A later call opens new ones."""
        await super().close()
        await self._batches.close()

    async def ask_api(
        self, method: str, path: str, data: bytes | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """One request to the provider's API; what it said, as JSON.

        Raises TeacherUnavailable and TeacherRefusesAccess, as for single calls.
        """
        response = await self._batches.send(method, path, data, kind)
        if not 200 <= response.status < 300:
            fault = self._fault(
                response.status, self._clean(error_message(response.body)), dict(response.headers)
            )
            if isinstance(fault, PromptRejected):
                raise TeacherRefusesAccess(f"the batch was turned down: {fault.reason}")
            raise fault
        try:
            content = json.loads(response.body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise TeacherUnavailable(f"{self._host} sent no JSON object", billed=True, fault="body")
        return content

    def read_lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of a file of results."""
        return self._batches.lines(path)


class OpenAIBatches:
    """OpenAI's: a file of requests, a batch made of it with metadata, files of results and of errors."""

    most_requests, most_bytes = 50_000, 200_000_000

    def __init__(self, teacher: BatchingTeacher, path: str) -> None:
        self._teacher, self._path = teacher, path

    def line(self, custom_id: str, body: bytes) -> bytes:
        """See `BatchApi`."""
        head = json.dumps({"custom_id": custom_id, "method": "POST", "url": f"/v1{self._path}"})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    async def create(self, lines: Sequence[bytes], tag: str) -> str:
        """See `BatchApi`."""
        boundary = secrets.token_hex(16)
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{tag}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        data = b"".join([parts.encode(), b"\n".join(lines), f"\r\n--{boundary}--\r\n".encode()])
        file = await self._teacher.ask_api(
            "POST", "/files", data, f"multipart/form-data; boundary={boundary}"
        )
        order = {
            "input_file_id": _text(file, "id"),
            "endpoint": f"/v1{self._path}",
            "completion_window": "24h",
            "metadata": {"tutelage": tag},
        }
        return _text(await self._teacher.ask_api("POST", "/batches", json.dumps(order).encode()), "id")

    async def find(self, tag: str, wait: float) -> str | None:
        """See `BatchApi`."""
        made, _ = _told_by(tag)
        after = ""
        while True:
            page = await self._teacher.ask_api("GET", f"/batches?limit={_LISTED}{after}")
            batches = _objects(page)
            for batch in batches:
                if (batch.get("metadata") or {}).get("tutelage") == tag:
                    return _text(batch, "id")
            if not page.get("has_more") or not batches:
                return None
            if float(batches[-1].get("created_at") or 0) < made - _CLOCKS_APART:
                return None
            after = f"&after={_text(batches[-1], 'id')}"

    async def state(self, remote: str) -> BatchCounts:
        """See `BatchApi`."""
        batch = await self._teacher.ask_api("GET", f"/batches/{remote}")
        counts = batch.get("request_counts") or {}
        status = str(batch.get("status"))
        errors = _objects(batch.get("errors") or {})
        return BatchCounts(
            total=int(counts.get("total") or 0),
            done=int(counts.get("completed") or 0),
            failed=int(counts.get("failed") or 0),
            ended=status in {"completed", "failed", "expired", "cancelled"},
            said="; ".join([status, *(str(error.get("message")) for error in errors[:3])]),
        )

    async def results(self, remote: str) -> AsyncIterator[Line]:
        """See `BatchApi`."""
        batch = await self._teacher.ask_api("GET", f"/batches/{remote}")
        for name in ("output_file_id", "error_file_id"):
            if not batch.get(name):
                continue
            async for line in self._teacher.read_lines(f"/files/{_text(batch, name)}/content"):
                content = _object(line)
                response = content.get("response")
                if isinstance(response, dict) and response.get("status_code"):
                    status, body = int(response["status_code"]), response.get("body")
                else:
                    status, body = 503, {"error": content.get("error") or {"message": "no response"}}
                yield Line(str(content.get("custom_id")), status, json.dumps(body).encode())

    async def cancel(self, remote: str) -> None:
        """See `BatchApi`."""
        await self._teacher.ask_api("POST", f"/batches/{remote}/cancel", b"{}")


class AnthropicBatches:
    """Anthropic's: requests in the batch itself, without metadata, so that the tag stands in each one's id.

    While a batch is worked on, nobody can see its ids. One that may be ours (made after the tag, with as many
    requests) is therefore waited for.
    """

    most_requests, most_bytes = 100_000, 256_000_000

    def __init__(self, teacher: BatchingTeacher, path: str) -> None:
        self._teacher, self._path = teacher, f"{path}/batches"

    def line(self, custom_id: str, body: bytes) -> bytes:
        """See `BatchApi`."""
        return b'{"custom_id": ' + json.dumps(custom_id).encode() + b', "params": ' + body + b"}"

    async def create(self, lines: Sequence[bytes], tag: str) -> str:
        """See `BatchApi`."""
        data = b'{"requests": [' + b",".join(lines) + b"]}"
        return _text(await self._teacher.ask_api("POST", self._path, data), "id")

    async def find(self, tag: str, wait: float) -> str | None:
        """See `BatchApi`."""
        made, requests = _told_by(tag)
        after = ""
        while True:
            page = await self._teacher.ask_api("GET", f"{self._path}?limit={_LISTED}{after}")
            batches = _objects(page)
            for batch in batches:
                counts = batch.get("request_counts") or {}
                if _seconds(batch) >= made - _CLOCKS_APART and sum(map(int, counts.values())) == requests:
                    remote = _text(batch, "id")
                    if await self._is_ours(remote, tag, wait):
                        return remote
            if not page.get("has_more") or not batches or _seconds(batches[-1]) < made - _CLOCKS_APART:
                return None
            after = f"&after_id={_text(batches[-1], 'id')}"

    async def _is_ours(self, remote: str, tag: str, wait: float) -> bool:
        while not (await self.state(remote)).ended:
            await asyncio.sleep(wait)
        async for line in self.results(remote):
            return line.custom_id.startswith(f"{tag}-")
        return False

    async def state(self, remote: str) -> BatchCounts:
        """See `BatchApi`."""
        batch = await self._teacher.ask_api("GET", f"{self._path}/{remote}")
        counts = {name: int(count) for name, count in (batch.get("request_counts") or {}).items()}
        failed = sum(counts.get(name, 0) for name in ("errored", "canceled", "expired"))
        status = str(batch.get("processing_status"))
        return BatchCounts(
            sum(counts.values()), counts.get("succeeded", 0), failed, status == "ended", status
        )

    async def results(self, remote: str) -> AsyncIterator[Line]:
        """See `BatchApi`."""
        async for line in self._teacher.read_lines(f"{self._path}/{remote}/results"):
            content = _object(line)
            result = content.get("result")
            result = result if isinstance(result, dict) else {}
            status, body = 503, {"error": {"message": f"the request is {result.get('type')}"}}
            if result.get("type") == "succeeded":
                status, body = 200, result.get("message") or {}
            elif result.get("type") == "errored":
                body = result.get("error") or {}
                kind = (body.get("error") or body).get("type") if isinstance(body, dict) else None
                status = _STATUSES.get(str(kind), 503)
            yield Line(str(content.get("custom_id")), status, json.dumps(body).encode())

    async def cancel(self, remote: str) -> None:
        """See `BatchApi`."""
        await self._teacher.ask_api("POST", f"{self._path}/{remote}/cancel", b"{}")


def _object(line: bytes) -> dict[str, Any]:
    """One result's line; an empty object where it is none, which then belongs to nobody."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _objects(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = page.get("data")
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value):
        raise TeacherUnavailable(f"the batch API gave no usable {name!r}", billed=True, fault="body")
    return value


def _seconds(batch: Mapping[str, Any]) -> float:
    """When a batch was made, in seconds since 1970; now where it doesn't say."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(batch.get("created_at"))).timestamp()
    except ValueError:
        return time.time()
