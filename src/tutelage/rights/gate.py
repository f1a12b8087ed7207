"""The rights gate: default deny."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from tutelage.config import OverrideConfig, RightsConfig
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.programme import Programme
from tutelage.rights.basis import Basis, read_basis
from tutelage.rights.registry import Registry, Terms, load_registry
from tutelage.rights.rulings import Ruling, read_rulings, ruling_on


@dataclass(frozen=True, slots=True)
class Subject:
    """The teacher that is asked about: under which entry, of which type, where, and which model.

    `host` is empty for a teacher on this machine, `on_disk` tells that `model` is a folder or file, whose
    name says nothing. `model` is empty where there is none: people.
    """

    entry: str
    teacher: str
    model: str
    host: str = ""
    on_disk: bool = False


@dataclass(frozen=True)
class Use:
    """What is asked: for a student of which kind, used how, on which day, by which registry and rulings."""

    student_kind: str
    config: RightsConfig
    registry: Registry
    today: date
    rulings: Sequence[Ruling] = ()

    @classmethod
    def of(cls, programme: Programme, student_kind: str) -> Use:
        """As a programme has it today. Raises ConfigError, IntegrityError for a file that isn't sound."""
        config = programme.config.rights
        own = None if config.registry is None else programme.folder / config.registry
        rulings = read_rulings(programme.rulings)
        return cls(student_kind, config, load_registry(own), programme.today(), rulings)

    @property
    def words(self) -> str:
        """The use, as a sentence goes on."""
        return f"a {self.student_kind} used {self.config.distribution}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of an entry: the verdict and why, and the ruling or override that it took."""

    verdict: Verdict
    reason: str
    ruling: Ruling | None = None
    override: OverrideConfig | None = None


def rights_gate(subject: Subject, use: Use) -> Decision:
    """Whether the teacher's answers may teach a student of this kind and distribution.

    Passes only where the registry has the entry, it can stand for this teacher, it has not expired, and it
    says `allow` for the use; or where a person has ruled so for this use, until a day that hasn't come, on
    the clause as it reads now. A ruling that denies wins over all else. An override made for this entry
    passes whatever the reading, also where there is none. The decision says who decided, why, and what was
    known. The caller journals it.
    """
    terms = use.registry.find(subject.entry)
    answer = _judge(subject.entry, terms, use, _mismatch(subject, terms, use.registry))
    facts: dict[str, Any] = {
        "entry": subject.entry,
        "teacher": {"type": subject.teacher, "model": subject.model, "host": subject.host},
        "student_kind": use.student_kind,
        "distribution": use.config.distribution,
        "overridden": answer.override is not None,
        "terms": None
        if terms is None
        else {
            **terms.model_dump(mode="json", exclude={"verdicts", "duties"}),
            "duties": [duty.text for duty in terms.duties],
            "clause_hash": terms.clause_hash,
            "own": use.registry.is_own(terms.id),
        },
    }
    if answer.override is not None:
        facts["override"] = answer.override.model_dump()
    if answer.ruling is not None:
        facts["ruling"] = {"id": answer.ruling.id, **answer.ruling.model_dump(mode="json")}
    return Decision.of("rights", [Evidence("terms of the teacher", answer.verdict, answer.reason)], **facts)


def terms_gate(subject: Subject, use: Use) -> Decision:
    """Whether it is known whose terms bind the teacher: the registry has the entry, and it can stand for it.

    That is what asking it on somebody's behalf takes, which teaches nothing: what the entry says of learning
    from its answers, and until when that was read, doesn't count. An override made for the entry passes.
    """
    terms = use.registry.find(subject.entry)
    override = use.config.override_for(subject.entry)
    if override is not None:
        verdict, reason = Verdict.PASS, f"Overridden by {override.name}: {override.reason}"
    elif terms is None:
        verdict, reason = _by_registry(subject.entry, None, use, None)
    elif mismatch := _mismatch(subject, terms, use.registry):
        verdict, reason = Verdict.FAIL, f"{mismatch}. {_MEND}"
    else:
        verdict, reason = Verdict.PASS, f"{subject.entry!r} binds it: {terms.provider} ({terms.access})"
    return Decision.of(
        "terms", [Evidence("whose terms bind the teacher", verdict, reason)], entry=subject.entry
    )


