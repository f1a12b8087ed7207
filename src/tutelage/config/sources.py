"""Where rows are read from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from tutelage.config.section import Section
from tutelage.errors import ConfigError


def located(path: str, folder: Path) -> Path | str:
    """A source's path, `${NAME}` filled in, relative to `folder`; an `hf://` address as it is.

    Raises ConfigError where the environment variable is not set.
    """
    if path.startswith("hf://"):
        return path
    expanded = os.path.expandvars(path)
    if "${" in expanded:
        name = expanded.split("${", 1)[1].split("}", 1)[0]
        raise ConfigError(f"{path}: the environment variable {name!r} is not set. Mend: export {name}=...")
    return folder / Path(expanded).expanduser()


class ColumnsConfig(Section):
    """Which column of a source holds what."""

    text: str = Field("text", description="The input that teacher and student see.")
    label: str = Field("label", description="The human answer; several labels are joined by `separator`.")
    id: str | None = Field(None, description="A unique id; rows are numbered where absent.")
    slice: str | None = Field(None, description="The slice of a row; `normal` where absent.")
    subject: str | None = Field(
        None,
        description="Whose a row is: customer, session or account. Rows of one stay on one side of every "
        "split.",
    )
    time: str | None = Field(
        None, description="When a row was: ISO 8601, UTC where it names no zone, or a number since the epoch."
    )
    separator: str = Field("|", min_length=1, description="Between labels of a multi-label cell.")


class SourceConfig(Section):
    """Rows to read: a CSV, JSONL, Parquet or text file, or `hf://owner/name[[/config]/split]`."""

    path: str = Field(
        description="File, relative to tutelage.yaml, or `hf://owner/name[[/config]/split]`; "
        "`${NAME}` is taken from the environment."
    )
    format: Literal["csv", "jsonl", "parquet", "lines"] | None = Field(
        None,
        description="Guessed from the file's ending where absent. `lines`: a text file with a prompt a line, "
        "or a folder of `seq.in` and, for gold, `label`.",
    )
    columns: ColumnsConfig = Field(ColumnsConfig(), description="The column map.")
    limit: int | None = Field(None, gt=0, description="Take only the first rows.")
