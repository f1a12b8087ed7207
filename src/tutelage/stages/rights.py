"""The rights gate as a programme asks it: before anything is sent, and again before anything is learned."""

from __future__ import annotations

from datetime import UTC, datetime

from tutelage.checkpoints import checkpoint_folder
from tutelage.gates import Decision
from tutelage.programme import Programme, fingerprint
from tutelage.rights import Subject, load_registry, rights_gate

# The kind of student that each task makes, in the terms of the rights registry.
STUDENT_KINDS = {"classify": "classifier"}


def rights_decision(programme: Programme) -> Decision:
    """The rights gate's answer for this programme today."""
    config = programme.config
    kind = STUDENT_KINDS[config.task.type]
    return rights_gate(_subject(programme), kind, config.rights, load_registry(), datetime.now(UTC).date())


def require_rights(programme: Programme) -> Decision:
    """Journal the decision and return it. Raises GateRefused where it is no pass."""
    decision = rights_decision(programme)
    programme.journal.append("gate", **decision.to_json())
    decision.require()
    return decision


def rights_fingerprint(programme: Programme) -> str:
    """Changes with the entry's text, its expiry and the override, not only with the configuration."""
    return fingerprint(rights_decision(programme).to_json())


def _subject(programme: Programme) -> Subject:
    teacher = programme.config.teacher
    if teacher.type == "plugin":
        return Subject(teacher.rights, teacher.type, teacher.name)
    if teacher.type == "openai":
        return Subject(teacher.rights, teacher.type, teacher.model, teacher.remote_host)
    on_disk = checkpoint_folder(teacher.model, programme.folder) is not None
    return Subject(teacher.rights, teacher.type, teacher.model, on_disk=on_disk)
