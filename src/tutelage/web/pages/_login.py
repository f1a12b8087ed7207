"""Logging in with an API key, and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tutelage.serving.access import Overwhelmed, Pace, Role, split_token
from tutelage.web.pages._page import Page, Pages, see
from tutelage.web.site import asset

_TEMPLATE = "pages_login.html.j2"
_TOO_MANY = "Too many keys were tried. Wait some seconds."
_TRIES = 60.0  # a minute and address; in a burst a tenth of it


class LoginPages:
    """Who isn't known yet."""

    def __init__(self, pages: Pages) -> None:
        self._pages, self._pace = pages, Pace(_TRIES)

    def routes(self) -> list[Page]:
        """For everybody."""
        return [
            self._pages.page("/login", self.login, None),
            self._pages.action("/login", self.enter, None),
            self._pages.action("/logout", self.leave, None),
            self._pages.page("/static/{name}", asset, None),
        ]

    async def login(self, request: Request) -> Response:
        """Which key?"""
        return self._ask(request, request.query_params.get("next", "/"))

    async def enter(self, request: Request) -> Response:
        """A key was given."""
        form = request.state.form
        onward = form.get("next", "/")
        if self._pace.wait(request.client.host if request.client else ""):
            return self._ask(request, onward, 429, _TOO_MANY)
        token = form.get("key", "").strip()
        try:
            principal = await self._pages.keys.principal(token)
        except Overwhelmed:
            return self._ask(request, onward, 429, _TOO_MANY)
        key, _ = split_token(token)
        if principal is None or not key:
            told = "No such key, or it was revoked. `tutelage keys add NAME --role viewer` makes one."
            return self._ask(request, onward, 403, told)
        if not principal.role.allows(Role.VIEWER):
            told = f"A key of role {principal.role} asks questions, and sees no pages."
            return self._ask(request, onward, 403, told)
        response = see(_inside(onward))
        self._pages.begin(request, key, response)
        return response

    async def leave(self, request: Request) -> Response:
        """Log out."""
        response = see("/login")
        self._pages.end(request, response)
        return response

    def _ask(self, request: Request, onward: str, status: int = 200, told: str = "") -> Response:
        return self._pages.show(
            request, _TEMPLATE, status=status, told=told, onward=_inside(onward), page="login"
        )


def _inside(address: str) -> str:
    """An address on this server; any other is the first page's."""
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if plain and address[:1] == "/" and address[:2] != "//" else "/"
