"""How long work tells of itself. Stages speak to a `Progress`; the command line draws it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Tracker(Protocol):
    """One piece of work under way."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` replaces the short text at the bar's end."""
        ...


class Progress(Protocol):
    """Where a stage reports to."""

    def say(self, text: str) -> None:
        """One line for the reader."""
        ...

    def track(
        self, description: str, total: int | None, unit: str, done: int = 0
    ) -> AbstractContextManager[Tracker]:
        """Work of `total` units (None: unknown), `done` of them from an earlier run."""
        ...


class Silent:
    """A Progress that keeps quiet: for libraries and tests."""

    def say(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Silent]:
        """Track nothing."""
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count nothing."""
