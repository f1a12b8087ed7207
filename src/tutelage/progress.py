"""How long work tells of itself. Stages speak to a `Progress`; the command line draws it.

All text is plain: what looks like markup in it (a slice named "[red]") is shown as it stands.
"""

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

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        """What stage `name` does, did, or (`quiet`) needn't do."""
        ...

    def note(self, text: str) -> None:
        """A line below the stage's own."""
        ...

    def warn(self, text: str) -> None:
        """A line below the stage's own that should not be passed over."""
        ...

    def track(
        self, description: str, total: int | None, unit: str, done: int = 0
    ) -> AbstractContextManager[Tracker]:
        """Work of `total` units (None: unknown), `done` of them from an earlier run."""
        ...


class Silent:
    """A Progress that keeps quiet: for libraries and tests."""

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Silent]:
        """Track nothing."""
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count nothing."""
