"""What a student owes: the duties of its terms, which of them are kept, and the NOTICE that tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tutelage.gates import Decision, Evidence, Verdict
from tutelage.rights.basis import read_basis
from tutelage.rights.gate import Use
from tutelage.rights.registry import Duty, Terms
from tutelage.rights.rulings import ruling_on

NOTICE = "NOTICE"  # the file's name, beside the student's own
TAUGHT_BY, BEGAN_WITH = "its answers taught the student", "the student began with its weights"


class State(StrEnum):
    """How a duty stands."""

    KEPT = "kept"
    OPEN = "not kept"
    PEOPLE = "for people to see to"


@dataclass(frozen=True, slots=True)
class Owed:
    """One duty: under which entry, how it stands, and by what."""

    entry: str
    provider: str
    duty: Duty
    state: State
    how: str

    def to_json(self) -> dict[str, Any]:
        """For `export.json`."""
        return {
            "entry": self.entry,
            "provider": self.provider,
            "kind": self.duty.kind,
            "text": self.duty.text,
            "state": str(self.state),
            "how": self.how,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """Whose terms a student stands under and why; `terms` is None where the registry lacks the entry now.

    `model` is the one that it began with, empty for a teacher.
    """

    entry: str
    terms: Terms | None
    why: str
    model: str = ""


@dataclass(frozen=True)
class Duties:
    """All that a student called `name` owes, and to whom. Readings, no legal advice."""

    name: str
    sources: tuple[Source, ...]
    owed: tuple[Owed, ...]

    @classmethod
    def of(cls, name: str, bases: Iterable[str], base: str | None, use: Use) -> Duties:
        """As the registry and persons' decisions are today.

        Of the answers that taught it by their `bases`, and of the model `base` that it began with (None: its
        weights were random) by the entry for weights that binds its name. A path says nothing of whose it is.
        """
        taught = sorted({basis.entry for text in bases for basis in read_basis(text)})
        sources = [Source(entry, use.registry.find(entry), TAUGHT_BY) for entry in taught]
        sources += (
            [Source(terms.id, terms, BEGAN_WITH, base) for terms in _binding(base, use)] if base else []
        )
        owed = {
            (source.entry, duty): _owed(source, duty, name)
            for source in sources
            for duty in _duties(source, use)
        }
        return cls(name, tuple(sources), tuple(owed.values()))

    @property
    def open(self) -> tuple[Owed, ...]:
        """Those that are not kept."""
        return tuple(one for one in self.owed if one.state is State.OPEN)

    def decision(self) -> Decision | None:
        """Whether those are kept that can be told from here; None where there is none such."""
        evidence = [
            Evidence(
                f"duty to {one.provider}",
                Verdict.FAIL if one.state is State.OPEN else Verdict.PASS,
                f"{one.entry}: {one.duty.text} {one.how}",
            )
            for one in self.owed
            if one.duty.kind == "naming"
        ]
        return Decision.of("duties", evidence) if evidence else None

    def shown(self) -> tuple[str, ...]:
        """Words that terms ask to be shown beside the student, and notices, each once."""
        kinds = ("attribution", "notice")
        return tuple(dict.fromkeys(one.duty.value for one in self.owed if one.duty.kind in kinds))

    def notice(self) -> str:
        """The text of the file NOTICE."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield self.name
        for words in self.shown():
            yield from ("", words)
        if self.sources:
            yield from ("", "Made from work of others, under these terms:")
        for source in self.sources:
            yield f"* {_told(source)}"
        if self.owed:
            yield from ("", "What they ask of whoever uses this student or passes it on:")
        for one in self.owed:
            yield f"* {one.entry}, {one.state}: {one.duty.text} {one.how}"
        yield from ("", "These are readings of terms with their dates, not legal advice.")


def _binding(base: str, use: Use) -> list[Terms]:
    """Entries for weights of that name; those that nobody has read, of whole families, only where alone."""
    found = [terms for terms in use.registry if terms.access == "weights" and terms.binds_model(base)]
    return [terms for terms in found if not terms.second_hand] or found


def _duties(source: Source, use: Use) -> Iterator[Duty]:
    distribution = use.config.distribution
    for duty in source.terms.duties if source.terms else ():
        binds = duty.distribution in (None, distribution) and (source.model or not duty.weights)
        if binds:
            yield duty
    ruling = None if source.model else ruling_on(use.rulings, source.entry, use.student_kind, distribution)
    if ruling is not None and ruling.permits:
        yield from (Duty(text=condition) for condition in ruling.conditions)


def _owed(source: Source, duty: Duty, name: str) -> Owed:
    provider = source.terms.provider if source.terms else source.entry
    state, how = _standing(duty, name)
    return Owed(source.entry, provider, duty, state, how)


def _standing(duty: Duty, name: str) -> tuple[State, str]:
    if duty.kind == "naming":
        if name.casefold().startswith(duty.value.casefold()):
            return State.KEPT, f"It is called {name!r}."
        mend = f"Mend: export.name, such as {duty.value + ' ' + name!r}, then evaluate and export again."
        return State.OPEN, f"It is called {name!r}. {mend}"
    if duty.kind in ("attribution", "notice"):
        return State.KEPT, f"It stands in {NOTICE} and on the model card."
    if duty.kind == "terms":
        return State.PEOPLE, f"{NOTICE} names them; a copy of them has to go along."
    return State.PEOPLE, "Tutelage can't tell."


def _told(source: Source) -> str:
    whose = f"{source.model}, {source.entry}" if source.model else source.entry
    if source.terms is None:
        return f"{whose}: no entry of the registry has that name now; {source.why}"
    terms = source.terms
    return (
        f"{whose} ({terms.provider}; {source.why}): {terms.source}, read {terms.read}. {terms.clause.strip()}"
    )
