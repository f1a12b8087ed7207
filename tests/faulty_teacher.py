"""The one scripted faulty teacher: a real HTTP server on loopback that speaks chat completions.

Each prompt's text has a script, a list of outcomes used up one a request; after it (and without one) the
server answers properly. Every request that reaches it is written down by prompt text.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Outcome:
    """What one request gets: a status with headers and a body, after `delay` seconds."""

    status: int = 200
    body: bytes | Callable[[FaultyTeacher, dict[str, Any]], bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


def completion(
    text: str | None, *, finish: str = "stop", model: str = "scripted-1", usage: Any = None, **message: Any
) -> bytes:
    """A chat completion that says `text`."""
    content = {
        "id": "c",
        "object": "chat.completion",
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5} if usage is None else usage,
    }
    return json.dumps(content).encode()


def error(message: str, **more: Any) -> bytes:
    """An error body as OpenAI sends it."""
    return json.dumps({"error": {"message": message, "type": "x", **more}}).encode()


def _proper(teacher: FaultyTeacher, request: dict[str, Any]) -> bytes:
    return completion(teacher.answer_to(request["messages"][-1]["content"]))


def _good(**parts: Any) -> Callable[[FaultyTeacher, dict[str, Any]], bytes]:
    return lambda teacher, request: completion(teacher.answer_to(request["messages"][-1]["content"]), **parts)


OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "ok": lambda: Outcome(body=_proper),
    "429 seconds": lambda: Outcome(429, error("slow down"), {"Retry-After": "0.05"}),
    "429 ms": lambda: Outcome(429, error("slow down"), {"retry-after-ms": "50"}),
    "429 date": lambda: Outcome(
        429, error("slow down"), {"Retry-After": formatdate(time.time() + 30, usegmt=True)}
    ),
    "429": lambda: Outcome(429, error("slow down")),
    "429 no credit": lambda: Outcome(
        429, error("You exceeded your current quota", code="insufficient_quota")
    ),
    "500": lambda: Outcome(500, b"boom"),
    "502": lambda: Outcome(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "503": lambda: Outcome(503, error("overloaded")),
    "529": lambda: Outcome(529, error("overloaded")),
    "slow": lambda: Outcome(body=_proper, delay=1.0),
    "drop": lambda: Outcome(drop=True),
    "malformed body": lambda: Outcome(body=b'{"choices": [{"mess'),
    "empty body": lambda: Outcome(body=b""),
    "no choices": lambda: Outcome(body=b'{"choices": []}'),
    "list body": lambda: Outcome(body=b"[1, 2]"),
    "deep body": lambda: Outcome(body=b"[" * 100_000),
    "content is a list": lambda: Outcome(body=b'{"choices": [{"message": {"content": [1]}}]}'),
    "invalid utf-8": lambda: Outcome(body=completion("caf\u00e9").replace(b"\\u00e9", b"\xff\xfe")),
    "error in body": lambda: Outcome(body=error("upstream is busy", code=429)),
    "empty": lambda: Outcome(body=completion("")),
    "null": lambda: Outcome(body=completion(None)),
    "truncated": lambda: Outcome(body=completion('{"label": "re', finish="length")),
    "prose": lambda: Outcome(body=completion('Sure! Here it is: {"label": "refund"} Anything else?')),
    "wrong schema": lambda: Outcome(body=completion('{"category": "refund"}')),
    "wrong type": lambda: Outcome(body=completion('{"label": 3}')),
    "duplicate keys": lambda: Outcome(body=completion('{"label": "refund", "label": "card"}')),
    "not a number": lambda: Outcome(body=completion('{"label": NaN}')),
    "out of set": lambda: Outcome(body=completion('{"label": "weather"}')),
    "lone surrogate": lambda: Outcome(body=completion('{"label": "\ud800"}')),
    "refusal": lambda: Outcome(body=completion(None, refusal="I can't help with that.")),
    "refusal in words": lambda: Outcome(body=completion("I'm sorry, I can't help with that.")),
    "filtered": lambda: Outcome(
        400, error("blocked by our content management policy", code="content_filter")
    ),
    "filtered answer": lambda: Outcome(body=completion("", finish="content_filter")),
    "too long": lambda: Outcome(400, error("This model's maximum context length is 8192 tokens")),
    "400": lambda: Outcome(400, error("no")),
    "wrong model": lambda: Outcome(body=_good(model="other-2")),
    "dated model": lambda: Outcome(body=_good(model="scripted-1-2031-01-01")),
    "no usage": lambda: Outcome(body=_good(usage=[])),
    "401": lambda: Outcome(401, error("Incorrect API key provided")),
    "402": lambda: Outcome(402, error("pay first")),
    "403": lambda: Outcome(403, error("not in your country")),
    "404": lambda: Outcome(404, error("no such model")),
}


class FaultyTeacher:
    """The server. `delay` seconds go before every answer; `answers` maps texts to what is said of them."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Outcome]] = {}
        self.answers: dict[str, str] = {}
        self.default: Outcome = OUTCOMES["ok"]()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Message] = []  # looked up in any case
        self.delay = 0.0
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.teacher = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What `teacher.base_url` has to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def served(self) -> Counter[str]:
        """Requests that arrived, by prompt text."""
        with self._lock:
            return Counter(request["messages"][-1]["content"] for request in self.requests)

    def script(self, text: str, outcomes: Sequence[str | Outcome]) -> None:
        """Give the next requests for `text` these outcomes."""
        self.scripts[text] = [
            OUTCOMES[outcome]() if isinstance(outcome, str) else outcome for outcome in outcomes
        ]

    def answer_to(self, text: str) -> str:
        """What a proper answer says: scripted, else decided by the text's length."""
        labels = ("refund", "card", "card stolen")
        return self.answers.get(text) or json.dumps({"label": labels[len(text) % 3]})

    def take(self, request: dict[str, Any], headers: Message) -> Outcome:
        """Write a request down and choose what it gets."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            script = self.scripts.get(request["messages"][-1]["content"])
            return script.pop(0) if script else self.default

    def count(self, change: int) -> None:
        """Keep the number of requests under way and its peak."""
        with self._lock:
            self.under_way += change
            self.most_under_way = max(self.most_under_way, self.under_way)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    teacher: FaultyTeacher

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, or are killed, are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        teacher = self.server.teacher
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        outcome = teacher.take(request, self.headers)
        teacher.count(+1)
        try:
            time.sleep(teacher.delay + outcome.delay)
            body = outcome.body if isinstance(outcome.body, bytes) else outcome.body(teacher, request)
        finally:
            teacher.count(-1)
        if outcome.drop:
            self.close_connection = True
            return
        self.send_response(outcome.status)
        for name, value in {"Content-Type": "application/json", **outcome.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
