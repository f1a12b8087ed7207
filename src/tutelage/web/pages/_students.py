"""The students that could answer: exported forms, with what is known of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tutelage.serving.shelf import Candidate, Shelf
from tutelage.web.pages._page import Page, Pages

if TYPE_CHECKING:
    from tutelage.stages.serve import Server


@dataclass(frozen=True, slots=True)
class _Shown:
    candidate: Candidate
    size: int  # bytes of its folder


class StudentPages:
    """What stands on the shelf."""

    def __init__(self, pages: Pages, server: Server) -> None:
        self._pages, self._server = pages, server

    def routes(self) -> list[Page]:
        """One page."""
        return [self._pages.page("/students", self.students)]

    async def students(self, request: Request) -> Response:
        """`GET /students`."""
        return self._pages.show(
            request,
            "pages_students.html.j2",
            page="students",
            students=await asyncio.to_thread(_on, self._server.shelf),
            deployed=self._server.rollouts.now.revision,
            stage=self._server.rollouts.now.stage,
            at=time(),
        )


def _on(shelf: Shelf) -> list[_Shown]:
    return [
        _Shown(candidate, sum(path.stat().st_size for path in candidate.folder.rglob("*") if path.is_file()))
        for candidate in shelf.all()
    ]
