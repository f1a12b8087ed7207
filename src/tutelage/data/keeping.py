"""Which rows of a source may not be kept: those of people who were purged, and those that are too old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tutelage.data.forgotten import Forgotten
from tutelage.records import Prompt

_DAY = 86_400.0


@dataclass(frozen=True)
class Retention:
    """`days` that rows of a class are kept, by class; the others are for ever.

    `now` and `first`, when the programme first collected, are in seconds since the epoch; rows without a time
    count as old as that, and as new where nothing was collected yet.
    """

    days: Mapping[str, float]
    now: float
    first: float | None = None

    def has_expired(self, prompt: Prompt) -> bool:
        """Whether it is older than its class allows."""
        limit = self.days.get(prompt.sensitivity)
        since = self.first if prompt.time is None else prompt.time
        return limit is not None and since is not None and since + limit * _DAY < self.now


@dataclass(frozen=True)
class Keeping:
    """What a source's rows are asked before they are taken."""

    forgotten: Forgotten | None = None
    retention: Retention | None = None

    def is_purged(self, prompt: Prompt, text: str) -> bool:
        """`text` is the row's own, before redaction."""
        known = self.forgotten
        return known is not None and any(
            known.has(prompt.subject, one, prompt.time) for one in (prompt.text, text)
        )

    def has_expired(self, prompt: Prompt) -> bool:
        """See `Retention.has_expired`."""
        return self.retention is not None and self.retention.has_expired(prompt)

    def was_purged(self, subject: str) -> bool:
        """Whether a subject ever was: not even what is wrong with its rows may be kept."""
        return self.forgotten is not None and self.forgotten.has_subject(subject)
