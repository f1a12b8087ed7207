"""`gold`: human-labelled examples become a sealed set and a training part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage import storage
from tutelage.data import (
    GoldSet,
    Rows,
    clean_gold,
    gold_to_table,
    make_seal,
    read_gold,
    rejections_to_table,
    resolve_labels,
    split_training,
)
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Gold
from tutelage.stages.sources import source_fingerprint, source_path
from tutelage.tasks import declared_labels


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    inputs = {
        "gold": fingerprint(config.gold),
        "task": fingerprint(config.task),
        "traffic.near_duplicate": fingerprint(config.traffic.near_duplicate),
        config.gold.path: source_fingerprint(programme, config.gold.path),
    }
    training = config.gold.training
    if training is not None and training.path is not None:
        inputs[training.path] = source_fingerprint(programme, training.path)
    if config.task.labels_file is not None:
        inputs[config.task.labels_file] = fingerprint(programme.folder / config.task.labels_file)
    return inputs


def read_gold_parts(programme: Programme) -> tuple[GoldSet, dict[str, str]]:
    """Read, split and clean gold; return it with the label set. Raises DataError and ConfigError."""
    config = programme.config
    declared = declared_labels(config.task, programme.folder)

    def read(path: str | Path) -> Rows[Gold]:
        return read_gold(
            path,
            columns,
            labels=declared,
            multi_label=config.task.multi_label,
            form=form,
            limit=limit,
        )

    columns, form, limit = config.gold.columns, config.gold.format, config.gold.limit
    rows = read(source_path(programme, config.gold.path))
    sealed, rejected = rows.accepted, list(rows.rejected)
    training: list[Gold] = []
    part = config.gold.training
    if part is not None and part.path is None:
        training, sealed = split_training(sealed, part.share, part.seed)
    elif part is not None and part.path is not None:
        columns, form, limit = part.columns or columns, part.format, None
        more = read(source_path(programme, part.path))
        rejected += more.rejected
        training, _ = split_training(more.accepted, part.share, part.seed)
    gold = clean_gold(sealed, training, config.traffic.near_duplicate)
    labels = resolve_labels(gold, declared, config.task.out_of_scope)
    return GoldSet(gold.sealed, gold.training, [*rejected, *gold.rejected]), labels


def _work(programme: Programme, progress: Progress) -> str:
    gold, labels = read_gold_parts(programme)
    storage.write_table(programme.sealed, gold_to_table(gold.sealed))
    storage.write_table(programme.gold_training, gold_to_table(gold.training))
    storage.write_table(programme.gold_rejected, rejections_to_table(gold.rejected))
    seal = make_seal(gold, labels, programme.config.gold, programme.sealed)
    storage.write_json(programme.seal, seal)
    for name, slice_ in seal["slices"].items():
        progress.say(f"          slice {name}: {slice_['n']:,} sealed, interval ±{slice_['half_width']:.1%}")
    for reason, count in seal["rejected"].items():
        progress.say(f"          [yellow]{count:,} not taken:[/yellow] {reason} (gold/rejected.parquet)")
    return (
        f"{seal['n']:,} sealed (interval ±{seal['half_width']:.1%} at {seal['expected_accuracy']:.0%}; "
        f"margin ±{seal['margin']:.1%}), {seal['training_n']:,} to learn from, {len(labels)} labels"
    )


GOLD = Stage(
    name="gold",
    inputs=_inputs,
    outputs=lambda programme: [
        programme.sealed,
        programme.gold_training,
        programme.gold_rejected,
        programme.seal,
    ],
    work=_work,
)
