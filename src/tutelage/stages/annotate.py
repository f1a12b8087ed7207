"""`annotate`: people say what the right answers are, two independently; what they settle becomes gold."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.errors import UsageError
from tutelage.extras import require_extra
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Fields, Prompt, Value
from tutelage.review import AnnotationProject, AnnotationStore, Standing, State
from tutelage.review.annotations import Agree
from tutelage.review.exchange import write_tasks
from tutelage.review.sheet import write_sheet
from tutelage.stages.gold import read_gold_rows, read_to_label
from tutelage.stages.sources import source_path
from tutelage.stages.task import resolved_task, unsealed_task
from tutelage.tasks import Task, names_of, task_from_config, with_labels

_COLUMNS = ("id", "text", "slice", "label", "annotators", "adjudicated", "group")
_KEPT = ("time", "sensitivity", "hash")


def open_project(programme: Programme, progress: Progress) -> AnnotationProject:
    """What was drawn for gold, before people. Raises UsageError where nothing was, or no label is known."""
    require_extra("programme", "`tutelage annotate`")
    prompts = read_to_label(programme)
    if not prompts:
        raise UsageError(
            f"no prompt waits for people: {programme.to_label} holds none. "
            f"Mend: run {programme.command('gold --plan')}, which draws them from the traffic"
        )
    task = answered_task(programme, progress)
    return AnnotationProject(
        prompts,
        AnnotationStore(programme.annotations),
        task,
        agree=_may_stand(task),
        wanted=programme.config.gold.annotators,
        title=programme.folder.resolve().name,
        instruction=_instruction(programme),
    )


def answered_task(programme: Programme, progress: Progress) -> Task:
    """The task with the labels that people choose from: those sealed, else declared, else in gold's file."""
    if programme.seal.exists():
        return resolved_task(programme)
    task = unsealed_task(programme)
    path = source_path(programme, programme.config.gold.path)
    there = not isinstance(path, Path) or path.exists()
    if with_labels(task) is None or task.labels or not there:
        return task
    rows = read_gold_rows(programme, progress)
    found = {name for item in rows.examples for name in names_of(item.value)}
    return task_from_config(programme.config.task, dict.fromkeys(sorted(found), ""), programme.folder)


def _may_stand(task: Task) -> Agree:
    """When one answer may stand for another: texts and records by the task's comparison, labels exactly."""
    if task.kind in ("generate", "extract"):
        return lambda one, other: task.compare(one, other).agree
    return operator.eq


def _instruction(programme: Programme) -> str:
    config = programme.config.task
    rubric = getattr(config, "rubric", "")
    return f"{config.instruction}\n\n{rubric}" if rubric else config.instruction


def export_tasks(programme: Programme, progress: Progress, path: Path, form: str | None) -> list[Path]:
    """Write what isn't settled for another tool; return the files. See `review.exchange.write_tasks`.

    Raises UsageError where nothing waits, and as `open_project`.
    """
    project = open_project(programme, progress)
    waiting = [
        project.prompts[hash_]
        for hash_, found in project.standings().items()
        if found.state is not State.SETTLED
    ]
    if not waiting:
        raise UsageError(
            f"all {len(project.prompts):,} prompts are settled. Mend: run "
            f"{programme.command('annotate --to-gold')}"
        )
    files = write_tasks(path, form, waiting, project.task, project.instruction)
    programme.journal.append("annotation_tasks_exported", n=len(waiting), file=storage.hash_file(path))
    progress.note(f"{len(waiting):,} prompts in {path}")
    return files


def annotation_results(programme: Programme, progress: Progress) -> dict[str, Any]:
    """How far the project is, and how far people agree. JSON, with pseudonyms in place of names.

    `prompts` by state; `adjudicated`, how many were settled after a disagreement; `misfits`, answers that the
    task has no longer; `annotators`, answers of each; `agreement`, `evaluation.annotator_agreement` of the
    independent answers. Raises as `open_project`.
    """
    project = open_project(programme, progress)
    return _results(project)


def _results(project: AnnotationProject) -> dict[str, Any]:
    from tutelage.evaluation.annotators import annotator_agreement

    standings, called = project.standings(), project.pseudonyms()
    states = Counter(found.state for found in standings.values())
    answers = [{called[name]: value for name, value in found.independent} for found in standings.values()]
    counts = Counter(name for unit in answers for name in unit)
    return {
        "prompts": {"all": len(standings), **{str(state): states[state] for state in State}},
        "adjudicated": sum(found.adjudicated for found in standings.values()),
        "misfits": project.misfits(),
        "annotators": dict(sorted(counts.items())),
        "agreement": annotator_agreement(project.task, answers),
    }


def annotations_to_gold(programme: Programme, progress: Progress) -> Path:
    """Put what is settled into `gold/annotated.jsonl`, which `gold` reads beside gold's own file.

    With the annotators of each answer, pseudonymous; how far people agree is journalled. Raises UsageError
    where nothing is settled, and as `open_project`.
    """
    project = open_project(programme, progress)
    standings, called = project.standings(), project.pseudonyms()
    settled = {hash_: found for hash_, found in standings.items() if found.state is State.SETTLED}
    if not settled:
        raise UsageError(
            f"nothing is settled yet: each prompt needs {project.wanted} answers that agree, or somebody who "
            f"settles it. Mend: run {programme.command('annotate')}"
        )
    rows = [_row(project.prompts[hash_], found, called) for hash_, found in settled.items()]
    write_sheet(programme.annotated, (*_COLUMNS, *_KEPT), rows, readable=False)
    results = _results(project)
    programme.journal.append("annotated", file=fingerprint(programme.annotated), **_journalled(results))
    left = results["prompts"]["open"] + results["prompts"]["disputed"]
    progress.note(
        f"{len(settled):,} answers settled, {results['adjudicated']:,} of them after a disagreement; "
        f"{left:,} prompts are not"
    )
    return programme.annotated


def _row(prompt: Prompt, found: Standing, called: Mapping[str, str]) -> dict[str, Any]:
    agreeing = [called[name] for name, value in found.independent]
    return {
        "id": prompt.id,
        "text": prompt.text,
        "slice": prompt.slice,
        "label": _cell(found.value),
        "annotators": agreeing,
        "adjudicated": [called[name] for name in found.adjudicators],
        "group": prompt.group,
        "time": prompt.time,
        "sensitivity": prompt.sensitivity,
        "hash": prompt.hash,
    }


def _cell(value: Value | None) -> Any:
    if isinstance(value, Fields):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _journalled(results: Mapping[str, Any]) -> dict[str, Any]:
    """Figures alone."""
    found = results["agreement"]
    told: dict[str, Any] = {name: results[name] for name in ("prompts", "adjudicated", "annotators")}
    if found is not None:
        told["alike"] = found["alike"]
        if found["agreement"] is not None:
            told |= {name: found["agreement"][name] for name in ("alpha", "kappa")}
    return told
