"""Requests before people: one at a time, with what the task takes as answers on keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tutelage.errors import UsageError
from tutelage.records import Value, dump_value, load_value
from tutelage.serving.access import Role
from tutelage.serving.reviews import ReviewItem, ReviewPolicy
from tutelage.tasks import with_labels
from tutelage.web.pages._page import Page, Pages, see

if TYPE_CHECKING:
    from tutelage.stages.serve import Server

_KEYS = "123456789"
_WAITING = 25  # items told of beside the one at hand
_NONE, _OTHER, _TICKED = "none", "other", "label-"


@dataclass(frozen=True, slots=True)
class _Choice:
    """An answer on a button: `sent` by it, said by `sides` already, with its key, if any is left."""

    text: str
    sent: str
    sides: tuple[str, ...]
    key: str


class ReviewPages:
    """People as a tier. The reviewer is whoever's key it is."""

    def __init__(self, pages: Pages, server: Server) -> None:
        self._pages, self._reviews = pages, server.store.reviews
        task = with_labels(server.gateway.task)
        assert task is not None  # noqa: S101 - no other is served
        self._task = task
        self._policy = ReviewPolicy.of(server.gateway.config.people)

    def routes(self) -> list[Page]:
        """The item at hand, and what can be done with it."""
        return [
            self._pages.page("/review", self.review, Role.REVIEWER),
            self._pages.action("/review", self.decide, Role.REVIEWER),
            self._pages.action("/review/undo", self.undo, Role.REVIEWER),
            self._pages.action("/review/release", self.release, Role.REVIEWER),
        ]

    async def review(self, request: Request) -> Response:
        """`GET /review`: the item that waits longest, theirs for a while."""
        now, reviewer = time(), request.state.principal.name
        item = await asyncio.to_thread(self._reviews.claim, reviewer, self._policy, now=now)
        return self._pages.show(
            request,
            "pages_review.html.j2",
            page="review",
            item=item,
            now=now,
            choices=() if item is None else self._choices(item),
            labels=self._task.labels,
            descriptions=self._task.descriptions or {},
            several=self._task.multi_label,
            lease=round(self._policy.lease / 60),
            counts=await asyncio.to_thread(self._reviews.counts, now=now),
            waiting=await asyncio.to_thread(self._reviews.waiting, limit=_WAITING),
            ticked=_TICKED,
        )

    async def decide(self, request: Request) -> Response:
        """`POST /review`: a verdict."""
        form = request.state.form
        value = self._value(form)
        await asyncio.to_thread(
            self._reviews.decide,
            form.get("capture", ""),
            request.state.principal.name,
            None if value is None else dump_value(value),
            now=time(),
            comment=form.get("comment", ""),
        )
        return see("/review")

    async def undo(self, request: Request) -> Response:
        """`POST /review/undo`: the last verdict is taken back, and its item is at hand again."""
        reviewer = request.state.principal.name
        await asyncio.to_thread(self._reviews.undo, reviewer, self._policy, now=time())
        return see("/review")

    async def release(self, request: Request) -> Response:
        """`POST /review/release`: the item is given back undecided."""
        capture, reviewer = request.state.form.get("capture", ""), request.state.principal.name
        await asyncio.to_thread(self._reviews.release, capture, reviewer)
        return see("/")

    def _choices(self, item: ReviewItem) -> Sequence[_Choice]:
        """All labels where keys suffice, else what student and teacher said; of a blind item never who."""
        said: dict[tuple[str, ...], tuple[str, ...]] = {}
        if not item.blind:
            for side, value in (
                ("teacher", item.capture.teacher_value),
                ("student", item.capture.student_value),
            ):
                if value is not None:
                    names = self._task.names_of(load_value(value))
                    said[names] = (*said.get(names, ()), side)
        if not self._task.multi_label and len(self._task.labels) <= len(_KEYS):
            said = {(name,): said.get((name,), ()) for name in self._task.labels}
        return [
            _Choice(", ".join(names) or "(no label)", json.dumps(names), sides, _KEYS[place])
            for place, (names, sides) in enumerate(said.items())
        ]

    def _value(self, form: Mapping[str, str]) -> Value | None:
        """What the form says is right; None: no answer is. Raises UsageError where the task takes no such."""
        choice = form.get("choice", "")
        if choice == _NONE:
            return None
        names = _named(form) if choice == _OTHER else _read(choice)
        foreign = [name for name in names if name not in self._task.labels]
        if foreign or (not self._task.multi_label and len(names) != 1):
            told = f"{foreign[0][:40]!r} is no label" if foreign else f"{len(names)} labels were given"
            raise UsageError(f"{told} of this task. Mend: choose one of those on the page")
        return self._task.value_of(names)


def _named(form: Mapping[str, str]) -> list[str]:
    """The label that was picked, or those that were ticked."""
    ticked = [value for name, value in form.items() if name.startswith(_TICKED)]
    return ticked or [name for name in (form.get("label", ""),) if name]


def _read(choice: str) -> list[str]:
    try:
        names = json.loads(choice)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{choice[:40]!r} is no choice. Mend: choose one of those on the page")
    return names
