"""A Progress that ends a run where a kill would: after given steps, or before the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Killed(Exception):
    """The process is gone."""


class Interrupting:
    """Raises Killed when one of the steps `at` is done, in training number `member` of a run.

    `began` has for each training so far the step from which it went on.
    """

    def __init__(self, *at: int, member: int = 0) -> None:
        self.at, self.member = at, member
        self.began: list[int] = []
        self.step = 0

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Interrupting]:
        self.step = done
        self.began.append(done)
        if 0 in self.at:
            raise Killed
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        self.step += count
        if self.step in self.at and len(self.began) == self.member + 1:
            raise Killed
