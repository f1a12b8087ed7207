"""Pages for people that a command serves to this machine until it is told to stop.

They hold what the programme's prompts hold, so whoever reaches them can read those. Every request has to
name this server (a page elsewhere can point a name of its own at a loopback address), every form has to come
from a page of ours, and pages run nothing but their own scripts. Without these they work as well.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tutelage.config import is_loopback
from tutelage.errors import UsageError
from tutelage.review import reviewer_name
from tutelage.web.site import HEADERS, LOOPBACK_NAMES, NEVER_KEPT, Site, Turned, asset, told

Handler = Callable[[Request], Awaitable[Response]]
MakeApp = Callable[[tuple[str, ...], str], Starlette]


def serve_pages(
    make_app: MakeApp, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] | None = None
) -> None:
    """Serve what `make_app(hosts, key)` makes until the process is told to stop.

    `ready` gets the address that people open. Beyond loopback it holds a key, without which nothing is shown.
    Raises UsageError where `host` names no single address, or the port is taken.
    """
    listening = _listen(host, port)
    bound = listening.getsockname()[1]
    key = "" if is_loopback(host) else secrets.token_urlsafe(16)
    name = f"[{host}]" if ":" in host else host
    if ready is not None:
        ready(f"http://{name}:{bound}/" + (f"?key={key}" if key else ""))
    app = make_app((*LOOPBACK_NAMES, host), key)
    config = uvicorn.Config(app, access_log=False, log_config=None, server_header=False, lifespan="off")
    with suppress(KeyboardInterrupt):  # told again once the server has ended
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        everywhere = ip_address(host).is_unspecified
    except ValueError:
        everywhere = not host
    if everywhere:
        raise UsageError(
            f"--host {host} is every address of this machine. Mend: give the one that reviewers reach it by"
        )
    made = None
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, number)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()
    except OSError as error:
        if made is not None:
            made.close()
        raise UsageError(
            f"can't listen on {host}, port {port}: {error.strerror}. Mend: another --port (0: any), or --host"
        ) from error
    return made


class LocalPages:
    """What such pages have in common: who is let in, the frame of what went wrong, where a person's are.

    `verb` is the command that serves them, and `names` what requests may call this server by; `key`, if any,
    opens them.
    """

    def __init__(self, verb: str, hosts: tuple[str, ...], key: str) -> None:
        self._teller, self._cookie, self._key = f"`tutelage {verb}`", f"tutelage-{verb}", key
        self.site = Site(frozenset(name.lower() for name in hosts), self._teller, self._cookie)

    def app(self, routes: Mapping[tuple[str, str], Handler]) -> Starlette:
        """An application of these handlers, by method and path; with the pages' files, and nothing else."""
        made = [
            Route(path, self._dressed(handler), methods=[method])
            for (method, path), handler in routes.items()
        ]
        made.append(Route("/static/{name}", self._dressed(asset), methods=["GET"]))
        made.append(Route("/{path:path}", self._dressed(_nowhere), methods=["GET", "POST"]))
        return Starlette(routes=made)

    def page(self, request: Request, template: str, *, status: int = 200, **content: Any) -> Response:
        """See `Site.page`; whoever has the key keeps it."""
        cookies = {f"{self._cookie}-key": self._key} if self._key else {}
        return self.site.page(request, template, status=status, cookies=cookies, **content)

    async def begin(self, request: Request) -> Response:
        """A name was given: to that reviewer's page."""
        form = await self.site.own_form(request)
        return see(reviewer_name(form.get("reviewer", "")))

    def _dressed(self, handler: Handler) -> Handler:
        """A handler for whoever may ask, whose every answer is a page with our headers."""

        async def respond(request: Request) -> Response:
            try:
                self._admit(request)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - `told` raises again what isn't foreseen
                status, text = told(error)
                response = self.site.page(request, "vote_told.html.j2", status=status, title="", told=text)
            for name, value in {**NEVER_KEPT, **HEADERS}.items():
                response.headers.setdefault(name, value)
            return response

        return respond

    def _admit(self, request: Request) -> None:
        self.site.check(request)
        given = request.query_params.get("key", request.cookies.get(f"{self._cookie}-key", ""))
        if self._key and not self.site.same(given, self._key):
            raise Turned(
                403, f"this address has no key, or an old one. Open the one that {self._teller} told"
            )


async def _nowhere(request: Request) -> Response:
    raise HTTPException(404)


def see(reviewer: str) -> Response:
    """To the reviewer's page."""
    return RedirectResponse(path_of(reviewer), 303)


def path_of(reviewer: str) -> str:
    """The address of a reviewer's page."""
    return f"/as/{quote(reviewer, safe='')}"
