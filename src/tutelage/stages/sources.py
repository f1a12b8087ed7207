"""Where sources and models lie, and whether they have changed."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from tutelage import storage
from tutelage.checkpoints import checkpoint_path
from tutelage.config import EMBEDDED_ENCODER, EMBEDDED_WRITER, StudentConfig
from tutelage.data.rows import is_database
from tutelage.errors import DataError
from tutelage.programme import Programme, fingerprint


def source_path(programme: Programme, path: str) -> Path | str:
    """A path of the configuration; `hf://` addresses stay as they are."""
    return programme.locate(path)


def source_paths(programme: Programme, path: str) -> list[Path | str]:
    """The files that a pattern as `logs/*.jsonl` names, in the order of their names; else the path alone.

    Raises DataError where there is none.
    """
    located = source_path(programme, path)
    if not is_pattern(located):
        return [located]
    found = sorted(one for one in located.parent.glob(located.name) if not one.name.startswith("."))
    if not found:
        raise DataError(f"no file is named as {located}. Mend: correct the pattern, or put a file there")
    return list(found)


def is_pattern(located: Path | str) -> TypeGuard[Path]:
    """Whether a located path names files by a pattern in its last part."""
    return isinstance(located, Path) and any(mark in located.name for mark in "*?[") and not located.exists()


def source_fingerprint(programme: Programme, path: str) -> str:
    """Of what files hold; of a hub data set or a database only the address, as it stands in the file.

    Asking them would cost every start.
    """
    located = source_path(programme, path)
    if is_database(located):
        return fingerprint(path)
    if is_pattern(located):
        return fingerprint(
            [[one.name, fingerprint(one)] for one in sorted(located.parent.glob(located.name))]
        )
    return fingerprint(located)


def model_fingerprint(programme: Programme, name: str | None) -> str:
    """Of a model on disk, by its files' sizes and times of change; of any other model its name."""
    local = checkpoint_path(name, programme.folder) if name else None
    return fingerprint(name) if local is None else storage.stat_path(local)


def own_body(programme: Programme) -> str | None:
    """The teacher's own model, where it runs here and its layers can be read."""
    teacher = programme.config.teacher
    return teacher.model if teacher.type in ("encoder", "transformers") else None


def base_of(student: StudentConfig) -> str | None:
    """The model whose weights the student begins with; None where they begin at random."""
    own_shape = student.hidden_size is not None and student.plan != "prune-recover"
    if student.family == "static" or own_shape:
        return None
    return student.base or (EMBEDDED_ENCODER if student.family == "encoder" else EMBEDDED_WRITER)


def require_usable(path: str, usable: int, total: int) -> None:
    """Raise DataError where a source has no row that can be used."""
    if usable:
        return
    if not total:
        raise DataError(f"{path} has a header and no rows. Mend: add prompts below it")
    raise DataError(
        f"none of {total:,} rows of {path} can be used, for the reasons above. Mend: correct them, or map "
        "the right column in traffic.columns"
    )
