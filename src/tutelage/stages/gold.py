"""`gold`: human-labelled examples become a sealed set and a training part."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import ClassifyConfig, ColumnsConfig, GoldConfig
from tutelage.data import (
    GoldSet,
    clean_gold,
    gold_to_table,
    make_seal,
    read_calibration,
    read_gold,
    read_sealed,
    rejections_to_table,
    resolve_labels,
    split_training,
    to_be_sealed,
)
from tutelage.data.redaction import Redactor
from tutelage.data.synthetic import read_synthetic, without_synthetic
from tutelage.errors import UsageError
from tutelage.extras import require_extra
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress, Silent
from tutelage.records import Gold, Prompt, Rejection, Value
from tutelage.review import read_sheet
from tutelage.review.sheet import write_sheet
from tutelage.stages.findings import tell_labels, tell_rejected
from tutelage.stages.keeping import keeping_of
from tutelage.stages.privacy import privacy_inputs, redacting
from tutelage.stages.sources import source_fingerprint, source_path
from tutelage.stages.task import described_values, task_file, unsealed_task
from tutelage.tasks import Task, declared_labels, with_labels

_UNTOLD = ColumnsConfig().sensitivity  # the class of rows whose file tells none
_DRAWN = ("id", "text", "slice", "cluster", "source", "group", "subject", "time", "sensitivity", "hash")


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    inputs = {
        "gold": fingerprint(_as_before(config.gold)),
        "task": fingerprint(config.task),
        "traffic.near_duplicate": fingerprint(config.traffic.near_duplicate),
        "gold's file": source_fingerprint(programme, config.gold.path),
    }
    training = config.gold.training
    if training is not None and training.path is not None:
        inputs["the training part's file"] = source_fingerprint(programme, training.path)
    if (tested := config.gold.calibration) is not None:
        inputs["gold.calibration"] = fingerprint(tested)
        if tested.path is not None:
            inputs["the calibration part's file"] = source_fingerprint(programme, tested.path)
    if programme.annotated.exists():
        inputs["gold/annotated.jsonl"] = fingerprint(programme.annotated)
    if (path := task_file(programme)) is not None:
        what = "labels" if isinstance(config.task, ClassifyConfig) else "record"
        inputs[f"the {what}' file"] = fingerprint(path)
    return {**inputs, **privacy_inputs(programme)}


def _as_before(gold: GoldConfig) -> dict[str, Any]:
    """The section as it was before it had some keys, so that programmes without them aren't sealed anew."""
    content = gold.model_dump(mode="json", exclude={"calibration", "annotators"})
    for columns in (content["columns"], (content["training"] or {}).get("columns")):
        if columns and columns["sensitivity"] == ColumnsConfig().sensitivity:
            del columns["sensitivity"]
    return content


def read_gold_parts(programme: Programme, progress: Progress) -> GoldSet:
    """Read, split and clean gold. Raises DataError and ConfigError."""
    rows = read_gold_rows(programme, progress)
    agree = _agree_in_gold(unsealed_task(programme))
    near_duplicate = programme.config.traffic.near_duplicate
    synthetic = [item.prompt for item in read_synthetic(programme.synthetic)]
    sealed, from_sealed = without_synthetic(rows.sealed, synthetic)
    training, from_training = without_synthetic(rows.training, synthetic)
    calibration, from_calibration = without_synthetic(rows.calibration, synthetic)
    written = [*from_sealed, *from_training, *from_calibration]
    gold = clean_gold(sealed, training, near_duplicate, agree, calibration)
    return replace(gold, rejected=[*rows.rejected, *written, *gold.rejected])


def read_gold_rows(programme: Programme, progress: Progress) -> GoldSet:
    """Read and split gold, duplicates still in it, which take long to find. Raises as `read_gold_parts`."""
    with redacting(programme, progress) as redactor:
        return _read_rows(programme, redactor)


