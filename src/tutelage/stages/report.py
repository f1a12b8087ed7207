"""`report`: metrics and decision as one HTML file; the student's model card, bill of materials and NOTICE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage import __version__, storage
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.rights import NOTICE
from tutelage.stages.ballots import find_judgement, find_results, judge_file, votes_fingerprint
from tutelage.stages.provenance import programme_provenance
from tutelage.stages.rights import student_duties
from tutelage.stages.train import TRAIN


def _report_path(programme: Programme) -> Path:
    return programme.evaluation / "report.html"


def _card_path(programme: Programme) -> Path:
    return programme.evaluation / "model_card.md"


def _bill_path(programme: Programme) -> Path:
    return programme.evaluation / "bom.cdx.json"


def _notice_path(programme: Programme) -> Path:
    return programme.evaluation / NOTICE


def _inputs(programme: Programme) -> Mapping[str, str]:
    told = (
        programme.evaluation / "metrics.json",
        programme.evaluation / "decision.json",
        programme.seal,
        programme.teacher_record,
        programme.student / "run.json",
        programme.gold_rejected,
        programme.prompts_rejected,
        programme.exports / "export.json",
    )
    return {str(path.relative_to(programme.folder)): fingerprint(path) for path in told} | {
        f"students/{programme.config.student.run}": TRAIN.left(programme, programme.student),
        "version": __version__,
        "duties": fingerprint(student_duties(programme).notice()),
        "evaluation/votes.sqlite": votes_fingerprint(programme),
        "judge.json": fingerprint(judge_file(programme)),
    }


def _work(programme: Programme, progress: Progress) -> str:
    # Here, so that `tutelage status` needn't load it.
    from tutelage.evaluation import bill_of_materials, model_card, render_report

    path = _report_path(programme)
    metrics = storage.read_json(programme.evaluation / "metrics.json")
    metrics["votes"] = find_results(programme, progress)
    metrics["judge"] = find_judgement(programme)
    decision = storage.read_json(programme.evaluation / "decision.json")
    render_report(metrics, decision, _context(programme), path)
    provenance = programme_provenance(programme)
    storage.write_bytes(_card_path(programme), model_card(provenance).encode("utf-8", "replace"))
    storage.write_json(_bill_path(programme), bill_of_materials(provenance))
    storage.write_bytes(_notice_path(programme), provenance.duties.notice().encode("utf-8", "replace"))
    return str(path)


def _context(programme: Programme) -> dict[str, Any]:
    rejected: Counter[str] = Counter()
    for table in (programme.gold_rejected, programme.prompts_rejected):
        if table.exists():
            rejected.update(storage.read_table(table).column("reason").to_pylist())
    with AnswerLedger(programme.answers) as ledger:
        answers = ledger.summary()
    return {
        "programme": programme.folder.resolve().name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seal": storage.read_json(programme.seal),
        "teacher": storage.read_json(programme.teacher_record),
        "labelling": {
            "answers": sum(row.answers for row in answers),
            "cost": sum(row.spent for row in answers),
        },
        "student": storage.read_json(programme.student / "run.json"),
        "rejected": dict(rejected),
        "duties": [one.to_json() for one in student_duties(programme).owed],
        "version": __version__,
    }


REPORT = Stage(
    name="report",
    inputs=_inputs,
    outputs=lambda programme: [
        _report_path(programme),
        _card_path(programme),
        _bill_path(programme),
        _notice_path(programme),
    ],
    work=_work,
    per_run=True,
)
