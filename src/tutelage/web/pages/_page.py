"""What every page of a server is: a route of a role, whose visitor is known by a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import time
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tutelage.serving.access import KeyRing, Principal, Role
from tutelage.serving.app import Guarded
from tutelage.web.site import HEADERS, NEVER_KEPT, Site, set_cookie, told

Handler = Callable[[Request], Awaitable[Response]]
SESSION = 12 * 3600  # seconds
_COOKIE = "tutelage-session"
_TOLD = "pages_told.html.j2"


class Pages:
    """What pages share: the site, and who its visitors are.

    A session is a signed cookie that names an API key and a time at which it ends. Whether the key still
    holds is asked at each request, so that a key that is revoked ends its sessions as soon as it is refused.
    """

    def __init__(self, site: Site, keys: KeyRing) -> None:
        self.site, self.keys = site, keys

    def page(self, path: str, handler: Handler, role: Role | None = Role.VIEWER) -> Page:
        """A page that is shown."""
        return Page(self, path, handler, methods=["GET"], role=role)

    def action(self, path: str, handler: Handler, role: Role | None) -> Page:
        """What a form does; `request.state.form` has its fields, sent by a page of ours."""
        return Page(self, path, handler, methods=["POST"], role=role)

    def show(self, request: Request, template: str, *, status: int = 200, **content: Any) -> Response:
        """A page in its frame."""
        principal = getattr(request.state, "principal", None)
        content = {"principal": principal, "told": "", **content}
        return self.site.page(request, template, status=status, **content)

    def begin(self, request: Request, key: str, response: Response) -> None:
        """Begin a session of this key."""
        ends = int(time()) + SESSION
        value = f"{key}.{ends}.{self._signed(key, ends)}"
        set_cookie(response, request, _COOKIE, value, SESSION)

    def end(self, request: Request, response: Response) -> None:
        """End the browser's session."""
        set_cookie(response, request, _COOKIE, "", 0)

    async def visitor(self, request: Request) -> Principal | None:
        """Whose session it is; None without one, or where it or its key has ended."""
        key, _, rest = request.cookies.get(_COOKIE, "").partition(".")
        ends, _, signature = rest.partition(".")
        if not (ends.isascii() and ends.isdigit()) or len(ends) > 12 or int(ends) <= time():
            return None
        if not self.site.same(signature, self._signed(key, int(ends))):
            return None
        return await self.keys.holder(key)

    def _signed(self, key: str, ends: int) -> str:
        return self.site.sign("session", f"{key}.{ends}")


class Page(Guarded):
    """A route whose visitor comes by a session, and whose faults are pages. API keys in headers, which no
    browser sends by itself, aren't looked at."""

    def __init__(
        self, pages: Pages, path: str, handler: Handler, *, methods: Sequence[str], role: Role | None
    ) -> None:
        self._pages = pages
        super().__init__(path, handler, methods=methods, role=role)

    async def respond(self, request: Request) -> Response:
        """The page, or one that says why there is none, with our headers."""
        try:
            self._pages.site.check(request)
            if request.method == "POST":
                request.state.form = await self._pages.site.own_form(request)
            response = await super().respond(request)
        except Exception as error:  # noqa: BLE001 - `told` raises again what isn't foreseen
            status, text = told(error)
            if status == 401:
                response = _to_login(request)
            else:
                response = self._pages.show(request, _TOLD, status=status, told=text, page="")
        return dressed(response)

    async def principal(self, request: Request) -> Principal:
        """The visitor. Raises HTTPException 401 without one."""
        found = await self._pages.visitor(request)
        if found is None:
            raise HTTPException(401, "no session, or one that has ended")
        return found


def dressed(response: Response) -> Response:
    """With the headers that every answer of ours has."""
    for name, value in {**NEVER_KEPT, **HEADERS}.items():
        response.headers.setdefault(name, value)
    return response


def see(path: str) -> Response:
    """On to another page, once something was done."""
    return RedirectResponse(path, 303)


def _to_login(request: Request) -> Response:
    if request.headers.get("hx-request"):  # a part of a page that renews itself
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    back = request.url.path if request.method == "GET" else "/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return see(f"/login?next={quote(back + query, safe='/')}")