def _read_rows(programme: Programme, redactor: Redactor | None) -> GoldSet:
    gold, task = programme.config.gold, unsealed_task(programme)
    repeats = with_labels(task) is not None  # open values hardly ever do
    rejected: list[Rejection] = []
    keeping = keeping_of(programme)

    def read(
        path: str,
        columns: ColumnsConfig,
        form: str | None,
        limit: int | None = None,
        query: str | None = None,
    ) -> list[Gold]:
        rows = read_gold(
            source_path(programme, path),
            columns,
            task=task,
            form=form,
            limit=limit,
            redactor=redactor,
            query=query,
            keeping=keeping,
        )
        rejected.extend(rows.rejected)
        return rows.accepted

    def split(examples: list[Gold], share: float, seed: int) -> tuple[list[Gold], list[Gold]]:
        return split_training(examples, share, seed, by_value=repeats)

    rest = (
        []
        if _names_annotated(programme)
        else read(gold.path, gold.columns, gold.format, gold.limit, gold.query)
    )
    if programme.annotated.exists():
        rest += read(str(programme.annotated.resolve()), sheet_columns(programme.annotated, "group"), "jsonl")
    left = 1.0  # of gold's own file
    parts: list[list[Gold]] = []
    for part in (gold.training, gold.calibration):
        if part is None:
            taken: list[Gold] = []
        elif part.path is None:
            taken, rest = split(rest, part.share_taken / left, part.seed)
            left -= part.share_taken
        else:
            others = read(part.path, part.columns or gold.columns, part.format)
            taken, _ = split(others, part.share_taken, part.seed)
        parts.append(taken)
    training, calibration = parts
    return GoldSet(to_be_sealed(rest), training, rejected, calibration)


def sheet_columns(path: Path, subject: str) -> ColumnsConfig:
    """Of a sheet of ours, whose rows' subject is in the column `subject`.

    One that was written before rows had a class tells neither it nor a time.
    """
    columns = ColumnsConfig(id="id", slice="slice", subject=subject)
    if any("sensitivity" in row for row in read_sheet(path)):
        return columns.model_copy(update={"time": "time", "sensitivity": "sensitivity"})
    return columns


def _names_annotated(programme: Programme) -> bool:
    """Whether gold's own file is what people annotated here, which isn't read twice."""
    named = source_path(programme, programme.config.gold.path)
    return isinstance(named, Path) and named.resolve() == programme.annotated.resolve()


def _agree_in_gold(task: Task) -> Callable[[Value, Value], bool]:
    """Whether two people's answers to one text can stand: two replies may differ and both be right."""
    if task.kind == "generate":
        return lambda one, other: True
    if task.kind == "extract":
        return lambda one, other: task.compare(one, other).agree
    return operator.eq


def label_set(programme: Programme, gold: GoldSet) -> dict[str, str]:
    """The labels with their descriptions, as declared or as gold has them; none where values are open.

    Raises DataError, ConfigError.
    """
    config = programme.config.task
    if isinstance(config, ClassifyConfig):
        return resolve_labels(gold, declared_labels(config, programme.folder), config.out_of_scope)
    task = with_labels(unsealed_task(programme))
    if task is None:
        return {}
    described = task.descriptions or {}
    return {label: described.get(label, "") for label in task.labels}


def reseal(programme: Programme, progress: Progress | None = None) -> None:
    """Give up the seal, though evaluations stand on it, and seal what gold's file holds now.

    The old seal is kept in `gold/retired/`, and the journal says so. Raises MissingExtraError where only a
    server is installed, before anything is given up.
    """
    require_extra("programme", "`tutelage gold`")
    if programme.seal.exists():
        seal = storage.read_json(programme.seal)
        kept = programme.retired_seals / f"{seal['hash']}.json"
        storage.write_json(kept, seal)
        programme.journal.append("unsealed", hash=seal["hash"], n=seal["n"], sealed=seal["created"])
        programme.seal.unlink()
    GOLD.run(programme, progress or Silent(), force=True)


def _work(programme: Programme, progress: Progress) -> str:
    gold = read_gold_parts(programme, progress)
    tell_rejected(gold.rejected, progress, "; gold/rejected.parquet")
    _refuse_to_move(programme, gold)
    storage.write_table(programme.gold_rejected, rejections_to_table(gold.rejected))
    labels = label_set(programme, gold)
    config = programme.config
    task = unsealed_task(programme)
    tell_labels(gold, labels, config.gold.columns.separator, task.multi_label, progress)
    storage.write_table(programme.gold_training, gold_to_table(gold.training))
    storage.write_table(programme.sealed, gold_to_table(gold.sealed))
    calibration = programme.gold_calibration if config.gold.calibration is not None else None
    if calibration is not None:
        storage.write_table(calibration, gold_to_table(gold.calibration))
    seal = make_seal(gold, labels, config.gold, programme.sealed, calibration)
    seal["earlier_seals"] = len(list(programme.retired_seals.glob("*.json")))
    storage.write_json(programme.seal, seal)
    programme.journal.append("sealed", hash=seal["hash"], n=seal["n"], earlier_seals=seal["earlier_seals"])
    for name, slice_ in seal["slices"].items():
        progress.note(f"slice {name}: {slice_['n']:,} sealed, interval ±{slice_['half_width']:.1%}")
    return (
        f"{seal['n']:,} sealed (interval ±{seal['half_width']:.1%} at {seal['expected_accuracy']:.0%}; "
        f"margin ±{seal['margin']:.1%}), {seal['training_n']:,} to learn from, "
        f"{_to_certify(gold)}{described_values(task, labels)}"
    )


