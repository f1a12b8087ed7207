"""The batch APIs of the providers that have one, each as it is."""

from __future__ import annotations

import asyncio
import io
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from tutelage.errors import BatchForgotten, TeacherUnavailable
from tutelage.teachers._batch_api import BatchingTeacher, Line
from tutelage.teachers.protocol import BatchCounts

_LISTED = 100  # batches a page
_CLOCKS_APART = 600.0  # seconds by which the provider's clock may differ from ours
# Errors of single requests, by the status that a single call would have had.
_STATUSES = {"invalid_request_error": 400, "authentication_error": 401, "permission_error": 403}
_TAG = re.compile(r"t([0-9a-f]+)n([0-9a-f]+)r[0-9a-f]{8}")


def _told_by(tag: str) -> tuple[float, int]:
    """When a tag was made (seconds since 1970), and for how many requests."""
    found = _TAG.fullmatch(tag)
    return (float(int(found[1], 16)), int(found[2], 16)) if found else (0.0, 0)


class OpenAIBatches:
    """OpenAI's: a file of requests, a batch made of it with metadata, files of results and of errors."""

    most_requests, most_bytes = 50_000, 200_000_000

    def __init__(self, teacher: BatchingTeacher, path: str) -> None:
        self._teacher, self._path = teacher, path

    def line(self, custom_id: str, body: bytes) -> bytes:
        """See `BatchApi`."""
        head = json.dumps({"custom_id": custom_id, "method": "POST", "url": f"/v1{self._path}"})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    async def create(self, lines: Iterable[bytes], tag: str) -> str:
        """See `BatchApi`."""
        boundary = secrets.token_hex(16)
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{tag}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        data = _body(parts.encode(), b"\n", lines, f"\r\n--{boundary}--\r\n".encode())
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
                if _part(batch, "metadata").get("tutelage") == tag:
                    return _text(batch, "id")
            if not page.get("has_more") or not batches:
                return None
            if _seconds(batches[-1]) < made - _CLOCKS_APART:
                return None
            after = f"&after={_text(batches[-1], 'id')}"

    async def state(self, remote: str) -> BatchCounts:
        """See `BatchApi`."""
        batch = await self._teacher.ask_of_batch("GET", f"/batches/{remote}")
        counts = _counts(batch)
        status = str(batch.get("status"))
        errors = _objects(_part(batch, "errors"))
        return BatchCounts(
            total=counts.get("total", 0),
            done=counts.get("completed", 0),
            failed=counts.get("failed", 0),
            ended=status in {"completed", "failed", "expired", "cancelled"},
            said="; ".join([status, *(str(error.get("message")) for error in errors[:3])]),
        )

    async def results(self, remote: str) -> AsyncIterator[Line]:
        """See `BatchApi`."""
        batch = await self._teacher.ask_of_batch("GET", f"/batches/{remote}")
        for name in ("output_file_id", "error_file_id"):
            if not batch.get(name):
                continue
            async for line in self._teacher.read_lines(f"/files/{_text(batch, name)}/content"):
                content = _object(line)
                response = content.get("response")
                if isinstance(response, dict) and type(response.get("status_code")) is int:
                    status, body = response["status_code"], response.get("body")
                else:
                    status, body = 503, {"error": content.get("error") or {"message": "no response"}}
                yield Line(str(content.get("custom_id")), status, json.dumps(body).encode())

    async def cancel(self, remote: str) -> None:
        """See `BatchApi`."""
        await self._teacher.ask_of_batch("POST", f"/batches/{remote}/cancel", b"{}")


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

    async def create(self, lines: Iterable[bytes], tag: str) -> str:
        """See `BatchApi`."""
        data = _body(b'{"requests": [', b",", lines, b"]}")
        return _text(await self._teacher.ask_api("POST", self._path, data), "id")

    async def find(self, tag: str, wait: float) -> str | None:
        """See `BatchApi`."""
        made, requests = _told_by(tag)
        after = ""
        while True:
            page = await self._teacher.ask_api("GET", f"{self._path}?limit={_LISTED}{after}")
            batches = _objects(page)
            for batch in batches:
                total = sum(_counts(batch).values())
                if _seconds(batch) >= made - _CLOCKS_APART and total == requests:
                    remote = _text(batch, "id")
                    if await self._is_ours(remote, tag, wait):
                        return remote
            if not page.get("has_more") or not batches or _seconds(batches[-1]) < made - _CLOCKS_APART:
                return None
            after = f"&after_id={_text(batches[-1], 'id')}"

    async def _is_ours(self, remote: str, tag: str, wait: float) -> bool:
        with suppress(BatchForgotten):  # then nobody can tell, and it is as good as none
            while not (await self.state(remote)).ended:
                await asyncio.sleep(wait)
            async for line in self.results(remote):
                return line.custom_id.startswith(f"{tag}-")
        return False

    async def state(self, remote: str) -> BatchCounts:
        """See `BatchApi`."""
        batch = await self._teacher.ask_of_batch("GET", f"{self._path}/{remote}")
        counts = _counts(batch)
        failed = sum(counts.get(name, 0) for name in ("errored", "canceled", "expired"))
        status = str(batch.get("processing_status"))
        return BatchCounts(
            sum(counts.values()), counts.get("succeeded", 0), failed, status == "ended", status
        )

    async def results(self, remote: str) -> AsyncIterator[Line]:
        """See `BatchApi`."""
        async for line in self._teacher.read_lines(f"{self._path}/{remote}/results"):
            content = _object(line)
            result = _part(content, "result")
            status, body = 503, {"error": {"message": f"the request is {result.get('type')}"}}
            if result.get("type") == "succeeded":
                status, body = 200, result.get("message") or {}
            elif result.get("type") == "errored":
                body = _part(result, "error")
                kind = (_part(body, "error") or body).get("type")
                status = _STATUSES.get(str(kind), 503)
            yield Line(str(content.get("custom_id")), status, json.dumps(body).encode())

    async def cancel(self, remote: str) -> None:
        """See `BatchApi`."""
        await self._teacher.ask_of_batch("POST", f"{self._path}/{remote}/cancel", b"{}")


def _body(head: bytes, between: bytes, lines: Iterable[bytes], tail: bytes) -> io.BytesIO:
    """A body of many requests, each made as it is written: up to 256 MB, of which there is one copy."""
    body = io.BytesIO()
    body.write(head)
    for place, line in enumerate(lines):
        body.write(between * bool(place))
        body.write(line)
    body.write(tail)
    body.seek(0)
    return body


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


def _part(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object within an object; an empty one where there is none."""
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _counts(batch: Mapping[str, Any]) -> dict[str, int]:
    return {name: count for name, count in _part(batch, "request_counts").items() if type(count) is int}


def _seconds(batch: Mapping[str, Any]) -> float:
    """When a batch was made, in seconds since 1970; now where it doesn't say."""
    made = batch.get("created_at")
    if isinstance(made, int | float):
        return float(made)
    try:
        return datetime.fromisoformat(str(made)).timestamp()
    except ValueError:
        return time.time()
