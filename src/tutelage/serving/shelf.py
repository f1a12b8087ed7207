"""The students that a server can put to work: what `tutelage export` kept, with what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.errors import IntegrityError, UsageError
from tutelage.gates import Decision
from tutelage.programme import Programme
from tutelage.rights import TAUGHT, Use, standing_gate
from tutelage.serving.certificate import Certificate, read_certificate
from tutelage.serving.novelty import Novelty, read_novelty
from tutelage.serving.student import revision_of
from tutelage.students.protocol import STUDENT_FILE

_FORMS = ("int8", "float32")  # the first that was kept answers, where none is asked for


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form of one run. `released` is the verdict of its release decision, empty where there is none.

    `certificate` is one of this revision, whether or not it still holds; `guard` the file of its guard.
    `stands` is what its export tells of the answers that it learned from: `bases` and `student_kind`;
    `rights` judges them as of when it was read.
    """

    run: str
    form: str
    folder: Path
    revision: str
    released: str
    certificate: Certificate | None = None
    guard: Path | None = None
    rights: Decision | None = None
    stands: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Run and form, as a person says it."""
        return f"{self.run}/{self.form}"

    def refusal(self) -> str | None:
        """Why no certificate lets it answer now, or None where one does."""
        if self.certificate is None:
            return f"{self.name} has no certificate: run `tutelage certify` first"
        return self.certificate.refusal(self.revision, self._guard_hash())

    def require_rights(self) -> None:
        """Raise GateRefused where what it learned from may not be used now."""
        if self.rights is not None:
            self.rights.require()

    def scope(self) -> Novelty | None:
        """The guard that it was certified behind; None where it has no certificate, or one without a guard.

        Raises IntegrityError where the guard isn't there as it was.
        """
        if self.certificate is None or not self.certificate.scope:
            return None
        if self.guard is None or self._guard_hash() != self.certificate.scope:
            raise IntegrityError(
                f"{self.name} was certified behind a guard that isn't there as it was. "
                "Mend: run `tutelage certify` again"
            )
        return read_novelty(self.guard)

    def _guard_hash(self) -> str:
        return storage.hash_file(self.guard) if self.guard is not None else ""


@dataclass(frozen=True)
class Shelf:
    """The exported students of a programme. Read anew at each call: an export may add one meanwhile.

    An export from before rights were kept with each is judged by `teacher_rights`, if that is given.
    """

    programme: Programme
    teacher_rights: Callable[[], Decision] | None = None

    def all(self) -> list[Candidate]:
        """Every one, by run and form."""
        root = self.programme.exports.parent
        files = sorted(root.glob(f"*/*/{STUDENT_FILE}"))
        return [self._read(path.parent) for path in files]

    def _read(self, folder: Path) -> Candidate:
        run, form, revision = folder.parent.name, folder.name, revision_of(folder)
        place = self.programme.certificates.parent / run
        certificate, guard = read_certificate(place / f"{form}.json"), place / f"{form}.scope.safetensors"
        if certificate is not None and certificate.student != revision:
            certificate = None  # of an earlier export
        stands = self._stands(run)
        return Candidate(
            run,
            form,
            folder,
            revision,
            self._released(run),
            certificate,
            guard if guard.is_file() else None,
            self.rights_of(stands),
            stands,
        )

    def _stands(self, run: str) -> Mapping[str, Any] | None:
        about = self.programme.exports.parent / run / "export.json"
        return storage.read_json(about).get("rights") if about.exists() else None

    def rights_of(self, stands: Mapping[str, Any] | None) -> Decision | None:
        """Whether what a student learned from may be used now, by what its export told, which may be gone."""
        if not stands:
            return None if self.teacher_rights is None else self.teacher_rights()
        return standing_gate(stands["bases"], Use.of(self.programme, stands["student_kind"]), TAUGHT)

    def _released(self, run: str) -> str:
        """The verdict on the student that was exported; of another that was trained since it says nothing."""
        decision = self.programme.evaluation.parent / run / "decision.json"
        exported = self.programme.exports.parent / run / "export.json"
        if not decision.exists():
            return ""
        content = storage.read_json(decision)
        if exported.exists() and storage.read_json(exported)["student"] != content.get("student"):
            return ""
        verdict: str = content["verdict"]
        return verdict

    def of_revision(self, revision: str) -> Candidate:
        """The one whose revision begins so. Raises UsageError where there is none such, or no longer, or
        where there are several."""
        there = self.all()
        found = {one.revision: one for one in there if revision and one.revision.startswith(revision)}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UsageError(
                f"{len(found)} exported students have a revision that begins with {revision!r}. "
                "Mend: give more of its digits"
            )
        names = ", ".join(f"{one.revision[:12]} ({one.name})" for one in there) or "none"
        raise UsageError(
            f"no exported student has the revision {revision[:12]}. Mend: name one that "
            f"`tutelage export` kept: {names}"
        )

    def usual(self, form: str | None) -> Candidate:
        """The configured student's form. Raises UsageError where it was not exported."""
        run = self.programme.config.student.run
        kept = {candidate.form: candidate for candidate in self.all() if candidate.run == run}
        for name in (form,) if form else _FORMS:
            if name in kept:
                return kept[name]
        raise UsageError(
            f"{self.programme.exports} holds no student in {'the form ' + form if form else 'any form'}. "
            f"Mend: run {self.programme.command('export')}"
        )
