"""The one scripted faulty teacher: a real HTTP server on loopback that speaks chat completions and messages.

Each prompt's text has a script, a list of outcomes used up one a request (`faulty_outcomes.OUTCOMES` names
them). Without one, the outcome is drawn from `mix`, by its seed and the text, so that it doesn't depend on the
order in which requests arrive; without that the server answers properly. Every request that reaches it is
written down by prompt text.

As a program it serves from a process of its own: it prints its address, for each line on stdin its counts as
JSON, and ends with stdin.

    python tests/faulty_teacher.py [--delay 0.05] [--mix '{"429": 0.3}'] [--seed 0] [--outage 100 60 refuse]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faulty_outcomes import OUTCOMES, Outcome, Request, Said, completion, error

__all__ = ["OUTCOMES", "FaultyTeacher", "Outcome", "Request", "Said", "completion", "error", "self_signed"]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # a TLS record: fatal, handshake failure
_NO_RECORD = b"\x17\x03\x03\x00\x20" + b"\x00" * 32  # a TLS record that doesn't decrypt

Route = Callable[[str, Mapping[str, str], bytes], Outcome]


class Headers(dict[str, str]):
    """A request's headers, looked up in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's."""
        return super().get(name.lower(), default)


class FaultyTeacher:
    """The server. `delay` seconds go before every answer; `answers` maps texts to what is said of them.

    `logprobs` gives token log-probabilities to whoever asks for them. `routes` maps (method, path prefix) to
    what answers there in place of a chat: other endpoints of an API. `records` False keeps counts alone.
    `proper` counts the answers of status 200 that were sent whole, by text: what a provider would bill.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.scripts: dict[str, list[Outcome]] = {}
        self.answers: dict[str, str] = {}
        self.default: Outcome = OUTCOMES["ok"]()
        self.routes: dict[tuple[str, str], Route] = {}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Headers] = []
        self.delay = 0.0
        self.logprobs = False
        self.records = True
        self.under_way = self.most_under_way = 0
        self.arrivals: Counter[str] = Counter()
        self.proper: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.connections = self.connected = self.most_connected = 0
        self.refused_handshakes = 0  # of the next connections, so many meet a TLS alert
        self.outage_at: tuple[int, float, str] | None = None
        self._mix: tuple[dict[str, float], int] | None = None
        self._out_until = 0.0
        self._lock = threading.RLock()
        self._open: set[_Connection] = set()
        self._tls = _server_context(certificate) if certificate else None
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._listening.wait(10)

    @property
    def url(self) -> str:
        """What `teacher.base_url` has to be."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/v1"

    @property
    def served(self) -> Counter[str]:
        """Requests that arrived, by prompt text."""
        with self._lock:
            return Counter(_text_of(request) for request in self.requests)

    @property
    def counts(self) -> dict[str, Any]:
        """What happened so far, as JSON."""
        with self._lock:
            return {
                "requests": self.arrivals.total(),
                "prompts": len(self.arrivals),
                "proper": self.proper.total(),
                "connections": self.connections,
                "most_connected": self.most_connected,
                "most_under_way": self.most_under_way,
                "outcomes": dict(sorted(self.outcomes.items())),
            }

    def script(self, text: str, outcomes: Sequence[str | Outcome]) -> None:
        """Give the next requests for `text` these outcomes."""
        self.scripts[text] = [
            OUTCOMES[outcome]() if isinstance(outcome, str) else outcome for outcome in outcomes
        ]

    def mix(self, shares: Mapping[str, float], seed: int) -> None:
        """Give each request an outcome by chance: `shares` of those named, and of proper answers the rest.

        `tls handshake` is a share of connections.
        """
        unknown = shares.keys() - OUTCOMES.keys() - {"tls handshake"}
        if unknown:
            raise KeyError(f"no outcome is named {sorted(unknown)}")
        self._mix = (dict(shares), seed)

    def outage(self, seconds: float, how: str = "refuse") -> None:
        """Be gone for a while: `refuse` connections and reset those there are, or answer `503`."""
        self._loop.call_soon_threadsafe(self._go_away, seconds, how)

    def answer_to(self, text: str) -> str:
        """What a proper answer says: scripted, else decided by the text's length."""
        labels = ("refund", "card", "card stolen")
        return self.answers.get(text) or json.dumps({"label": labels[len(text) % 3]})

    def take(self, request: dict[str, Any], headers: Headers) -> Outcome:
        """Write a request down and choose what it gets."""
        text = _text_of(request)
        with self._lock:
            if self.records:
                self.requests.append(request)
                self.headers.append(headers)
            script = self.scripts.get(text)
            if script:
                return script.pop(0)
            return self._by_chance(text) or self.default

    def _by_chance(self, text: str) -> Outcome | None:
        if self._mix is None:
            return None
        shares, seed = self._mix
        draw = random.Random(f"{seed}:{text}:{self.arrivals[text]}").random()
        for name, share in shares.items():
            if name in OUTCOMES:
                if draw < share:
                    self.outcomes[name] += 1
                    return OUTCOMES[name]()
                draw -= share
        return None

    def count(self, change: int) -> None:
        """Keep the number of requests under way and its peak."""
        with self._lock:
            self.under_way += change
            self.most_under_way = max(self.most_under_way, self.under_way)

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(self._listen())
        self._listening.set()
        try:
            self._loop.run_forever()
        finally:
            self._server.close()
            self._loop.run_until_complete(self._hang_up())
            self._loop.close()

    async def _hang_up(self) -> None:
        """Reset every connection, those too that were accepted a moment ago."""
        for _ in range(3):
            await asyncio.sleep(0)
            for connection in list(self._open):
                connection.abort()
        while self._open:
            await asyncio.sleep(0.001)

    async def _listen(self) -> asyncio.Server:
        server = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, backlog=256, reuse_address=True
        )
        self._port = server.sockets[0].getsockname()[1]
        return server

    def _go_away(self, seconds: float, how: str) -> None:
        self._out_until = time.monotonic() + seconds
        if how == "refuse":
            self._leaving = self._loop.create_task(self._leave(seconds))

    async def _leave(self, seconds: float) -> None:
        # asyncio leaves a connection open that it has accepted and not yet handed over when the server closes.
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()
        for connection in list(self._open):
            connection.abort()
        self._loop.call_later(seconds, lambda: self._loop.create_task(self._come_back()))

    async def _come_back(self) -> None:
        self._server = await self._listen()

    def _outcome(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[Outcome, Request]:
        """What a request gets, and its JSON."""
        for (verb, prefix), route in self.routes.items():
            if method == verb and path.startswith(prefix):
                return route(path, headers, body), Request()
        try:
            request = Request(json.loads(body))
            request.path, text = path, request.text
        except (ValueError, TypeError, LookupError, AttributeError):  # a probe, say, without a body
            told = b"" if method == "HEAD" else error("that is no request of this API")
            return Outcome(400, told), Request()
        with self._lock:
            self.arrivals[text] += 1
            arrived = self.arrivals.total() if self.outage_at else 0
        if self.outage_at and arrived >= self.outage_at[0]:
            _, seconds, how = self.outage_at
            self.outage_at = None
            self._go_away(seconds, how)
        outcome = self.take(request, headers)
        if time.monotonic() < self._out_until:
            self.outcomes["outage"] += 1
            outcome = OUTCOMES["503"]()
        return outcome, request

    def _fails_handshake(self) -> bool:
        if self.refused_handshakes > 0:
            self.refused_handshakes -= 1
            return True
        shares, seed = self._mix or ({}, 0)
        draw = random.Random(f"{seed}:connection {self.connections}").random()
        fails = draw < shares.get("tls handshake", 0.0)
        self.outcomes["tls handshake"] += fails
        return fails


def _text_of(request: dict[str, Any]) -> str:
    return request.text if isinstance(request, Request) else str(request["messages"][-1]["content"])


class _Connection(asyncio.Protocol):
    """One client's connection, kept alive from request to request."""

    def __init__(self, teacher: FaultyTeacher) -> None:
        self._teacher = teacher
        self._received = bytearray()
        self._busy: asyncio.TimerHandle | None = None
        self._tls = self._handshaken = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        teacher = self._teacher
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        teacher.connections += 1
        teacher.connected += 1
        teacher.most_connected = max(teacher.most_connected, teacher.connected)
        teacher._open.add(self)
        if teacher._tls is not None:
            self._tls, self._refused = True, teacher._fails_handshake()
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._secured = teacher._tls.wrap_bio(self._in, self._out, server_side=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._teacher.connected -= 1
        self._teacher._open.discard(self)
        if self._busy is not None:
            self._busy.cancel()
            self._teacher.count(-1)
            self._busy = None

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._tls:
            data = self._decrypted(data)
        self._received += data
        if self._busy is None:
            self._read()

    def _decrypted(self, data: bytes) -> bytes:
        if self._refused:
            self._transport.write(_ALERT)
            self._transport.close()
            return b""
        self._in.write(data)
        plain = bytearray()
        try:
            if not self._handshaken:
                self._secured.do_handshake()
                self._handshaken = True
            while chunk := self._secured.read(65_536):
                plain += chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._transport.close()
        self._transport.write(self._out.read())
        return bytes(plain)

    def _write(self, data: bytes) -> None:
        if self._tls:
            self._secured.write(data)
            data = self._out.read()
        self._transport.write(data)

    def _read(self) -> None:
        """Take the next whole request out of what was received."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = Headers((name.lower(), value.strip()) for name, _, value in pairs)
        size = end + 4 + int(headers.get("content-length", 0))
        if len(self._received) < size:
            return
        body = bytes(self._received[end + 4 : size])
        del self._received[:size]
        method, path, _ = first.split(" ", 2)
        teacher = self._teacher
        outcome, request = teacher._outcome(method, path, headers, body)
        if self._transport.is_closing():
            return
        teacher.count(+1)
        self._busy = teacher._loop.call_later(teacher.delay + outcome.delay, self._answer, outcome, request)

    def _answer(self, outcome: Outcome, request: Request) -> None:
        teacher, self._busy = self._teacher, None
        teacher.count(-1)
        body = outcome.body if isinstance(outcome.body, bytes) else outcome.body(teacher, request)
        if outcome.drop:
            self._transport.close()
            return
        if outcome.sent > 0:
            headers = {"Content-Type": "application/json", **outcome.headers, "Content-Length": len(body)}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"HTTP/1.1 {outcome.status} {_REASONS.get(outcome.status, 'Fault')}\r\n{lines}\r\n"
            self._write(head.encode() + body[: int(len(body) * outcome.sent)])
        if outcome.status == 200 and outcome.sent == 1.0 and request:
            teacher.proper[request.text] += 1
        self._end(outcome.then)

    def _end(self, then: str) -> None:
        if then == "close":
            self._transport.close()
        elif then == "reset":
            # What was written is given time to leave; a reset would overtake it.
            self._teacher._loop.call_later(0.002, self.abort)
        elif then == "garbage":
            self._transport.write(_NO_RECORD if self._tls else b"\x15\x03\x01")
            self._transport.close()
        elif then == "keep" and self._received:
            self._read()


_REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 503: "Service Unavailable"}


def _server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def self_signed(path: Path) -> Path:
    """Write a key and its certificate for 127.0.0.1 to `path`, by openssl; a client trusts it as its own CA."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    )
    extensions = "-addext subjectAltName=IP:127.0.0.1 -addext keyUsage=critical,digitalSignature,keyCertSign"
    files = ["-keyout", f"{path}.key", "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *extensions.split(), *files], check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--mix", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logprobs", action="store_true")
    parser.add_argument("--outage", nargs=3, metavar=("AFTER", "SECONDS", "HOW"))
    options = parser.parse_args()
    teacher = FaultyTeacher()
    teacher.delay, teacher.logprobs, teacher.records = options.delay, options.logprobs, False
    if options.mix:
        teacher.mix(options.mix, options.seed)
    if options.outage:
        after, seconds, how = options.outage
        teacher.outage_at = (int(after), float(seconds), how)
    print(teacher.url, flush=True)
    for _ in sys.stdin:
        print(json.dumps(teacher.counts), flush=True)
    teacher.close()


if __name__ == "__main__":
    main()
