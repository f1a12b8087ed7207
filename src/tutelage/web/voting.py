"""Pages on which people compare two answers; see `web.local`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from tutelage.review import Ballot, Poll, reviewer_name
from tutelage.web.local import LocalPages, path_of, see, serve_pages
from tutelage.web.site import LOOPBACK_NAMES, shown_value


def serve_poll(
    poll: Poll, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] | None = None
) -> None:
    """Serve `poll` until the process is told to stop. See `web.local.serve_pages`."""
    serve_pages(lambda hosts, key: make_app(poll, hosts=hosts, key=key), host=host, port=port, ready=ready)


def make_app(poll: Poll, *, hosts: tuple[str, ...] = LOOPBACK_NAMES, key: str = "") -> Starlette:
    """The pages. `hosts` are the names that requests may call this server by; `key`, if any, opens them."""
    pages = _Pages(poll, hosts, key)
    return pages.app(
        {
            ("GET", "/"): pages.names,
            ("POST", "/"): pages.begin,
            ("GET", "/as/{reviewer:path}"): pages.ballot,
            ("POST", "/as/{reviewer:path}/vote"): pages.vote,
            ("POST", "/as/{reviewer:path}/undo"): pages.undo,
        }
    )


class _Pages(LocalPages):
    """What is shown to reviewers, and what becomes of what they send."""

    def __init__(self, poll: Poll, hosts: tuple[str, ...], key: str) -> None:
        super().__init__("vote", hosts, key)
        self._poll = poll

    async def names(self, request: Request) -> Response:
        """Who is reading?"""
        return self._page(request, "vote_names.html.j2", voted=self._poll.progress())

    async def ballot(self, request: Request) -> Response:
        """The next ballot, or that there is none left."""
        return self._next(request, reviewer_name(request.path_params["reviewer"]))

    async def vote(self, request: Request) -> Response:
        """A vote was cast. It is on disk before the next ballot is shown."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        texts = await self.site.form(request)
        if not self.site.is_own(request, texts):
            # The server was started anew since the page was made: what was written on it isn't lost.
            told = "Tutelage was started anew since this page was opened. Please choose once more."
            return self._next(request, reviewer, status=403, told=told, comment=texts.get("comment", ""))
        self._poll.cast(reviewer, texts.get("ballot", ""), texts.get("choice", ""), texts.get("comment", ""))
        return see(reviewer)

    async def undo(self, request: Request) -> Response:
        """The last vote is taken back."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        await self.site.own_form(request)
        self._poll.undo(reviewer)
        return see(reviewer)

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
        content |= {
            "reviewer": reviewer,
            "path": path_of(reviewer),
            "done": poll.done(reviewer),
            "told": told,
        }
        return self._page(request, template, status=status, **content)

    def _page(self, request: Request, template: str, *, status: int = 200, **content: Any) -> Response:
        poll = self._poll
        content |= {"title": poll.title, "instruction": poll.instruction, "total": len(poll)}
        return self.page(request, template, status=status, **content)


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
