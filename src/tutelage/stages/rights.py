"""The rights gate as a programme asks it: before anything is sent, and again before anything is learned."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tutelage.checkpoints import checkpoint_folder
from tutelage.config import SoleTeacherConfig
from tutelage.gates import Decision
from tutelage.programme import Programme, fingerprint
from tutelage.rights import Subject, joint_gate, load_registry, rights_gate

# The kind of student that each task makes, in the terms of the rights registry. A judge's student says which
# verdict or score; where it also writes a text of its own, `generate` is the task.
STUDENT_KINDS = {
    "classify": "classifier",
    "judge": "classifier",
    "extract": "extractor",
    "generate": "generator",
}
_WRITER = STUDENT_KINDS["generate"]


def rights_decision(programme: Programme) -> Decision:
    """The rights gate's answer for this programme today; of an ensemble each member and the judge pass it."""
    config = programme.config
    today = datetime.now(UTC).date()
    kind = _WRITER if config.student.learns_reasons else STUDENT_KINDS[config.task.type]
    teacher = config.teacher
    if teacher.type != "ensemble":
        return rights_gate(_subject(teacher, programme), kind, config.rights, load_registry(), today)
    subjects = {
        f"member {number}": _subject(member.teacher, programme)
        for number, member in enumerate(teacher.members, start=1)
    }
    if teacher.judge is not None:
        subjects["the judge"] = _subject(teacher.judge, programme)
    return joint_gate(subjects, kind, config.rights, load_registry(), today)


def require_rights(programme: Programme) -> Decision:
    """Journal the decision and return it. Raises GateRefused where it is no pass."""
    decision = rights_decision(programme)
    programme.journal.append("gate", **decision.to_json())
    decision.require()
    return decision


def require_helper_rights(programme: Programme, who: str, helper: SoleTeacherConfig) -> Decision:
    """Journal and return the decision on sending prompts to one that only helps to evaluate: `who`, in words.

    By the same terms as for a teacher, though nothing is learned from what it says: a person may decide
    otherwise in `rights.override`. Raises GateRefused.
    """
    config, today = programme.config, datetime.now(UTC).date()
    kind = STUDENT_KINDS[config.task.type]
    subjects = {who: _subject(helper, programme)}
    decision = joint_gate(subjects, kind, config.rights, load_registry(), today)
    programme.journal.append("gate", **decision.to_json())
    decision.require()
    return decision


def rights_fingerprint(programme: Programme) -> str:
    """Changes with the entry's text, its expiry and the override, not only with the configuration."""
    return fingerprint(rights_decision(programme).to_json())


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
