"""The rights gate as a programme asks it: before anything is sent, learned, exported, released or served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tutelage import storage
from tutelage.checkpoints import checkpoint_folder
from tutelage.config import SoleTeacherConfig
from tutelage.errors import UsageError
from tutelage.gates import Decision
from tutelage.programme import Programme, fingerprint
from tutelage.rights import (
    TAUGHT,
    Duties,
    Ruling,
    Subject,
    Use,
    add_ruling,
    bases_of,
    basis_text,
    joint_gate,
    read_basis,
    rights_gate,
    standing_gate,
    terms_gate,
)
from tutelage.stages.sources import base_of

# The kind of student that each task makes, in the terms of the rights registry. A judge's student says which
# verdict or score; where it also writes a text of its own, `generate` is the task.
STUDENT_KINDS = {
    "classify": "classifier",
    "judge": "classifier",
    "extract": "extractor",
    "generate": "generator",
}
TRANSFERRED = "answers of the transfer set"
_A_YEAR = timedelta(days=365)
_WRITER = STUDENT_KINDS["generate"]


def programme_use(programme: Programme) -> Use:
    """What this programme asks of its teachers' terms today: for a student of its kind, used as it says."""
    kind = _WRITER if programme.config.student.learns_reasons else STUDENT_KINDS[programme.config.task.type]
    return Use.of(programme, kind)


def rights_decision(programme: Programme) -> Decision:
    """The rights gate's answer for this programme today; of an ensemble each member and the judge pass it."""
    use, teacher = programme_use(programme), programme.config.teacher
    if teacher.type != "ensemble":
        return rights_gate(_subject(teacher, programme), use)
    subjects = {
        f"member {number}": _subject(member.teacher, programme)
        for number, member in enumerate(teacher.members, start=1)
    }
    if teacher.judge is not None:
        subjects["the judge"] = _subject(teacher.judge, programme)
    return joint_gate(subjects, use)


def require_rights(programme: Programme) -> Decision:
    """Journal the decision and return it. Raises GateRefused where it is no pass."""
    return _required(programme, rights_decision(programme))


def require_known_terms(programme: Programme) -> Decision:
    """Journal, and return, whether answers of the teacher may teach today; only asking it is to be allowed.

    Raises GateRefused where it isn't known whose terms bind it.
    """
    decision, teacher = rights_decision(programme), programme.config.teacher
    programme.journal.append("gate", **decision.to_json())
    if teacher.type == "ensemble":
        decision.require()
    else:
        terms_gate(_subject(teacher, programme), programme_use(programme)).require()
    return decision


def _required(programme: Programme, decision: Decision) -> Decision:
    programme.journal.append("gate", **decision.to_json())
    decision.require()
    return decision


def require_helper_rights(programme: Programme, who: str, helper: SoleTeacherConfig) -> Decision:
    """Journal and return the decision on sending prompts to one that only helps to evaluate: `who`, in words.

    By the same terms as for a teacher, though nothing is learned from what it says: a person may decide
    otherwise. Raises GateRefused.
    """
    use = Use.of(programme, STUDENT_KINDS[programme.config.task.type])
    return _required(programme, joint_gate({who: _subject(helper, programme)}, use))


def require_writer_rights(programme: Programme, writer: SoleTeacherConfig) -> Decision:
    """Journal and return the decision on a model that writes prompts: what it says is learned from.

    Raises GateRefused.
    """
    subjects = {"the writer": _subject(writer, programme)}
    return _required(programme, joint_gate(subjects, programme_use(programme)))


def rights_fingerprint(programme: Programme) -> str:
    """Changes with the entry's text, its expiry and what persons decided, not only with the configuration."""
    return fingerprint(rights_decision(programme).to_json())


def use_fingerprint(programme: Programme) -> str:
    """Changes with what the student is for. What was answered stays answered when terms change or expire:
    whether it may teach is asked anew each time, by `rights` of each answer."""
    use = programme_use(programme)
    return fingerprint([use.student_kind, use.config.distribution])


def student_rights(programme: Programme, run: str | None = None) -> Mapping[str, Any] | None:
    """What `train` kept of the rights that a student stands under; None of one trained before it did."""
    record = programme.student.parent / (run or programme.config.student.run) / "run.json"
    if not record.exists():
        return None
    found: Mapping[str, Any] | None = storage.read_json(record).get("rights")
    return found