def joint_gate(subjects: Mapping[str, Subject], use: Use) -> Decision:
    """Whether the joined answers of several teachers, by their part in it (`member 1`), may teach.

    Each is asked about under its own entry, and all have to pass: what one's terms forbid isn't washed out by
    the others. There is a piece of evidence for each, which names it; its own facts stand under `members`.
    """
    decisions = {part: rights_gate(subject, use) for part, subject in subjects.items()}
    evidence = [
        replace(item, term=f"{item.term}, {part}", reason=f"{part}: {item.reason}")
        for part, decision in decisions.items()
        for item in decision.evidence
    ]
    facts: dict[str, Any] = {
        "entry": ", ".join(dict.fromkeys(subject.entry for subject in subjects.values())),
        "teacher": {"type": "ensemble"},
        "student_kind": use.student_kind,
        "distribution": use.config.distribution,
        "overridden": any(decision.facts["overridden"] for decision in decisions.values()),
        "members": {part: dict(decision.facts) for part, decision in decisions.items()},
    }
    return Decision.of("rights", evidence, **facts)


def standing_gate(counts: Mapping[str, int], use: Use, what: str) -> Decision:
    """Whether answers that were given under these rights may still be used: `counts` of rows by basis text.

    `what` they are, in words. Each right that some stand under has to pass today, on the clause that it was
    given under: where that reads otherwise now, only a ruling made knowing both lets them be used. There is
    a piece of evidence for each text; an empty one, of answers from before rights were kept, passes.
    """
    total = sum(counts.values())
    evidence = []
    for text, count in sorted(counts.items()):
        found = [judge_basis(basis, use) for basis in read_basis(text)]
        against = [item.reason for item in found if item.verdict is not Verdict.PASS]
        verdict = Verdict.FAIL if against else Verdict.PASS
        share = f"{count:,} of {total:,} {what}"
        if not text:
            reason = f"{share} were given before rights were kept with each; teacher.rights speaks for them"
        else:
            reason = f"{share} stand under {text}: {' '.join(against) or 'still allowed'}"
        evidence.append(Evidence(text or "not recorded", verdict, reason, n=count))
    facts = {
        "bases": dict(counts),
        "student_kind": use.student_kind,
        "distribution": use.config.distribution,
    }
    return Decision.of("standing rights", evidence, **facts)


def judge_basis(basis: Basis, use: Use) -> Evidence:
    """Whether a right under which answers were given holds today."""
    terms = use.registry.find(basis.entry)
    answer = _judge(basis.entry, terms, use, None)
    verdict, reason = answer.verdict, answer.reason
    known = "" if terms is None else terms.clause_hash
    covered = answer.override is not None or basis.clause in (answer.ruling.clauses if answer.ruling else ())
    if verdict is Verdict.PASS and basis.clause != known and not covered:
        later = ruling_on(use.rulings, basis.entry, use.student_kind, use.config.distribution)
        if later is None or _void(later, terms, use) or basis.clause not in later.clauses:
            verdict, reason = Verdict.FAIL, _changed(basis, known, use)
    return Evidence(str(basis), verdict, reason)


def _changed(basis: Basis, known: str, use: Use) -> str:
    return (
        f"the clause of {basis.entry!r} reads otherwise now ({known or 'the entry is gone'}) than when the "
        f"answers were given ({basis.clause or 'there was no entry'}). Mend: read `tutelage rights show "
        f"{basis.entry}`, then have a person decide with `tutelage rights decide --entry {basis.entry}`, "
        f"for {use.words}; or set rights.lapsed to leave_out, which trains without these rows"
    )


TAUGHT = "answers that taught the student"

_MEND = (
    "Mend: have the terms read and name the entry that binds this teacher, or have a person decide with "
    "`tutelage rights decide`."
)


