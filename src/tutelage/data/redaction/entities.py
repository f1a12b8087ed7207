"""What personal data is looked for, and a finding of it."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Entity(StrEnum):
    """Kinds of personal data."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    NATIONAL_ID = "national_id"
    IP = "ip"
    ADDRESS = "address"
    NAME = "name"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Finding:
    """One stretch of a text, `text[start:end]`.

    `sure` tells that a checksum or an unmistakable form speaks for it, not only likeness.
    """

    entity: Entity
    start: int
    end: int
    sure: bool = True


# Where findings overlap the surer one counts, then the one that stands first here, then the longer.
PRECEDENCE = (
    Entity.EMAIL,
    Entity.URL,
    Entity.IBAN,
    Entity.CARD,
    Entity.NATIONAL_ID,
    Entity.IP,
    Entity.PHONE,
    Entity.ADDRESS,
    Entity.NAME,
)


def joined(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of one kind by several detectors: those that overlap as one, so that no part is left."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda item: item.start):
        if kept and finding.start < kept[-1].end:
            kept[-1] = replace(kept[-1], end=max(kept[-1].end, finding.end))
        else:
            kept.append(finding)
    return kept


def without_overlaps(findings: list[Finding]) -> list[Finding]:
    """The findings that count, in the order of the text."""
    if len(findings) < 2:
        return findings
    ranked = sorted(
        findings,
        key=lambda item: (not item.sure, PRECEDENCE.index(item.entity), item.start - item.end, item.start),
    )
    kept: list[Finding] = []  # in the order of the text
    for finding in ranked:
        place = bisect(kept, finding.start, key=lambda item: item.start)
        after = place == len(kept) or finding.end <= kept[place].start
        if after and (place == 0 or kept[place - 1].end <= finding.start):
            kept.insert(place, finding)
    return kept
