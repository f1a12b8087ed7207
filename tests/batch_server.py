"""The batch APIs of OpenAI and Anthropic on the faulty teacher: files, states, expiry, errors of requests."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from faulty_teacher import FaultyTeacher, Outcome, completion


def message(text: str) -> dict[str, Any]:
    """What Anthropic's API says."""
    usage = {"input_tokens": 20, "output_tokens": 5}
    content = [{"type": "text", "text": text}]
    return {"model": "scripted-1", "content": content, "stop_reason": "end_turn", "usage": usage}


class BatchServer:
    """`fates` gives the next request for a text another fate than an answer: `expired`, `500`, `400`.

    A batch is worked on for `polls` looks at it. `ends` gives the next batches another end than `completed`.
    `on_poll` is called at each look. A batch that is cancelled has answered its first `finished` requests. One
    that is taken out of `batches` is a 404, and so are its results with `forgets_results`.
    """

    def __init__(self, teacher: FaultyTeacher, polls: int = 1) -> None:
        self.teacher, self.polls = teacher, polls
        self.fates: dict[str, list[str]] = {}
        self.ends: list[str] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.looks = 0
        self.creations: list[int] = []  # statuses that the next creations get
        self.lost_creations = 0  # of the next, so many are done, and the answer is lost
        self.on_poll = lambda: None
        self.locked = False  # keys aren't accepted
        self.cancelled: list[str] = []
        self.finished = 0
        self.forgets_results = False
        self._numbers = itertools.count(1)
        for method in ("GET", "POST"):
            teacher.routes[method, "/v1/files"] = self._file
            teacher.routes[method, "/v1/batches"] = self._openai
            teacher.routes[method, "/v1/messages/batches"] = self._anthropic

    def _file(self, path: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        if path.endswith("/content"):
            if self.forgets_results:
                return _MISSING
            return Outcome(body=self.files[path.split("/")[-2]])
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        _, purpose, file, _ = body.split(b"--" + boundary)
        assert purpose.strip().endswith(b"batch")
        name = f"file-{next(self._numbers)}"
        self.files[name] = file.partition(b"\r\n\r\n")[2].strip()
        return Outcome(body=json.dumps({"id": name}).encode())

    def _made(self, batch: dict[str, Any]) -> Outcome:
        if self.creations:
            return Outcome(self.creations.pop(0), b'{"error": {"message": "no"}}')
        name = f"batch_{next(self._numbers)}"
        self.batches[name] = {"id": name, "looks": 0, **batch}
        for _, text in batch["requests"]:
            self.asked[text] += 1
        if self.lost_creations:
            self.lost_creations -= 1
            return Outcome(drop=True)
        return Outcome(body=json.dumps({"id": name}).encode())

    def _openai(self, path: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        path, _, query = path.removeprefix("/v1/batches").partition("?")
        if self.locked:
            return Outcome(401, b'{"error": {"message": "no such key"}}')
        if not path and body:
            order = json.loads(body)
            assert order["endpoint"] == "/v1/chat/completions"
            lines = [json.loads(line) for line in self.files[order["input_file_id"]].splitlines()]
            assert all(line["url"] == order["endpoint"] for line in lines)
            requests = [(line["custom_id"], line["body"]["messages"][-1]["content"]) for line in lines]
            made = {"metadata": order["metadata"], "created_at": int(time.time()), "requests": requests}
            return self._made(made)
        if not path:
            return self._page(query, "after=", _told)
        name, _, verb = path.strip("/").partition("/")
        if name not in self.batches:
            return _MISSING
        if verb == "cancel":
            return self._cancel(name)
        return Outcome(body=json.dumps(_told(self._looked_at(name))).encode())

    def _cancel(self, name: str) -> Outcome:
        batch = self.batches[name]
        if "status" in batch:
            return Outcome(409, b'{"error": {"message": "Cannot cancel a batch that has ended."}}')
        self.cancelled.append(name)
        batch["looks"] = self.polls  # the next look finds it ended
        self._end(batch, "cancelled")
        return Outcome(body=json.dumps(_told(batch)).encode())

    def _page(self, query: str, after: str, shown: Any) -> Outcome:
        """Two batches a page, the newest first."""
        names = [*self.batches][::-1]
        last = query.partition(after)[2]
        names = names[names.index(last) + 1 :] if last else names
        page = {"data": [shown(self.batches[name]) for name in names[:2]], "has_more": len(names) > 2}
        return Outcome(body=json.dumps(page).encode())

    def _looked(self, name: str) -> dict[str, Any]:
        self.looks += 1
        self.on_poll()
        self.batches[name]["looks"] += 1
        return self.batches[name]

    def _looked_at(self, name: str) -> dict[str, Any]:
        batch = self._looked(name)
        total = len(batch["requests"])
        if batch["looks"] <= self.polls:
            return {**batch, "status": "in_progress", "request_counts": {"total": total}}
        if "status" not in batch:
            self._end(batch, self.ends.pop(0) if self.ends else "completed")
        return batch

    def _end(self, batch: dict[str, Any], status: str) -> None:
        good, bad = [], []
        answered = {"completed": len(batch["requests"]), "cancelled": self.finished}.get(status, 0)
        for custom_id, text in batch["requests"][:answered]:
            fate = (self.fates.get(text) or [""]).pop(0) if self.fates.get(text) else ""
            if not fate:
                body = json.loads(completion(self.teacher.answer_to(text)))
                good.append(
                    {"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}
                )
            elif fate == "broken":
                good.append({"custom_id": custom_id, "response": {"status_code": 200, "body": {}}})
            elif fate == "expired":
                bad.append({"custom_id": custom_id, "response": None, "error": {"message": "batch_expired"}})
            else:
                body = {"error": {"message": "content_filter" if fate == "400" else "broken"}}
                bad.append({"custom_id": custom_id, "response": {"status_code": int(fate), "body": body}})
        for field, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[field] = f"file-{next(self._numbers)}"
                self.files[batch[field]] = b"\n".join(json.dumps(line).encode() for line in reversed(lines))
        if status == "full":
            status = "failed"
            batch["errors"] = {"data": [{"message": "Enqueued token limit reached for scripted-1"}]}
        counts = {"total": len(batch["requests"]), "completed": len(good), "failed": len(bad)}
        batch |= {"status": status, "request_counts": counts}

    def _anthropic(self, path: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        path, _, query = path.removeprefix("/v1/messages/batches").partition("?")
        if not path and body:
            requests = [
                (item["custom_id"], item["params"]["messages"][-1]["content"])
                for item in json.loads(body)["requests"]
            ]
            return self._made({"created_at": datetime.now(UTC).isoformat(), "requests": requests})
        if not path:
            return self._page(query, "after_id=", self._as_anthropic)
        name, _, verb = path.strip("/").partition("/")
        if name not in self.batches or (verb == "results" and self.forgets_results):
            return _MISSING
        if verb == "cancel":
            return self._cancel(name)
        if verb == "results":
            batch = self.batches[name]  # what became of it is decided once, however often it is read
            if "results" not in batch:
                answered = batch["requests"][: self.finished] if "status" in batch else batch["requests"]
                canceled = batch["requests"][len(answered) :]
                lines = [*map(self._result, answered), *map(_canceled, canceled)]
                batch["results"] = b"\n".join(lines)
            return Outcome(body=batch["results"])
        return Outcome(body=json.dumps(self._as_anthropic(self._looked(name))).encode())

    def _as_anthropic(self, batch: dict[str, Any]) -> dict[str, Any]:
        ended = batch["looks"] > self.polls or "status" in batch
        total = len(batch["requests"])
        return {
            "id": batch["id"],
            "created_at": batch["created_at"],
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else total, "succeeded": total if ended else 0},
        }

    def _result(self, request: tuple[str, str]) -> bytes:
        custom_id, text = request
        fate = self.fates[text].pop(0) if self.fates.get(text) else ""
        result: dict[str, Any] = {"type": "succeeded", "message": message(self.teacher.answer_to(text))}
        if fate == "expired":
            result = {"type": "expired"}
        elif fate:
            kind, said = (
                ("invalid_request_error", "content_filter") if fate == "400" else ("api_error", "broken")
            )
            result = {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": said}}}
        return json.dumps({"custom_id": custom_id, "result": result}).encode()


_MISSING = Outcome(404, b'{"error": {"message": "No batch of that name."}}')


def _canceled(request: tuple[str, str]) -> bytes:
    return json.dumps({"custom_id": request[0], "result": {"type": "canceled"}}).encode()


def _told(batch: dict[str, Any]) -> dict[str, Any]:
    """What the provider says of a batch: not its requests."""
    return {name: part for name, part in batch.items() if name != "requests"}
