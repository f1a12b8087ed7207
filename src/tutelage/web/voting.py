"""Pages on which people compare two answers, served by this process to this machine.

They hold what the programme's prompts hold, so whoever reaches them can read those. Every request has to
name this server (a page elsewhere can point a name of its own at a loopback address), every vote has to come
from a page of ours, and pages run nothing but their own script. Without that script they work as well.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from tutelage.errors import DataError, TutelageError, UsageError
from tutelage.records import Fields, Value
from tutelage.review import Ballot, Poll, reviewer_name

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = files("tutelage") / "web" / "templates"
_ASSETS = {"vote.css": "text/css", "vote.js": "text/javascript"}
_LARGEST_BODY = 64 * 1024
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_COOKIE = "tutelage-vote"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Turned(Exception):
    """A request that is turned away: its status and what a person should read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


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
    app = make_app(poll, hosts=(*_LOOPBACK_NAMES, host), key=key)
    web.run_app(app, sock=listening, print=None, access_log=None)


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


def make_app(poll: Poll, *, hosts: tuple[str, ...] = _LOOPBACK_NAMES, key: str = "") -> web.Application:
    """The pages. `hosts` are the names that requests may call this server by; `key`, if any, opens them."""
    pages = _Pages(poll, key)
    app = web.Application(
        client_max_size=_LARGEST_BODY, middlewares=[_dressed, _Guard(frozenset(hosts), key).guard]
    )
    app.add_routes(
        [
            web.get("/", pages.names),
            web.post("/", pages.begin),
            web.get("/as/{reviewer}", pages.ballot),
            web.post("/as/{reviewer}/vote", pages.vote),
            web.post("/as/{reviewer}/undo", pages.undo),
            web.get("/static/{name}", _asset),
        ]
    )
    return app


@web.middleware
async def _dressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer, also one that turns a request away, as a page with our headers."""
    try:
        response = await handler(request)
    except _Turned as turned:
        response = _told(turned.status, str(turned))
    except DataError as error:  # the disk's doing: the vote was not recorded
        response = _told(500, str(error))
    except TutelageError as error:
        response = _told(400, str(error))
    except web.HTTPRequestEntityTooLarge:
        response = _told(413, f"that is more than the {_LARGEST_BODY // 1024} KiB a vote may have")
    except web.HTTPException as fault:
        response = _told(fault.status, fault.reason)
    response.headers.update(_HEADERS)
    return response


class _Guard:
    """Who may ask: a request that names this server, from this server's own pages, and knows the key."""

    def __init__(self, hosts: frozenset[str], key: str) -> None:
        self._hosts, self._key = hosts, key

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn away what isn't ours."""
        if _host_of(f"//{request.headers.get('Host', '')}") not in self._hosts:
            raise _Turned(421, "this server goes by another name. Open the address that `tutelage vote` told")
        origin = request.headers.get("Origin")
        elsewhere = origin is not None and urlsplit(origin).netloc != request.headers["Host"]
        if request.method == "POST" and elsewhere:
            raise _Turned(403, "a page of another server sent this")
        given = request.query.get("key", request.cookies.get(f"{_COOKIE}-key", ""))
        if self._key and not hmac.compare_digest(given.encode(), self._key.encode()):
            raise _Turned(
                403, "this address has no key, or an old one. Open the one that `tutelage vote` told"
            )
        return await handler(request)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Pages:
    """What is shown to reviewers, and what becomes of what they send."""

    def __init__(self, poll: Poll, key: str) -> None:
        self._poll, self._key = poll, key
        self._secret = secrets.token_bytes(32)

    async def names(self, request: web.Request) -> web.Response:
        """Who is reading?"""
        return self._page(request, "vote_names.html.j2", voted=self._poll.progress())

    async def begin(self, request: web.Request) -> web.Response:
        """A name was given."""
        form = await self._form(request)
        return _see(reviewer_name(form.get("reviewer", "")))

    async def ballot(self, request: web.Request) -> web.Response:
        """The next ballot, or that there is none left."""
        return self._next(request, reviewer_name(request.match_info["reviewer"]))

    async def vote(self, request: web.Request) -> web.Response:
        """A vote was cast. It is on disk before the next ballot is shown."""
        reviewer = reviewer_name(request.match_info["reviewer"])
        form = await request.post()
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        if not self._ours(request, texts):
            # The server was started anew since the page was made: what was written on it isn't lost.
            told = "Tutelage was started anew since this page was opened. Please choose once more."
            return self._next(request, reviewer, status=403, told=told, comment=texts.get("comment", ""))
        self._poll.cast(reviewer, texts.get("ballot", ""), texts.get("choice", ""), texts.get("comment", ""))
        return _see(reviewer)

    async def undo(self, request: web.Request) -> web.Response:
        """The last vote is taken back."""
        reviewer = reviewer_name(request.match_info["reviewer"])
        await self._form(request)
        self._poll.undo(reviewer)
        return _see(reviewer)

    def _next(
        self,
        request: web.Request,
        reviewer: str,
        *,
        status: int = 200,
        told: str = "",
        comment: str | None = None,
    ) -> web.Response:
        poll = self._poll
        ballot = poll.next(reviewer)
        if ballot is None:
            template, content = "vote_done.html.j2", {}
        else:
            template, content = "vote_ballot.html.j2", _shown(ballot, reviewer, poll.show_gold)
            content["comment"] = poll.comment(reviewer, ballot) if comment is None else comment
        content |= {"reviewer": reviewer, "path": _path(reviewer), "done": poll.done(reviewer), "told": told}
        return self._page(request, template, status=status, **content)

    async def _form(self, request: web.Request) -> Mapping[str, str]:
        form = await request.post()
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        if not self._ours(request, texts):
            raise _Turned(
                403, "this page is from before Tutelage was started anew. Go back, and load it again"
            )
        return texts

    def _ours(self, request: web.Request, form: Mapping[str, str]) -> bool:
        """Whether the form was made by this process for this browser."""
        cookie = request.cookies.get(_COOKIE, "")
        return bool(cookie) and hmac.compare_digest(
            form.get("token", "").encode(), self._token(cookie).encode()
        )

    def _token(self, cookie: str) -> str:
        return hmac.new(self._secret, cookie.encode(), "sha256").hexdigest()

    def _page(
        self, request: web.Request, template: str, *, status: int = 200, **content: Any
    ) -> web.Response:
        cookie = request.cookies.get(_COOKIE) or secrets.token_urlsafe(16)
        poll = self._poll
        shared = {"title": poll.title, "instruction": poll.instruction, "total": len(poll)}
        text = _render(template, **shared, **content, token=self._token(cookie))
        response = web.Response(text=text, status=status, content_type="text/html")
        for name, value in ((_COOKIE, cookie), (f"{_COOKIE}-key", self._key)):
            if value:
                response.set_cookie(name, value, httponly=True, samesite="Strict", path="/")
        return response


async def _asset(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _ASSETS:
        raise web.HTTPNotFound
    return web.Response(text=(_TEMPLATES / name).read_text(encoding="utf-8"), content_type=_ASSETS[name])


def _see(reviewer: str) -> web.Response:
    return web.Response(status=303, headers={"Location": _path(reviewer)})


def _path(reviewer: str) -> str:
    return f"/as/{quote(reviewer, safe='')}"


def _shown(ballot: Ballot, reviewer: str, show_gold: bool) -> dict[str, Any]:
    first, second = ballot.shown(reviewer)
    gold = ballot.gold if show_gold else None
    return {
        "key": ballot.key,
        "text": ballot.prompt.text,
        "slice": ballot.prompt.slice,
        "gold": None if gold is None else _parts(gold),
        "answers": [("a", "A", _parts(first)), ("b", "B", _parts(second))],
        "differs": ballot.differs,
    }


def _parts(value: Value | None) -> dict[str, Any]:
    """A value for the template: `fields` of a record, else `text`; neither where no answer is usable."""
    if isinstance(value, Fields):
        return {"fields": list(value.items()), "text": None}
    if isinstance(value, tuple):
        return {"fields": None, "text": ", ".join(value) or "(no label)"}
    return {"fields": None, "text": value}


def _told(status: int, text: str) -> web.Response:
    return web.Response(
        text=_render("vote_told.html.j2", title="", told=text, status=status),
        status=status,
        content_type="text/html",
    )


def _render(template: str, **content: Any) -> str:
    text = _environment().get_template(template).render(**content)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("tutelage.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
