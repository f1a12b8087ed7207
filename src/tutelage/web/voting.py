"""Pages on which people compare two answers, served by this process to this machine.

They hold what the programme's prompts hold, so whoever reaches them can read those. Every request has to
name this server (a page elsewhere can point a name of its own at a loopback address), every vote has to come
from a page of ours, and pages run nothing but their own script. Without that script they work as well.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
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

from tutelage.errors import UsageError
from tutelage.review import Ballot, Poll, reviewer_name
from tutelage.web.site import HEADERS, LOOPBACK_NAMES, NEVER_KEPT, Site, Turned, asset, shown_value, told

_COOKIE = "tutelage-vote"
_KEY_COOKIE = f"{_COOKIE}-key"
_TELLER = "`tutelage vote`"

Handler = Callable[[Request], Awaitable[Response]]


def serve_poll(
    poll: Poll, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] | None = None
) -> None:
    """Serve `poll` until the process is told to stop; `ready` gets the address that reviewers open.

    Beyond loopback the address holds a key, without which nothing is shown. Raises UsageError where `host`
    names no single address, or the port is taken.
    """
    listening = _listen(host, port)
    bound = listening.getsockname()[1]
    key = "" if is_loopback(host) else secrets.token_urlsafe(16)
    name = f"[{host}]" if ":" in host else host
    if ready is not None:
        ready(f"http://{name}:{bound}/" + (f"?key={key}" if key else ""))
    app = make_app(poll, hosts=(*LOOPBACK_NAMES, host), key=key)
    config = uvicorn.Config(app, access_log=False, log_config=None, server_header=False, lifespan="off")
    with suppress(KeyboardInterrupt):  # told again once the server has ended
        uvicorn.Server(config).run(sockets=[listening])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


def make_app(poll: Poll, *, hosts: tuple[str, ...] = LOOPBACK_NAMES, key: str = "") -> Starlette:
    """The pages. `hosts` are the names that requests may call this server by; `key`, if any, opens them."""
    pages = _Pages(poll, Site(frozenset(name.lower() for name in hosts), _TELLER, _COOKIE), key)
    return Starlette(
        routes=[
            Route("/", pages.dressed(pages.names), methods=["GET"]),
            Route("/", pages.dressed(pages.begin), methods=["POST"]),
            Route("/as/{reviewer:path}", pages.dressed(pages.ballot), methods=["GET"]),
            Route("/as/{reviewer:path}/vote", pages.dressed(pages.vote), methods=["POST"]),
            Route("/as/{reviewer:path}/undo", pages.dressed(pages.undo), methods=["POST"]),
            Route("/static/{name}", pages.dressed(asset), methods=["GET"]),
            Route("/{path:path}", pages.dressed(_nowhere), methods=["GET", "POST"]),
        ]
    )


async def _nowhere(request: Request) -> Response:
    raise HTTPException(404)


class _Pages:
    """What is shown to reviewers, and what becomes of what they send."""

    def __init__(self, poll: Poll, site: Site, key: str) -> None:
        self._poll, self._site, self._key = poll, site, key

    def dressed(self, handler: Handler) -> Handler:
        """A handler for whoever may ask, whose every answer is a page with our headers."""

        async def respond(request: Request) -> Response:
            try:
                self._admit(request)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - `told` raises again what isn't foreseen
                status, text = told(error)
                response = self._site.page(request, "vote_told.html.j2", status=status, title="", told=text)
            for name, value in {**NEVER_KEPT, **HEADERS}.items():
                response.headers.setdefault(name, value)
            return response

        return respond

    def _admit(self, request: Request) -> None:
        self._site.check(request)
        given = request.query_params.get("key", request.cookies.get(_KEY_COOKIE, ""))
        if self._key and not self._site.same(given, self._key):
            raise Turned(403, f"this address has no key, or an old one. Open the one that {_TELLER} told")

    async def names(self, request: Request) -> Response:
        """Who is reading?"""
        return self._page(request, "vote_names.html.j2", voted=self._poll.progress())

    async def begin(self, request: Request) -> Response:
        """A name was given."""
        form = await self._site.own_form(request)
        return _see(reviewer_name(form.get("reviewer", "")))

    async def ballot(self, request: Request) -> Response:
        """The next ballot, or that there is none left."""
        return self._next(request, reviewer_name(request.path_params["reviewer"]))

    async def vote(self, request: Request) -> Response:
        """A vote was cast. It is on disk before the next ballot is shown."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        texts = await self._site.form(request)
        if not self._site.is_own(request, texts):
            # The server was started anew since the page was made: what was written on it isn't lost.
            told = "Tutelage was started anew since this page was opened. Please choose once more."
            return self._next(request, reviewer, status=403, told=told, comment=texts.get("comment", ""))
        self._poll.cast(reviewer, texts.get("ballot", ""), texts.get("choice", ""), texts.get("comment", ""))
        return _see(reviewer)

    async def undo(self, request: Request) -> Response:
        """The last vote is taken back."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        await self._site.own_form(request)
        self._poll.undo(reviewer)
        return _see(reviewer)

    def _next(
        self,
        request: Request,
        reviewer: str,
        *,
        status: int = 200,
        told: str = "",
        comment: str | None = None,
    ) -> Response:
        poll = self._poll
        ballot = poll.next(reviewer)
        if ballot is None:
            template, content = "vote_done.html.j2", {}
        else:
            template, content = "vote_ballot.html.j2", _shown(ballot, reviewer, poll.show_gold)
            content["comment"] = poll.comment(reviewer, ballot) if comment is None else comment
        content |= {"reviewer": reviewer, "path": _path(reviewer), "done": poll.done(reviewer), "told": told}
        return self._page(request, template, status=status, **content)

    def _page(self, request: Request, template: str, *, status: int = 200, **content: Any) -> Response:
        poll = self._poll
        content |= {"title": poll.title, "instruction": poll.instruction, "total": len(poll)}
        cookies = {_KEY_COOKIE: self._key} if self._key else {}
        return self._site.page(request, template, status=status, cookies=cookies, **content)


def _see(reviewer: str) -> Response:
    return RedirectResponse(_path(reviewer), 303)


def _path(reviewer: str) -> str:
    return f"/as/{quote(reviewer, safe='')}"


def _shown(ballot: Ballot, reviewer: str, show_gold: bool) -> dict[str, Any]:
    first, second = ballot.shown(reviewer)
    gold = ballot.gold if show_gold else None
    return {
        "key": ballot.key,
        "text": ballot.prompt.text,
        "slice": ballot.prompt.slice,
        "gold": None if gold is None else shown_value(gold),
        "answers": [("a", "A", shown_value(first)), ("b", "B", shown_value(second))],
        "differs": ballot.differs,
    }