def _judge(entry: str, terms: Terms | None, use: Use, mismatch: str | None) -> _Answer:
    """What registry and persons say of an entry; `mismatch` is why it can't stand for the teacher."""
    verdict, reason = _by_registry(entry, terms, use, mismatch)
    ruling = ruling_on(use.rulings, entry, use.student_kind, use.config.distribution)
    if ruling is not None and not ruling.permits and use.today < ruling.until:
        denied = f"{ruling.name} decided on {ruling.decided} against {use.words} under {entry!r}: "
        mend = "Mend: another teacher; or have them decide anew with `tutelage rights decide`"
        return _Answer(Verdict.FAIL, f"{denied}{ruling.reason} {mend}", ruling)
    if verdict is Verdict.PASS:
        return _Answer(verdict, reason)
    if ruling is not None and ruling.permits and mismatch is None:
        void = _void(ruling, terms, use)
        if void is None:
            told = f"{ruling.name} decided on {ruling.decided}, until {ruling.until}: {ruling.reason}"
            kept = f" Conditions: {' '.join(ruling.conditions)}" if ruling.conditions else ""
            return _Answer(Verdict.PASS, f"{told}{kept} (The registry: {reason})", ruling)
        reason += f" {void}"
    override = use.config.override_for(entry)
    if override is not None:
        told = f"Overridden by {override.name}: {override.reason} (The registry: {reason})"
        return _Answer(Verdict.PASS, told, None, override)
    if others := ", ".join(repr(one.entry) for one in use.config.override):
        reason += f" rights.override is for {others}, so it doesn't count here."
    return _Answer(verdict, reason)


def _void(ruling: Ruling, terms: Terms | None, use: Use) -> str | None:
    """Why a ruling that permits doesn't hold today, or None where it does."""
    told = f"What {ruling.name} decided on {ruling.decided}"
    if not ruling.permits:
        return f"{told} denies it."
    if use.today >= ruling.until:
        return f"{told} ended on {ruling.until}."
    clause = "" if terms is None else terms.clause_hash
    if clause not in ruling.clauses:
        return f"{told} was on another clause than the entry has now ({clause or 'there is none'})."
    return None


def _by_registry(entry: str, terms: Terms | None, use: Use, mismatch: str | None) -> tuple[Verdict, str]:
    if terms is None:
        near = ", ".join(use.registry.nearest(entry)) or "none"
        return Verdict.FAIL, f"no entry {entry!r} in the rights registry; nearest: {near}. {_MEND}"
    if mismatch:
        return Verdict.FAIL, f"{mismatch}. {_MEND}"
    if use.today >= terms.expires:
        return Verdict.FAIL, f"the reading of {entry!r} expired on {terms.expires}. {_MEND}"
    reading = terms.reading(use.student_kind, use.config.distribution)
    whose = "your own entry, " if use.registry.is_own(entry) else ""
    said = f"{whose}{terms.provider} ({terms.access}), read {terms.read}: {terms.clause}"
    if reading == "allow":
        return Verdict.PASS, f"allowed for {use.words}. {said}"
    what = "needs a review" if reading == "review" else "is denied"
    return Verdict.FAIL, f"{use.words} {what} under {entry!r}. {said} {_MEND}"


def _mismatch(subject: Subject, terms: Terms | None, registry: Registry) -> str | None:
    """Why the entry can't stand for this teacher, as far as names can tell; None where they don't object.

    Who serves a model of unknown name at an address of their own is taken at their word, which the journal
    keeps. Without `terms`, since there is no such entry, others may still bind the teacher.
    """
    if terms is not None and terms.teachers and subject.teacher not in terms.teachers:
        return f"{terms.id!r} is no entry for a teacher of type {subject.teacher!r}"
    if subject.host:
        if terms is not None and terms.binds_host(subject.host):
            return None
        for other in registry:
            if other.binds_host(subject.host):
                return f"{subject.host} is bound by {other.id!r}, and rights names {subject.entry!r}"
    if subject.on_disk or (terms is not None and terms.may_stand_for(subject.model)):
        return None
    if terms is not None and terms.models and not terms.hosts:
        return f"{terms.id!r} is for {', '.join(terms.models)}, and the model is {subject.model!r}"
    for other in registry:
        if other.binds_model(subject.model):
            return f"the model {subject.model!r} is bound by {other.id!r}, and rights names {subject.entry!r}"
    return None