def _to_certify(gold: GoldSet) -> str:
    return f"{len(gold.calibration):,} to certify on, " if gold.calibration else ""


def held_out(programme: Programme) -> list[Prompt]:
    """Gold's prompts that nothing may learn from: of sealed gold, then of its calibration part."""
    sealed = read_sealed(programme.sealed, programme.seal)
    calibration = read_calibration(programme.gold_calibration, programme.seal)
    return [*(item.prompt for item in sealed), *(item.prompt for item in calibration)]


def kept_apart(programme: Programme) -> list[Prompt]:
    """What may not enter the transfer set: `held_out`, and what was drawn to become gold."""
    gold = held_out(programme)
    known = {prompt.hash for prompt in gold}
    return [*gold, *(prompt for prompt in read_to_label(programme) if prompt.hash not in known)]


def read_to_label(programme: Programme) -> list[Prompt]:
    """What was drawn for gold; none where nothing was. Raises DataError where the file can't be read."""
    return [
        Prompt(
            str(row["id"]),
            str(row["text"]),
            str(row.get("source") or ""),
            str(row["slice"]),
            group=str(row.get("group") or ""),
            subject=str(row.get("subject") or ""),
            time=row.get("time"),
            sensitivity=str(row.get("sensitivity") or _UNTOLD),
        )
        for row in read_sheet(programme.to_label)
    ]


def add_to_label(programme: Programme, drawn: Sequence[tuple[Prompt, str]]) -> None:
    """Add prompts, each with the name of its cluster, to what is to be labelled; the rest stays in place."""
    rows = read_sheet(programme.to_label)
    rows += [
        {
            "id": prompt.id,
            "text": prompt.text,
            "slice": prompt.slice,
            "cluster": cluster,
            "source": prompt.source,
            "group": prompt.group,
            "subject": prompt.subject,
            "time": prompt.time,
            "sensitivity": prompt.sensitivity or _UNTOLD,
            "hash": prompt.hash,
        }
        for prompt, cluster in drawn
    ]
    write_sheet(programme.to_label, _DRAWN, rows, readable=False)


def calibration_inputs(programme: Programme) -> Mapping[str, str]:
    """Of the calibration part, for stages that keep it apart; empty where the programme has none."""
    if programme.config.gold.calibration is None:
        return {}
    return {"gold/calibration.parquet": fingerprint(programme.gold_calibration)}


def kept_apart_inputs(programme: Programme) -> Mapping[str, str]:
    """Of all that `kept_apart` gives."""
    inputs = {"gold/sealed.parquet": fingerprint(programme.sealed), **calibration_inputs(programme)}
    if programme.to_label.exists():
        inputs["gold/to_label.jsonl"] = fingerprint(programme.to_label)
    return inputs


def _refuse_to_move(programme: Programme, gold: GoldSet) -> None:
    """Gold that an evaluation has been read on is not changed by the way."""
    evaluated = [path.parent.name for path in programme.folder.glob("evaluation/*/decision.json")]
    if not evaluated or not programme.seal.exists():
        return
    before = {(item.prompt.text, item.value) for item in read_sealed(programme.sealed, programme.seal)}
    now = {(item.prompt.text, item.value) for item in gold.sealed}
    if before != now:
        raise UsageError(
            f"gold is sealed with {len(before):,} examples, on which {', '.join(sorted(evaluated))} was "
            f"evaluated; its file would now give {len(now - before):,} others and lack "
            f"{len(before - now):,}. Mend: put the file back, or run {programme.command('gold --reseal')}: "
            "evaluations before and after can't be compared then, and the report says so"
        )


GOLD = Stage(
    name="gold",
    inputs=_inputs,
    outputs=lambda programme: [
        programme.sealed,
        programme.gold_training,
        *([programme.gold_calibration] if programme.config.gold.calibration is not None else []),
        programme.gold_rejected,
        programme.seal,
    ],
    work=_work,
)
