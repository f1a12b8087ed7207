"""The rights gate: default deny."""

from __future__ import annotations

from datetime import date
from typing import Any

from tutelage.config import RightsConfig
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.rights.registry import Registry, Terms


def rights_gate(
    entry_id: str, student_kind: str, config: RightsConfig, registry: Registry, today: date
) -> Decision:
    """Whether answers of the teacher under `entry_id` may teach a student of this kind and distribution.

    Passes only where the registry has an entry, it has not expired, and it says `allow` for the use. A
    named override passes whatever the reading, also where there is none: the decision then says who
    decided, why, and what was known. The caller journals it.
    """
    terms = registry.find(entry_id)
    verdict, reason = _judge(entry_id, terms, student_kind, config.distribution, registry, today)
    facts: dict[str, Any] = {
        "entry": entry_id,
        "student_kind": student_kind,
        "distribution": config.distribution,
        "overridden": False,
        "terms": None if terms is None else terms.model_dump(mode="json", exclude={"verdicts"}),
    }
    if verdict is not Verdict.PASS and config.override is not None:
        override = config.override
        facts |= {"overridden": True, "override": override.model_dump()}
        reason = f"Overridden by {override.name}: {override.reason} (The registry: {reason})"
        verdict = Verdict.PASS
    return Decision.of("rights", [Evidence("terms of the teacher", verdict, reason)], **facts)


def _judge(
    entry_id: str, terms: Terms | None, kind: str, distribution: str, registry: Registry, today: date
) -> tuple[Verdict, str]:
    mend = "Mend: have the terms read and add an entry, or set rights.override with a name and a reason."
    if terms is None:
        near = ", ".join(registry.nearest(entry_id)) or "none"
        return Verdict.FAIL, f"no entry {entry_id!r} in the rights registry; nearest: {near}. {mend}"
    if today >= terms.expires:
        return Verdict.FAIL, f"the reading of {entry_id!r} expired on {terms.expires}. {mend}"
    reading = terms.reading(kind, distribution)
    said = f"{terms.provider} ({terms.access}), read {terms.read}: {terms.clause}"
    if reading == "allow":
        return Verdict.PASS, f"allowed for a {kind} used {distribution}. {said}"
    what = "needs a review" if reading == "review" else "is denied"
    return Verdict.FAIL, f"a {kind} used {distribution} {what} under {entry_id!r}. {said} {mend}"
