"""What a programme's folder tells of where its student comes from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import __version__, storage
from tutelage.programme import Programme
from tutelage.stages.rights import student_duties
from tutelage.stages.sources import base_of
from tutelage.stages.train import TRAIN

if TYPE_CHECKING:
    from tutelage.evaluation import DataSet, File, Provenance

_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "peft")


def programme_provenance(programme: Programme) -> Provenance:
    """Gather it from what the stages up to `evaluate` left."""
    from tutelage.evaluation import Provenance

    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        task=programme.config.task.type,
        teacher=storage.read_json(programme.teacher_record),
        run=storage.read_json(programme.student / "run.json"),
        metrics=storage.read_json(programme.evaluation / "metrics.json"),
        decision=storage.read_json(programme.evaluation / "decision.json"),
        base=base_of(programme.config.student),
        data=list(_data(programme)),
        files=list(_files(programme)),
        duties=student_duties(programme),
        libraries=dict(_installed()),
    )


def _data(programme: Programme) -> Iterator[DataSet]:
    from tutelage.evaluation import DataSet

    gold, traffic = programme.config.gold, programme.config.traffic
    training = gold.path if gold.training is None or gold.training.path is None else gold.training.path
    whole = programme.config.labelling.sample is None
    answered = "unlabelled prompts" + (
        " that the teacher answered" if whole else ", a part of which the teacher answered"
    )
    sets = [
        ("sealed gold", "evaluation; training can't read it", programme.sealed, gold.path),
        ("gold to learn from", "people's labels that may be learned from", programme.gold_training, training),
        ("traffic", answered, programme.prompts, traffic.path or ""),
        ("transfer set", "prompts with answers, from which the student learned", programme.transfer, ""),
    ]
    part = gold.calibration
    if part is not None:
        source = gold.path if part.path is None else part.path
        purpose = "people's labels that only certificates are tested on"
        sets.insert(2, ("gold to certify on", purpose, programme.gold_calibration, source))
    if programme.config.synthesis is not None and programme.synthetic.exists():
        sets.append(("synthetic prompts", "written by a model; never evaluated on", programme.synthetic, ""))
    for name, purpose, path, source in sets:
        located = programme.locate(source) if source else ""
        with storage.parquet_file(path) as file:
            rows = file.metadata.num_rows
        yield DataSet(
            name=name,
            purpose=purpose,
            rows=rows,
            sha256=storage.sha256_file(path),
            source=Path(source).name,
            source_hash=storage.hash_path(located) if isinstance(located, Path) and located.exists() else "",
        )


def _files(programme: Programme) -> Iterator[File]:
    """The student's, and those of the forms that it was exported to, if not an earlier one was."""
    from tutelage.evaluation import File

    about = programme.exports / "export.json"
    same = about.exists() and storage.read_json(about)["student"] == TRAIN.left(programme, programme.student)
    for folder in (programme.student / "student", *([programme.exports] if same else [])):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(programme.folder).as_posix()
            yield File(name, path.stat().st_size, storage.sha256_file(path))


def _installed() -> Iterator[tuple[str, str]]:
    """Libraries that are here now. Those of another machine that trained aren't known."""
    for name in _LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
