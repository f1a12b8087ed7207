"""Redaction: what becomes of each kind of personal data before a text is kept or leaves the machine."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tutelage.data.redaction.entities import Entity, Finding, joined, without_overlaps
from tutelage.data.redaction.national import national_numbers
from tutelage.data.redaction.numbers import cards, ibans, ip_addresses, phones
from tutelage.data.redaction.words import addresses, cued_names, emails, urls
from tutelage.errors import UsageError

Find = Callable[[str], Iterator[Finding]]

_NUMBERS = (Entity.CARD, Entity.IBAN, Entity.NATIONAL_ID, Entity.IP, Entity.PHONE, Entity.ADDRESS)
_TAKEN = "\ue000"  # of a private use: no letter, no digit, no space
_NOT_TAKEN = re.compile(rf"[^\s{_TAKEN}](?:[^{_TAKEN}]*[^\s{_TAKEN}])?")
_DIGITS = frozenset("0123456789")
_MARK = 10  # hex digits of a pseudonym
_LEAST_KEY = 16  # bytes


class Action(StrEnum):
    """What becomes of a finding."""

    MASK = "mask"
    PSEUDONYM = "pseudonym"
    DROP = "drop"
    ALLOW = "allow"


def find(text: str, wanted: frozenset[Entity], detectors: Sequence[Find] = ()) -> list[Finding]:
    """The personal data of the wanted kinds in a text, in its order, without overlaps.

    `detectors` find more than the built-in ones: names by list, or by a model. Names after a title, a
    greeting or an introduction are found without them.
    """
    findings = [item for item in _sure(text) if item.entity in wanted]
    rest = _blanked(text, findings)
    likely = list(_likely(rest))
    if Entity.NAME in wanted:
        likely += cued_names(rest)
    for detect in detectors:
        likely += (part for item in detect(rest) for part in _left_of(item, rest))
    likely = [item for item in likely if item.entity in wanted]
    findings += [item for item in likely if item.entity is not Entity.NAME]
    findings += joined(item for item in likely if item.entity is Entity.NAME)
    return without_overlaps(findings)


def _sure(text: str) -> Iterator[Finding]:
    """What its form or a check digit gives away. What a text can't hold isn't looked for."""
    if "@" in text:
        yield from emails(text)
    if "://" in text or "www." in text.lower():
        yield from urls(text)
    if not _DIGITS.isdisjoint(text):
        for detect in (cards, ibans, national_numbers, ip_addresses):
            yield from detect(text)
    elif "::" in text:
        yield from ip_addresses(text)


def _likely(text: str) -> Iterator[Finding]:
    if not _DIGITS.isdisjoint(text):
        yield from phones(text)
        yield from addresses(text)


def _blanked(text: str, findings: list[Finding]) -> str:
    """The text without what is surely found, so that nothing that is only likely takes a part of it in."""
    if not findings:
        return text
    characters = list(text)
    for finding in findings:
        characters[finding.start : finding.end] = _TAKEN * (finding.end - finding.start)
    return "".join(characters)


def _left_of(finding: Finding, rest: str) -> Iterator[Finding]:
    """A finding without what was surely found: a model takes that in, where it stands beside a name."""
    for part in _NOT_TAKEN.finditer(rest, finding.start, finding.end):
        yield replace(finding, start=part.start(), end=part.end())


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text after redaction. `dropped` names the kinds for which the whole row has to go."""

    text: str
    findings: tuple[Finding, ...] = ()
    dropped: tuple[Entity, ...] = ()


@dataclass(frozen=True)
class Redactor:
    """Applies a policy: an action for each kind. Kinds without one are left as they are.

    `key` makes pseudonyms, the same for the same value in the same programme: an HMAC-SHA256 of kind and
    value, cut to ten hex digits, which says nothing to whoever lacks the key. `remember` is told of every
    pseudonym with its value, where they are to be turned back some day.
    """

    policy: Mapping[Entity, Action]
    key: bytes = b""
    detectors: tuple[Find, ...] = ()
    remember: Callable[[str, str], None] | None = None
    counts: Counter[Entity] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if Action.PSEUDONYM in self.policy.values() and len(self.key) < _LEAST_KEY:
            raise UsageError(
                f"pseudonyms need a key of {_LEAST_KEY} bytes at least, and it has {len(self.key)}. "
                "Mend: put a long random word into the environment variable of privacy.key_env"
            )

    def redact(self, text: str) -> Redacted:
        """A text as it may be kept."""
        wanted = frozenset(entity for entity, action in self.policy.items() if action is not Action.ALLOW)
        findings = find(text, wanted, self.detectors)
        if not findings:
            return Redacted(text)
        self.counts.update(finding.entity for finding in findings)
        parts, at = [], 0
        for finding in findings:
            parts += [text[at : finding.start], self._instead(finding, text[finding.start : finding.end])]
            at = finding.end
        dropped = {item.entity: None for item in findings if self.policy[item.entity] is Action.DROP}
        return Redacted("".join([*parts, text[at:]]), tuple(findings), tuple(dropped))

    def take(self, found: Mapping[Entity, int], renamed: Iterable[tuple[str, str]]) -> None:
        """Count, and have remembered, what a copy of this one found elsewhere."""
        self.counts.update(found)
        for pseudonym, value in renamed:
            if self.remember is not None:
                self.remember(pseudonym, value)

    def _instead(self, finding: Finding, value: str) -> str:
        kind = finding.entity.upper()
        if self.policy[finding.entity] is not Action.PSEUDONYM:
            return f"[{kind}]"
        told = f"[{kind}-{self._mark(finding.entity, value)}]"
        if self.remember is not None:
            self.remember(told, value)
        return told

    def _mark(self, entity: Entity, value: str) -> str:
        """The same for a value however it is written: case, spaces and separators of numbers don't matter."""
        plain = "".join(value.split()).casefold()
        if entity in _NUMBERS:
            plain = "".join(character for character in plain if character.isalnum())
        return hmac.new(self.key, f"{entity}\0{plain}".encode(), hashlib.sha256).hexdigest()[:_MARK]
