"""HTTP to one endpoint: connections kept alive, a deadline a call, bodies of bounded size, faults named."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from importlib.metadata import version
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from tutelage.config import is_loopback
from tutelage.errors import ConfigError, TeacherUnavailable
from tutelage.teachers._access import Secrets

MOST_BYTES = 8 << 20  # of a response's body, unpacked
_CONNECT_WITHIN = 10.0  # seconds, or half of the deadline where that is less
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
_PROXY_SCHEMES = ("http", "https")


class Response(NamedTuple):
    """What an endpoint sent. Names of `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BodyTooLarge(Exception):
    """A body of more than `MOST_BYTES`. What is left of it isn't read."""


class Transport:
    """Posts JSON to one endpoint.

    Connections belong to the event loop that opened them and close with it, so that one transport serves
    several loops, one after the other. Certificates are verified. Redirects are not followed: they would
    carry the key elsewhere. HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY hold, but never for this
    machine's own addresses: a prompt for a server that runs here must not leave it.

    Raises ConfigError where the environment names a proxy of a kind that isn't spoken.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], timeout: float, secrets: Secrets | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"tutelage/{version('tutelage')}",
            **headers,
        }
        self.host = urlsplit(base_url).hostname or ""
        self._proxy = _proxy_for(base_url)
        self._timeout = timeout
        self._secrets = secrets or Secrets([])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: AsyncGenerator[aiohttp.ClientSession, None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes) -> Response:
        """Send `body` to `path` below the base URL and read the answer, whatever its status.

        Raises TeacherUnavailable where none came; `billed` is False only where the request was surely never
        sent. Raises BodyTooLarge.
        """
        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = await self._connected()
        try:
            async with session.post(
                self._base_url + path, data=body, proxy=self._proxy, allow_redirects=False
            ) as response:
                return Response(response.status, response.headers, await self._body_of(response))
        except (aiohttp.ClientError, OSError) as error:  # time-outs are OSErrors
            raise self._fault(error) from None

    async def _body_of(self, response: aiohttp.ClientResponse) -> bytes:
        content = response.content
        chunks = [await content.readany()]
        size = len(chunks[0])
        while size <= MOST_BYTES and not content.at_eof():
            chunks.append(await content.readany())
            size += len(chunks[-1])
        if size > MOST_BYTES:
            response.close()
            raise BodyTooLarge(f"{self.host} sent a body of more than {MOST_BYTES >> 20} MB")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _fault(self, error: Exception) -> TeacherUnavailable:
        never_sent = isinstance(error, _NEVER_SENT)
        if isinstance(error, TimeoutError) and not never_sent:
            return TeacherUnavailable(
                f"{self.host} did not answer within {self._timeout:g} s (teacher.timeout)",
                billed=True,
                fault="time-out",
            )
        text = self._secrets.out_of_fault(f"{self._place()} failed: {_reason(error)}")
        return TeacherUnavailable(text, billed=not never_sent, fault="connection")

    def _place(self) -> str:
        through = f" through the proxy {urlsplit(self._proxy).hostname}" if self._proxy else ""
        return f"the connection to {self.host}{through}"

    async def close(self) -> None:
        """Close connections. A later `post` opens new ones."""
        if self._opened is not None and self._loop is asyncio.get_running_loop():
            await self._opened.aclose()
        self._opened = self._session = self._loop = None

    async def _connected(self) -> aiohttp.ClientSession:
        self._loop, self._opened = asyncio.get_running_loop(), self._open()
        self._session = await anext(self._opened)
        return self._session

    async def _open(self) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """A session that closes with the event loop it belongs to, which ends every async generator."""
        connect = min(_CONNECT_WITHIN, self._timeout / 2)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # how many run at once is the asker's to say
            timeout=aiohttp.ClientTimeout(total=self._timeout, connect=connect),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        try:
            yield session
        finally:
            await session.close()


def _reason(error: Exception) -> str:
    """What is known of a fault, with the mend where its kind has one."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate can't be trusted: {error.certificate_error}. Mend: correct teacher.base_url, "
            "or name the authority that signed it in the environment variable SSL_CERT_FILE"
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"no secure connection (TLS) came about: {error}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}: {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"what came is no HTTP: {error.message}"
    return str(error) or type(error).__name__


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for this address."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        named = urlsplit(proxy)
        scheme, usable = named.scheme, bool(named.hostname) and named.port != 0
    except ValueError:
        scheme, usable = _PROXY_SCHEMES[0], False
    if not usable:  # not repeated: it may hold a password
        raise ConfigError(
            f"the environment names a proxy for {host} whose address can't be read. Mend: correct "
            f"{parts.scheme.upper()}_PROXY (scheme://user:password@host:port), or except the host in NO_PROXY"
        )
    if scheme not in _PROXY_SCHEMES:
        raise ConfigError(
            f"the environment names a proxy of the kind {scheme!r} for {host}; spoken are "
            f"{' and '.join(_PROXY_SCHEMES)}. Mend: name another in {parts.scheme.upper()}_PROXY, or except "
            "the host in NO_PROXY"
        )
    return proxy