def student_decision(programme: Programme) -> Decision:
    """Whether this configuration's student may be used today, by the answers that it learned from.

    Of one that was trained before rights were kept with it, whether its teacher may teach today.
    """
    kept = student_rights(programme)
    if kept is None:
        return rights_decision(programme)
    return standing_gate(kept["bases"], Use.of(programme, kept["student_kind"]), TAUGHT)


def student_duties(programme: Programme) -> Duties:
    """What this configuration's student owes today, under the name that it is shipped by."""
    config, kept = programme.config, student_rights(programme)
    of_teacher = basis_text(bases_of(rights_decision(programme).facts).values())
    bases = [of_teacher] if kept is None else [text or of_teacher for text in kept["bases"]]
    base = base_of(config.student)
    if base is not None and _is_on_disk(base, programme):
        base = None  # the name of a folder is its owner's
    return Duties.of(config.export.name or config.student.run, bases, base, programme_use(programme))


def require_student_rights(programme: Programme) -> Decision:
    """Journal and return `student_decision`. Raises GateRefused where it is no pass."""
    return _required(programme, student_decision(programme))


def standing_of_transfer(programme: Programme) -> Decision | None:
    """What the answers of the transfer set stand under, and whether that holds; None before `label`."""
    if not programme.teacher_record.exists():
        return None
    counts = storage.read_json(programme.teacher_record).get("bases", {})
    return standing_gate(counts, programme_use(programme), TRANSFERRED)


def standing_of_students(programme: Programme) -> dict[str, Decision]:
    """By run whether what each student learned from may be used today, of those that tell."""
    found = {}
    for record in sorted(programme.student.parent.glob("*/run.json")):
        if (kept := student_rights(programme, record.parent.name)) is not None:
            use = Use.of(programme, kept["student_kind"])
            found[record.parent.name] = standing_gate(kept["bases"], use, TAUGHT)
    return found


def decide(
    programme: Programme,
    entry: str,
    *,
    allow: bool,
    name: str,
    reason: str,
    until: date | None = None,
    conditions: Sequence[str] = (),
) -> Ruling:
    """Record what a person decides on this programme's use of an entry, in the programme and its journal.

    It is made knowing the entry's clause as it reads now and those that answers at hand were given under.
    `until` is the day from which it counts no longer, by default a year from today. Raises UsageError for
    what makes no decision.
    """
    use, today = programme_use(programme), programme.today()
    terms = use.registry.find(entry)
    counts = [
        *(storage.read_json(programme.teacher_record).get("bases", {}) if programme.answers.exists() else ()),
        *(text for one in standing_of_students(programme).values() for text in one.facts["bases"]),
    ]
    known = {basis.clause for text in counts for basis in read_basis(text) if basis.entry == entry}
    try:
        ruling = Ruling(
            entry=entry,
            ruled="denied" if not allow else "conditional" if conditions else "allowed",
            student_kind=use.student_kind,
            distribution=use.config.distribution,
            name=name,
            reason=reason,
            conditions=tuple(conditions),
            clauses=tuple(sorted(known | {terms.clause_hash if terms else ""})),
            decided=today,
            until=until or today + _A_YEAR,
        )
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise UsageError(f"that is no decision on {entry!r}: {said}. Mend: correct what is named") from error
    add_ruling(programme.rulings, ruling)
    programme.journal.append("rights decided", id=ruling.id, **ruling.model_dump(mode="json"))
    return ruling


def _subject(teacher: SoleTeacherConfig, programme: Programme) -> Subject:
    if teacher.type == "human":
        return Subject(teacher.rights, teacher.type, "")
    if teacher.type == "plugin":
        return Subject(teacher.rights, teacher.type, teacher.name)
    if teacher.type == "openai" or teacher.type == "anthropic":
        return Subject(teacher.rights, teacher.type, teacher.model, teacher.remote_host)
    return Subject(teacher.rights, teacher.type, teacher.model, on_disk=_is_on_disk(teacher.model, programme))


def _is_on_disk(model: str, programme: Programme) -> bool:
    """Whether a model is a folder, or a file as GGUF weights are: its name is then its user's."""
    if checkpoint_folder(model, programme.folder) is not None:
        return True
    return (programme.folder / Path(model).expanduser()).is_file()
