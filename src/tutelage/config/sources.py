"""Where rows are read from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from tutelage.config.section import Section
from tutelage.errors import ConfigError

Format = Literal["csv", "jsonl", "parquet", "lines", "texts", "openai", "otel", "langfuse", "litellm"]
_URL_WITH_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@|[?&](password|pass|pwd|sslpassword)=", re.IGNORECASE)
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:|$)")


def located(path: str, folder: Path) -> Path | str:
    """A source's path, `${NAME}` filled in, relative to `folder`; an address with `://` stays a text.

    A pattern as `logs/*.jsonl` is below the folder too. Raises ConfigError where the environment variable is
    not set.
    """
    if path.startswith("hf://"):
        return path
    expanded = os.path.expandvars(path)
    if "${" in expanded:
        name = expanded.split("${", 1)[1].split("}", 1)[0]
        raise ConfigError(f"{path}: the environment variable {name!r} is not set. Mend: export {name}=...")
    if "://" in expanded:
        return _SQLITE.sub(lambda found: f"{found[1]}{folder.resolve()}/", expanded)
    return folder / Path(expanded).expanduser()


class ColumnsConfig(Section):
    """Which column of a source holds what. In JSON `input.question` is `question` inside of `input`."""

    text: str = Field("text", description="The input that teacher and student see.")
    label: str = Field("label", description="The human answer; several labels are joined by `separator`.")
    id: str | None = Field(
        None, description="A unique id; a log's own where absent, and rows are numbered where there is none."
    )
    slice: str | None = Field(None, description="The slice of a row; `normal` where absent.")
    subject: str | None = Field(
        None,
        description="Whose a row is: customer, session or account; a log's own where absent. Rows of one "
        "stay on one side of every split.",
    )
    time: str | None = Field(
        None,
        description="When a row was: ISO 8601, UTC where it names no zone, or a number since the epoch; a "
        "log's own where absent.",
    )
    sensitivity: str = Field(
        "internal",
        description="How sensitive rows are: `public`, `internal`, `personal` or `special`, all of them; or "
        "the column that says so of each. `retention` goes by it.",
    )
    separator: str = Field("|", min_length=1, description="Between labels of a multi-label cell.")


class RowsConfig(Section):
    """How rows are read, wherever they lie."""

    format: Format | None = Field(
        None,
        description="Guessed from the file's ending and its first rows where absent. `lines`: a text file "
        "with a prompt a line, or a folder of `seq.in` and, for gold, `label`. `texts`: a folder with a "
        "prompt a file. Logs of requests to a model: `openai` (also batch input files), `otel` (OTLP JSON), "
        "`langfuse`, `litellm`.",
    )
    columns: ColumnsConfig = Field(ColumnsConfig(), description="The column map.")
    query: str | None = Field(
        None, description="Of a database: SQL that reads, e.g. `SELECT id, text FROM t`."
    )
    limit: int | None = Field(None, gt=0, description="Take only the first rows.")


class SourceConfig(RowsConfig):
    """Rows to read: a file, a folder, a pattern of files, a database or `hf://owner/name`."""

    path: str = Field(
        description="File, relative to tutelage.yaml, folder, pattern as `logs/*.jsonl`, a database as an "
        "SQLAlchemy URL, or `hf://owner/name[[/config]/split]`; `${NAME}` is taken from the environment."
    )

    @field_validator("path")
    @classmethod
    def _keeps_secrets_out(cls, path: str) -> str:
        return no_password_in(path)


def no_password_in(path: str) -> str:
    """A path as it is. Raises ValueError, which doesn't show it, where it holds a password."""
    if _URL_WITH_PASSWORD.search(path):
        raise ValueError(
            "a database's address with its password stands in the file. Mend: put the whole address into an "
            "environment variable and write ${NAME}"
        )
    return path
