"""The rights gate: default deny."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from tutelage.config import RightsConfig
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.rights.registry import Registry, Terms


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


def rights_gate(
    subject: Subject, student_kind: str, config: RightsConfig, registry: Registry, today: date
) -> Decision:
    """Whether the teacher's answers may teach a student of this kind and distribution.

    Passes only where the registry has the entry, it can stand for this teacher, it has not expired, and it
    says `allow` for the use. An override made for this entry passes whatever the reading, also where there is
    none: the decision then says who decided, why, and what was known. The caller journals it.
    """
    terms = registry.find(subject.entry)
    verdict, reason = _judge(subject, terms, student_kind, config.distribution, registry, today)
    facts: dict[str, Any] = {
        "entry": subject.entry,
        "teacher": {"type": subject.teacher, "model": subject.model, "host": subject.host},
        "student_kind": student_kind,
        "distribution": config.distribution,
        "overridden": False,
        "terms": None
        if terms is None
        else {**terms.model_dump(mode="json", exclude={"verdicts"}), "clause_hash": terms.clause_hash},
    }
    override = config.override
    if verdict is not Verdict.PASS and override is not None:
        if override.entry == subject.entry:
            facts |= {"overridden": True, "override": override.model_dump()}
            reason = f"Overridden by {override.name}: {override.reason} (The registry: {reason})"
            verdict = Verdict.PASS
        else:
            reason += f" rights.override is for {override.entry!r}, so it doesn't count here."
    return Decision.of("rights", [Evidence("terms of the teacher", verdict, reason)], **facts)


def joint_gate(
    subjects: Mapping[str, Subject], student_kind: str, config: RightsConfig, registry: Registry, today: date
) -> Decision:
    """Whether the joined answers of several teachers, by their part in it (`member 1`), may teach.

    Each is asked about under its own entry, and all have to pass: what one's terms forbid isn't washed out by
    the others. There is a piece of evidence for each, which names it; its own facts stand under `members`.
    """
    decisions = {
        part: rights_gate(subject, student_kind, config, registry, today)
        for part, subject in subjects.items()
    }
    evidence = [
        replace(item, term=f"{item.term}, {part}", reason=f"{part}: {item.reason}")
        for part, decision in decisions.items()
        for item in decision.evidence
    ]
    facts: dict[str, Any] = {
        "entry": ", ".join(dict.fromkeys(subject.entry for subject in subjects.values())),
        "teacher": {"type": "ensemble"},
        "student_kind": student_kind,
        "distribution": config.distribution,
        "overridden": any(decision.facts["overridden"] for decision in decisions.values()),
        "members": {part: dict(decision.facts) for part, decision in decisions.items()},
    }
    return Decision.of("rights", evidence, **facts)


_MEND = (
    "Mend: have the terms read and name the entry that binds this teacher, or set rights.override with the "
    "entry, a name and a reason."
)


def _judge(
    subject: Subject, terms: Terms | None, kind: str, distribution: str, registry: Registry, today: date
) -> tuple[Verdict, str]:
    entry = subject.entry
    if terms is None:
        near = ", ".join(registry.nearest(entry)) or "none"
        return Verdict.FAIL, f"no entry {entry!r} in the rights registry; nearest: {near}. {_MEND}"
    if mismatch := _mismatch(subject, terms, registry):
        return Verdict.FAIL, f"{mismatch}. {_MEND}"
    if today >= terms.expires:
        return Verdict.FAIL, f"the reading of {entry!r} expired on {terms.expires}. {_MEND}"
    reading = terms.reading(kind, distribution)
    said = f"{terms.provider} ({terms.access}), read {terms.read}: {terms.clause}"
    if reading == "allow":
        return Verdict.PASS, f"allowed for a {kind} used {distribution}. {said}"
    what = "needs a review" if reading == "review" else "is denied"
    return Verdict.FAIL, f"a {kind} used {distribution} {what} under {entry!r}. {said} {_MEND}"


def _mismatch(subject: Subject, terms: Terms, registry: Registry) -> str | None:
    """Why the entry can't stand for this teacher, as far as names can tell; None where they don't object.

    Who serves a model of unknown name at an address of their own is taken at their word, which the journal
    keeps.
    """
    if terms.teachers and subject.teacher not in terms.teachers:
        return f"{terms.id!r} is no entry for a teacher of type {subject.teacher!r}"
    if subject.host:
        if terms.binds_host(subject.host):
            return None
        for other in registry:
            if other.binds_host(subject.host):
                return f"{subject.host} is bound by {other.id!r}, and rights names {terms.id!r}"
    if subject.on_disk or terms.may_stand_for(subject.model):
        return None
    if terms.models and not terms.hosts:
        return f"{terms.id!r} is for {', '.join(terms.models)}, and the model is {subject.model!r}"
    for other in registry:
        if other.binds_model(subject.model):
            return f"the model {subject.model!r} is bound by {other.id!r}, and rights names {terms.id!r}"
    return None
