"""`export`: the student in forms that a server runs without torch, each checked against the trained one.

What exports is imported where it is used, as in `train`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__, storage
from tutelage.errors import GateRefused, UsageError
from tutelage.gates import Decision, Verdict
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import SYNTHETIC, AnswerStatus, Value, load_value
from tutelage.rights import NOTICE, Duties
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.rights import require_rights, require_student_rights, student_duties, student_rights
from tutelage.stages.task import label_task
from tutelage.stages.train import TRAIN
from tutelage.stages.transfer import read_transfer
from tutelage.tasks import LabelTask

if TYPE_CHECKING:
    from tutelage.compression import Parity
    from tutelage.evaluation import Footprint
    from tutelage.students import Student

    Predict = Callable[[Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """One form: what it costs, how it compares, and whether it was kept."""

    form: str
    footprint: Footprint
    parity: Parity
    decision: Decision

    @property
    def kept(self) -> bool:
        """Whether the gate let it through."""
        return self.decision.verdict is Verdict.PASS


@dataclass(frozen=True, slots=True)
class Export:
    """What an export left in `folder`, what the trained student itself costs, and what it owes to others."""

    folder: Path
    trained: Footprint
    forms: tuple[Exported, ...]
    duties: Duties


def run_export(programme: Programme, progress: Progress) -> Export:
    """Write `exports/<run>/<form>/` with a NOTICE in each, and `exports/<run>/export.json`.

    Forms that fail the gate aren't kept. Where none is, it raises GateRefused, and what was exported before
    stays; UsageError where the student writes or a stage before has to run first.
    """
    require_student_rights(programme)
    require_earlier(programme, "train", "export", itself=True)
    require_rights(programme)
    if programme.config.student.writes:
        raise UsageError(
            f"student.family is {programme.config.student.family}, and what writes has no form for a "
            "server yet. Mend: family encoder or static"
        )
    task = label_task(programme, "an export")
    with storage.fresh_folder(programme.exports) as folder:
        found = _export(programme, task, folder, progress)
        content = {
            "run": programme.config.student.run,
            "student": TRAIN.left(programme, programme.student),
            "trained": asdict(found.trained),
            "rights": student_rights(programme),
            "duties": [one.to_json() for one in found.duties.owed],
            "forms": {item.form: _record(item) for item in found.forms},
            "version": __version__,
        }
        storage.write_json(folder / "export.json", content)
        for item in found.forms:
            programme.journal.append(
                "gate", run=programme.config.student.run, form=item.form, **item.decision.to_json()
            )
        if not any(item.kept for item in found.forms):
            reasons = " ".join(reason for item in found.forms for reason in item.decision.reasons)
            raise GateRefused(
                f"no form of the student does as it did. {reasons} Mend: name a form that loses less in "
                "export.forms, or allow more in export.min_agreement and export.max_drop"
                + _what_stays(programme)
            )
    return found


def _what_stays(programme: Programme) -> str:
    path = programme.exports / "export.json"
    if not path.exists():
        return ""
    if storage.read_json(path)["student"] == TRAIN.left(programme, programme.student):
        return f". {programme.exports} keeps what was exported of this student before"
    return (
        f". {programme.exports} keeps what was exported before, of the student as it was before it was "
        "trained again: delete it, unless a server shall go on with that one"
    )


def _record(item: Exported) -> dict[str, object]:
    return {
        "kept": item.kept,
        "footprint": asdict(item.footprint),
        "parity": asdict(item.parity),
        "decision": item.decision.to_json(),
    }


def _export(programme: Programme, task: LabelTask, folder: Path, progress: Progress) -> Export:
    from tutelage.compression import compare_forms, parity_decision
    from tutelage.evaluation import measure_footprint
    from tutelage.serving.runtime import load_runtime
    from tutelage.students import load_student

    config = programme.config.export
    source = programme.student / "student"
    student = load_student(source)
    texts, references = _compared_on(programme)
    before = student.predict(texts)

    def measured(predict: Predict, place: Path) -> Footprint:
        return measure_footprint(predict, texts, folder=place, parameters=student.parameters)

    trained, made = measured(student.predict, source), []
    forms = config.forms if student.family == "encoder" else ("float32",)
    with progress.track("exporting", len(forms), "forms") as tracker:
        for form in forms:
            place = folder / form
            _write(student, form, folder)
            runtime = load_runtime(place)
            parity = compare_forms(task, before, runtime.predict(texts), references)
            decision = parity_decision(form, parity, config.min_agreement, config.max_drop)
            made.append(Exported(form, measured(runtime.predict, place), parity, decision))
            tracker.advance()
    kept = {item.form for item in made if item.kept}
    # Only now: int8 is made of float32, whether that was asked for or not.
    duties = student_duties(programme)
    for place in list(folder.iterdir()):
        if place.name not in kept:
            shutil.rmtree(place)
        else:  # not among the files whose hashes are its revision: duties change, the student doesn't
            storage.write_bytes(place / NOTICE, duties.notice().encode())
    return Export(programme.exports, trained, tuple(made), duties)


def _write(student: Student, form: str, folder: Path) -> None:
    from tutelage.compression import export_onnx, quantise

    place, whole = folder / form, folder / "float32"
    if student.family == "static":
        place.mkdir()
        student.save(place)
        return
    if not whole.exists():
        whole.mkdir()
        export_onnx(student, whole)  # type: ignore[arg-type]
    if form == "int8":
        place.mkdir()
        quantise(whole, place)


def _compared_on(programme: Programme) -> tuple[list[str], list[Value]]:
    """Texts of the transfer set with the teacher's answers, so many as are asked for; real, never gold."""
    import numpy as np

    table = read_transfer(programme).select(["text", "status", "value", "source"])
    rows = [
        row for row in table.to_pylist() if row["status"] == AnswerStatus.OK and row["source"] != SYNTHETIC
    ]
    most = programme.config.export.texts
    if len(rows) > most:
        chosen = np.random.default_rng(programme.config.export.seed).permutation(len(rows))[:most]
        rows = [rows[index] for index in sorted(chosen.tolist())]
    return [row["text"] for row in rows], [load_value(row["value"]) for row in rows]
