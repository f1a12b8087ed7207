"""`check`: what can be found out before anything is written or paid."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from tutelage import __version__
from tutelage.data import read_prompts
from tutelage.errors import ConfigError
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.stages.gold import label_set, read_gold_parts
from tutelage.stages.rights import rights_decision
from tutelage.stages.sources import source_fingerprint, source_path

_LOOKED_AT = 1_000


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "tutelage.yaml": fingerprint(config),
        "gold's file": source_fingerprint(programme, config.gold.path),
        "traffic's file": source_fingerprint(programme, config.traffic.path),
        "version": __version__,
    }


def _work(programme: Programme, progress: Progress) -> str:
    config = programme.config
    entries = programme.journal.verify()
    name = config.teacher.name if config.teacher.type == "plugin" else config.teacher.type
    if name not in {point.name for point in entry_points(group="tutelage.teachers")}:
        raise ConfigError(
            f"no installed package offers the teacher {name!r}. Mend: install it, or correct teacher"
        )
    gold = read_gold_parts(programme)
    labels = label_set(programme, gold)
    traffic = read_prompts(
        source_path(programme, config.traffic.path),
        config.traffic.columns,
        form=config.traffic.format,
        limit=min(_LOOKED_AT, config.traffic.limit or _LOOKED_AT),
    )
    rights = rights_decision(programme)
    for reason in rights.reasons:
        progress.warn(f"rights: {reason}")
    return (
        f"{len(gold.sealed):,} gold examples to seal, {len(gold.training):,} to learn from, "
        f"{len(labels)} labels; {len(traffic.accepted):,} of the first {traffic.total:,} traffic rows "
        f"usable; rights: {rights.verdict}; journal: {entries} entries, whole"
    )


CHECK = Stage(name="check", inputs=_inputs, outputs=lambda programme: [], work=_work)
