"""The transport, over sockets that misbehave in every way a server can."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import ConfigError, TeacherUnavailable
from tutelage.teachers._access import Secrets
from tutelage.teachers._http import MOST_BYTES, BodyTooLarge, Response, Transport

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def served(
    handler: Handler, client: Callable[[str], Awaitable[Any]], tls: ssl.SSLContext | None = None
) -> Any:
    """What `client` makes of a server that gives each request's bytes to `handler`."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                await handler(head + await reader.readexactly(size), reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        scheme = "http" if tls is None else "https"
        return await client(f"{scheme}://127.0.0.1:{port}/v1")


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def posted(
    handler: Handler, *, timeout: float = 60.0, times: int = 1, headers: dict[str, str] | None = None
) -> Response:
    async def client(url: str) -> Response:
        transport = Transport(url, headers or {}, timeout)
        try:
            for _ in range(times):
                response = await transport.post("/chat", b'{"a": 1}')
            return response
        finally:
            await transport.close()

    return asyncio.run(served(handler, client))


def sending(data: bytes, then_close: bool = False) -> Handler:
    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if then_close:
            await writer.drain()
            writer.close()

    return handler


def test_posts_json_and_keeps_its_connection() -> None:
    seen: list[tuple[bytes, Any]] = []

    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((request, writer.get_extra_info("peername")))
        writer.write(ok(b"{}", b"Retry-After: 3"))

    response = posted(handler, times=3, headers={"Authorization": "Bearer k"})
    assert (response.status, response.body, response.headers["retry-after"]) == (200, b"{}", "3")
    assert len({peer for _, peer in seen}) == 1
    head, _, body = seen[0][0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat HTTP/1.1\r\n") and body == b'{"a": 1}'
    for line in (b"Content-Type: application/json", b"Authorization: Bearer k", b"User-Agent: tutelage/"):
        assert line in head
    assert b"Cookie" not in head


def test_cookies_are_not_kept() -> None:
    seen: list[bytes] = []

    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(ok(b"{}", b"Set-Cookie: a=b"))

    posted(handler, times=2)
    assert b"ookie" not in seen[1]


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n"
    assert posted(sending(moved)).status == 307


LARGE = b"x" * (MOST_BYTES + 1)


@pytest.mark.parametrize(
    "data",
    [
        ok(LARGE),
        ok(gzip.compress(LARGE), b"Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (1 << 20, b"x" * (1 << 20)) for _ in range(9)),
    ],
    ids=["plain", "packed", "in chunks"],
)
def test_a_body_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(BodyTooLarge, match="more than 8 MB"):
        posted(sending(data))


def test_a_large_body_that_fits_is_read_whole() -> None:
    body = bytes(range(256)) * 4096
    assert posted(sending(ok(body))).body == body
    assert posted(sending(ok(gzip.compress(body), b"Content-Encoding: gzip"))).body == body


BROKEN = {
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a"',
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "not packed": ok(b"not gzip", b"Content-Encoding: gzip"),
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_after_sending_may_be_billed(name: str) -> None:
    with pytest.raises(TeacherUnavailable, match=r"the connection to 127\.0\.0\.1 failed: .") as caught:
        posted(sending(BROKEN[name], then_close=True))
    assert caught.value.billed


def test_a_reset_may_be_billed() -> None:
    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    with pytest.raises(TeacherUnavailable, match="failed") as caught:
        posted(handler)
    assert caught.value.billed


@pytest.mark.parametrize("begun", [b"", b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a"'])
def test_the_deadline_holds_before_the_first_byte_and_in_the_body(begun: bytes) -> None:
    with pytest.raises(TeacherUnavailable, match=r"within 0\.3 s \(teacher\.timeout\)") as caught:
        posted(sending(begun), timeout=0.3)
    assert caught.value.billed


def test_a_trickle_does_not_stretch_the_deadline() -> None:
    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(TeacherUnavailable, match="did not answer within"):
        posted(handler, timeout=0.3)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1"])
def test_what_never_connected_was_not_billed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: Any, **__: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", nowhere)
    monkeypatch.setattr("aiohttp.resolver.AsyncResolver.resolve", nowhere)

    async def client() -> None:
        transport = Transport(url, {}, 60.0)
        try:
            await transport.post("/chat", b"{}")
        finally:
            await transport.close()

    with pytest.raises(TeacherUnavailable, match="the connection to .* failed") as caught:
        asyncio.run(client())
    assert not caught.value.billed


def test_a_name_that_is_never_found_is_given_up_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def searching(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(10)

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", searching)
    monkeypatch.setattr("aiohttp.resolver.AsyncResolver.resolve", searching)

    async def client() -> None:
        transport = Transport("http://slow.example.com/v1", {}, 0.4)
        try:
            await transport.post("/chat", b"{}")
        finally:
            await transport.close()

    with pytest.raises(TeacherUnavailable, match=r"slow\.example\.com failed: .*imeout") as caught:
        asyncio.run(client())
    assert not caught.value.billed and caught.value.fault == "connection"


def test_a_server_without_tls_is_told_apart() -> None:
    async def client(url: str) -> None:
        transport = Transport(url.replace("http://", "https://"), {}, 60.0)
        try:
            await transport.post("/chat", b"{}")
        finally:
            await transport.close()

    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("reached over TLS that the server doesn't speak")

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(garbage, "127.0.0.1", 0)
        async with server:
            await client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")

    with pytest.raises(TeacherUnavailable, match=r"no secure connection \(TLS\)") as caught:
        asyncio.run(run())
    assert not caught.value.billed


def test_one_transport_serves_several_loops_without_being_closed() -> None:
    transport: list[Transport] = []

    async def client(url: str) -> bytes:
        transport.append(Transport(url, {}, 60.0))
        await transport[0].post("/a", b"{}")
        return b""

    async def again(url: str) -> bytes:
        transport[0]._base_url = url
        return (await transport[0].post("/a", b"{}")).body

    asyncio.run(served(sending(ok(b"1")), client))
    assert asyncio.run(served(sending(ok(b"2")), again)) == b"2"


def test_a_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(request.partition(b"\r\n")[0])
        writer.write(ok(b"from the proxy"))

    async def client(url: str) -> list[bytes]:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "spared.example.com")
        bodies = []
        for base in ("http://api.example.com/v1", "http://127.0.0.1:9/v1", "http://spared.example.com/v1"):
            transport = Transport(base, {}, 60.0)
            bodies.append(transport._proxy)
            if not bodies[1:]:
                bodies[0] = (await transport.post("/chat", b"{}")).body
            await transport.close()
        return bodies

    assert asyncio.run(served(proxy, client)) == [b"from the proxy", None, None]
    assert asked == [b"POST http://api.example.com/v1/chat HTTP/1.1"]


def test_a_proxy_that_refuses_was_not_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    async def client(url: str) -> None:
        monkeypatch.setenv("all_proxy", url.removesuffix("/v1"))
        transport = Transport("https://api.example.com/v1", {}, 60.0)
        try:
            await transport.post("/chat", b"{}")
        finally:
            await transport.close()

    with pytest.raises(TeacherUnavailable, match=r"through the proxy 127\.0\.0\.1 failed.*407") as caught:
        asyncio.run(served(sending(denied), client))
    assert not caught.value.billed


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(ConfigError, match="'socks5'.*Mend") as caught:
        Transport("https://api.example.com/v1", {}, 60.0)
    assert "secret" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    named = f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run([openssl, *made.split(), *named.split()], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    requests: list[bytes] = []

    async def handler(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(ok(b"{}"))

    async def client(url: str) -> None:
        transport = Transport(url, {"Authorization": "Bearer secret"}, 2.0)
        try:
            await transport.post("/chat", b"{}")
        finally:
            await transport.close()

    with pytest.raises(TeacherUnavailable, match=r"certificate can't be trusted.*SSL_CERT_FILE") as caught:
        asyncio.run(served(handler, client, tls))
    assert not caught.value.billed and requests == []


def test_what_is_no_http_may_repeat_the_request_and_no_secret() -> None:
    """A server that sends the request back: what can't be parsed of it is told, without the key."""
    key = "sk-0123456789abcdef"
    secrets = Secrets([key])

    async def echo(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        [line] = [line for line in request.split(b"\r\n") if key.encode() in line]
        writer.write(line + b"\r\n" + request)

    async def client(url: str) -> None:
        await Transport(url, {"Authorization": f"Bearer {key}"}, 2.0, secrets).post("/chat", b"{}")

    with pytest.raises(TeacherUnavailable) as caught:
        asyncio.run(served(echo, client))
    assert "Authorization: Bearer [the key]" in str(caught.value) and key not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://user:s3cret@[::1",
        "http://user:s3cret@127.0.0.1:99999",
        "http://user:s3cret@:80",
        "user:s3cret@",
    ],
)
def test_a_proxy_that_can_not_be_read_is_told_without_its_password(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ConfigError, match=r"a proxy for api\.example\.com.*HTTPS_PROXY") as caught:
        Transport("https://api.example.com/v1", {}, 1.0)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
