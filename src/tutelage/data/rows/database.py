"""Tables of a database by SQLAlchemy's URL and a query; read as a stream, never written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tutelage.data.rows.row import Row, require_columns
from tutelage.errors import ConfigError, DataError, MissingExtraError
from tutelage.extras import missing_extra

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_AT_ONCE = 2_000
_READS = re.compile(r"\s*(--[^\n]*\n\s*)*(select|with|values|table|from)\b", re.IGNORECASE)


def is_database(path: object) -> bool:
    """Whether a path is the URL of a database."""
    return isinstance(path, str) and "://" in path and not path.startswith("hf://")


def database_name(url: str) -> str:
    """A URL as it may be shown: without user, password and options."""
    kind, _, rest = url.partition("://")
    return f"{kind}://{rest.rpartition('@')[2].partition('?')[0]}"


def database_rows(url: str, query: str, wanted: Mapping[str, str]) -> Iterator[Row]:
    """The rows that a query gives. Raises DataError, which never tells the password, and ConfigError."""
    if not _READS.match(query):
        raise ConfigError(
            f"the query for {database_name(url)} begins with {query.split()[:1]}, and a source "
            "is only read. Mend: begin it with SELECT or WITH"
        )
    with _connected(url) as connection:
        from sqlalchemy import text

        # No colon is a parameter. The cursor is the server's, and stays open there until it is closed.
        with closing(connection.execute(text(query.replace(":", r"\:")))) as result:
            names = list(result.keys())
            if len(set(names)) < len(names):
                raise DataError(
                    f"the query for {database_name(url)} gives a column twice. Mend: name one AS another"
                )
            require_columns(database_name(url), names, wanted)
            for number, cells in enumerate(result, start=1):
                yield Row(number, {name: _cell(cell) for name, cell in zip(names, cells, strict=True)})


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ImportError as error:
        raise MissingExtraError("sqlalchemy", "serve", f"the source {database_name(url)}") from error
    try:
        parsed = make_url(url)
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            f"{database_name(url)}: no database's URL that SQLAlchemy knows. "
            "Mend: as postgresql+psycopg://user:password@host/database, or sqlite:///file.db"
        ) from error
    except ImportError as error:
        absent = missing_extra(error, f"the source {database_name(url)}")
        raise absent or ConfigError(
            f"{database_name(url)} needs the driver {error.name!r}, which isn't installed. "
            f"Mend: pip install {error.name}"
        ) from error
    try:
        with engine.connect() as connection:
            yield connection.execution_options(
                stream_results=True,
                yield_per=_AT_ONCE,
                **({"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}),
            )
    except SQLAlchemyError as error:
        raise DataError(
            f"{database_name(url)} can't be read: {_said(error, parsed)}. "
            "Mend: check the address, the rights of its user, and query"
        ) from None
    finally:
        engine.dispose()


def _said(error: Exception, url: URL) -> str:
    """The driver's words without the statement, and without what is secret in the URL."""
    text = " ".join(str(getattr(error, "orig", None) or error).partition("[SQL:")[0].split())
    for secret in (url.password, *url.query.values()):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return text[:300]


def _cell(cell: Any) -> Any:
    if isinstance(cell, memoryview):
        cell = bytes(cell)
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell
