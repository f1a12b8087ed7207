"""What all pages share: who may ask them, headers, forms that only this server can make, templates.

A page elsewhere can point a name of its own at this machine's address, and make a browser send what it likes.
So every request has to name this server, whatever is sent has to come from a page that this server gave to
this browser, and pages run nothing but their own files. Without scripts they work as well.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tutelage.errors import DataError, TutelageError
from tutelage.records import Fields, Value, load_value

if TYPE_CHECKING:
    from jinja2 import Environment

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
LARGEST_FORM = 64 * 1024
_MOST_FIELDS = 100
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NEVER_KEPT = {"Cache-Control": "no-store"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # its address holds its hash
_WEB = files("tutelage") / "web"
_ASSETS = {  # where each stands, and what it is
    "site.css": ("templates", "text/css"),
    "vote.css": ("templates", "text/css"),
    "keys.js": ("templates", "text/javascript"),
    "annotate.css": ("templates", "text/css"),
    "annotate.js": ("templates", "text/javascript"),
    "pages.css": ("templates", "text/css"),
    "pages.js": ("templates", "text/javascript"),
    "htmx.min.js": ("static", "text/javascript"),
    "echarts.min.js": ("static", "text/javascript"),
}


class Turned(Exception):
    """A request that is turned away: its status and what a person should read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Site:
    """One server's pages. `hosts` are the names that requests may call it by, `where` says who told them.

    `secret` signs what browsers are given; `cookie` is the name of the cookie that tells browsers apart;
    `shared` is what every template is given.
    """

    hosts: frozenset[str]
    where: str
    cookie: str
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    shared: Mapping[str, Any] = field(default_factory=dict)

    def check(self, request: Request) -> None:
        """Raise Turned for a request by another name, or sent by a page of another server."""
        host = request.headers.get("host", "")
        if _host_of(f"//{host}") not in self.hosts:
            raise Turned(421, f"this server goes by another name. Open the address that {self.where} told")
        origin = request.headers.get("origin")
        if request.method == "POST" and origin is not None and urlsplit(origin).netloc != host:
            raise Turned(403, "a page of another server sent this")

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form, whoever made it. Raises Turned 413 for one that is too large."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                raise Turned(413, f"that is more than the {LARGEST_FORM // 1024} KiB a form may have")
        try:
            text = body.decode("utf-8", "replace")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            raise Turned(400, "that is no form of ours") from None

    async def own_form(self, request: Request) -> dict[str, str]:
        """The fields of a form that this server gave to this browser. Raises Turned for any other."""
        form = await self.form(request)
        if not self.is_own(request, form):
            raise Turned(403, "this page is too old, or not from here. Go back, and load it again")
        return form

    def is_own(self, request: Request, form: Mapping[str, str]) -> bool:
        """Whether a form was made by this server for this browser."""
        browser = request.cookies.get(self.cookie, "")
        return bool(browser) and self.same(form.get("token", ""), self.sign("form", browser))

    def same(self, given: str, signature: str) -> bool:
        """Whether a signature is as it should be, in a time that tells nothing of it."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), signature.encode())

    def sign(self, purpose: str, content: str) -> str:
        """A signature that only this server can make, of no use for another purpose."""
        return hmac.new(self.secret, f"{purpose}\0{content}".encode(), "sha256").hexdigest()

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        cookies: Mapping[str, str] | None = None,
        **content: Any,
    ) -> Response:
        """A page, with the token that its forms send. `cookies` are set beside the browser's own."""
        browser = request.cookies.get(self.cookie) or secrets.token_urlsafe(16)
        text = render(template, **{**self.shared, **content, "token": self.sign("form", browser)})
        response = HTMLResponse(text, status)
        for name, value in {self.cookie: browser, **(cookies or {})}.items():
            set_cookie(response, request, name, value)
        return response


def told(error: Exception) -> tuple[int, str]:
    """Status and text of an error; one that isn't foreseen is raised again."""
    if isinstance(error, Turned):
        return error.status, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, error.detail or HTTPStatus(error.status_code).phrase
    if isinstance(error, DataError):  # the disk's doing: nothing was recorded
        return 500, str(error)
    if isinstance(error, TutelageError):
        return 400, str(error)
    raise error


def set_cookie(
    response: Response, request: Request, name: str, value: str, max_age: int | None = None
) -> None:
    """A cookie that scripts can't read and that no other site's page makes a browser send."""
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age, path="/", secure=secure, httponly=True, samesite="strict")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def asset(request: Request) -> Response:
    """A style or a script of ours."""
    name = request.path_params["name"]
    if name not in _ASSETS:
        raise Turned(404, "there is no such file")
    lasting = _FOREVER if request.query_params.get("v") == _mark(name) else NEVER_KEPT
    return Response(_read(name), media_type=_ASSETS[name][1], headers=lasting)


@cache
def _read(name: str) -> bytes:
    return (_WEB / _ASSETS[name][0] / name).read_bytes()


@cache
def _mark(name: str) -> str:
    return hashlib.sha256(_read(name)).hexdigest()[:12]


def shown_value(value: str | Value | None, *, stored: bool = False) -> dict[str, Any]:
    """A value for a template: `fields` of a record, else `text`; neither where no answer is usable.

    With `stored` it is JSON, as captures keep it.
    """
    found = load_value(value) if stored and isinstance(value, str) else value
    if isinstance(found, Fields):
        return {"fields": list(found.items()), "text": None}
    if isinstance(found, tuple):
        return {"fields": None, "text": ", ".join(found) or "(no label)"}
    return {"fields": None, "text": found}


def render(template: str, **content: Any) -> str:
    """A template's text."""
    text = _environment().get_template(template).render(**content)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("tutelage.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    asset_address: Callable[[str], str] = lambda name: f"/static/{name}?v={_mark(name)}"  # noqa: E731
    made.globals["asset"] = asset_address
    made.filters.update(count="{:,}".format, percent=percent, dollars=dollars, moment=moment)
    made.filters["value"] = lambda value: shown_value(value, stored=True)
    return made


def percent(share: float) -> str:
    """A share for people: `2.31%`."""
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def dollars(amount: float) -> str:
    """US dollars, of small amounts so many digits that they say something."""
    digits = 2 if abs(amount) >= 1 or amount == 0 else 4
    return f"{'−' if amount < 0 else ''}${abs(amount):,.{digits}f}"


def moment(at: float) -> str:
    """A time in UTC to the second, as pages say it and sort it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
