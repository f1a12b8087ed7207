"""The pages of `tutelage serve`: where a rollout stands, and what people decide about it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.errors import IntegrityError
from tutelage.serving.access import Role
from tutelage.serving.app import Service
from tutelage.web.pages._decisions import DecisionPages
from tutelage.web.pages._disagreements import DisagreementPages
from tutelage.web.pages._login import LoginPages
from tutelage.web.pages._overview import OverviewPages
from tutelage.web.pages._page import Pages
from tutelage.web.pages._review import ReviewPages
from tutelage.web.pages._students import StudentPages
from tutelage.web.site import LOOPBACK_NAMES, Site

if TYPE_CHECKING:
    from tutelage.stages.serve import Server

__all__ = ["with_pages"]
_NAV = (
    ("/", "Overview", Role.VIEWER),
    ("/disagreements", "Disagreements", Role.VIEWER),
    ("/review", "Review", Role.REVIEWER),
    ("/decisions", "Decisions", Role.VIEWER),
    ("/students", "Students", Role.VIEWER),
)
_SECRET_SIZE = 32  # bytes


def with_pages(server: Server, hosts: Sequence[str] = ()) -> Service:
    """The server's service with its pages beside what it answers.

    `hosts` are names by which browsers reach it, beside loopback's and those of `serving.page_hosts`. Raises
    IntegrityError where the file that signs sessions isn't as it was made.
    """
    programme = server.shelf.programme
    names = (*LOOPBACK_NAMES, *hosts, *programme.config.serving.page_hosts)
    site = Site(
        frozenset(name.lower() for name in names),
        "`tutelage serve`",
        "tutelage-visit",
        _secret(programme.folder / "serving" / "sessions.key"),
        {"name": server.name, "nav": _NAV},
    )
    pages = Pages(site, server.service.keys)
    parts = (
        LoginPages(pages),
        OverviewPages(pages, server),
        DisagreementPages(pages, server),
        ReviewPages(pages, server),
        DecisionPages(pages, server),
        StudentPages(pages, server),
    )
    routes = [route for part in parts for route in part.routes()]
    return replace(server.service, routes=[*server.service.routes, *routes])


def _secret(path: Path) -> bytes:
    """What signs sessions: made once, so that a server that is started again knows its people."""
    path.parent.mkdir(exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_SIZE))
    except FileExistsError:
        pass
    found = path.read_bytes()
    if len(found) != _SECRET_SIZE:
        raise IntegrityError(
            f"{path} has {len(found)} bytes, and was made with {_SECRET_SIZE}. "
            "Mend: remove it; people log in again"
        )
    return found
