"""The tables of the answer ledger, and how a file of an older version is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

# Each brings a file from the version that is its position to the next. None is ever changed again.
STEPS = (
    """
CREATE TABLE answers (
    teacher TEXT NOT NULL, revision TEXT NOT NULL, task_version TEXT NOT NULL, prompt_hash TEXT NOT NULL,
    status TEXT NOT NULL, value TEXT, distribution BLOB, origin TEXT NOT NULL, raw TEXT NOT NULL,
    reason TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cost REAL NOT NULL, latency REAL NOT NULL, calls INTEGER NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (teacher, revision, task_version, prompt_hash)
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, revision TEXT NOT NULL, bound REAL NOT NULL,
    state TEXT NOT NULL, created TEXT NOT NULL
);
""",
    """
ALTER TABLE attempts ADD COLUMN cost REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN unaccounted REAL NOT NULL DEFAULT 0;
UPDATE attempts SET unaccounted=bound WHERE state='unaccounted';
CREATE TABLE replies (
    id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, revision TEXT NOT NULL, task_version TEXT NOT NULL,
    prompt_hash TEXT NOT NULL, reply TEXT NOT NULL, created TEXT NOT NULL
);
CREATE INDEX replies_by_prompt ON replies (teacher, revision, task_version, prompt_hash);
""",
    # `spending` sums answers up, so that what was spent is known without reading all of them. Triggers keep
    # it, whoever writes. An empty slice: the answer was recorded before slices were kept.
    """
ALTER TABLE answers ADD COLUMN rationale TEXT NOT NULL DEFAULT '';
ALTER TABLE answers ADD COLUMN tokens BLOB;
ALTER TABLE answers ADD COLUMN repeatability REAL;
ALTER TABLE answers ADD COLUMN slice TEXT NOT NULL DEFAULT '';
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, revision TEXT NOT NULL, task_version TEXT NOT NULL,
    tag TEXT NOT NULL UNIQUE, remote TEXT, state TEXT NOT NULL, prompt_hashes TEXT NOT NULL,
    bound REAL NOT NULL, cost REAL NOT NULL DEFAULT 0, unaccounted REAL NOT NULL DEFAULT 0,
    created TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE TABLE spending (
    teacher TEXT NOT NULL, day TEXT NOT NULL, slice TEXT NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL,
    answers INTEGER NOT NULL, cost REAL NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
    repeatability REAL NOT NULL, repeated INTEGER NOT NULL,
    PRIMARY KEY (teacher, day, slice, status, model)
) WITHOUT ROWID;
INSERT INTO spending
    SELECT teacher, substr(created, 1, 10), slice, status, model, count(*), total(cost), sum(input_tokens),
           sum(output_tokens), sum(calls), total(repeatability), count(repeatability)
    FROM answers GROUP BY 1, 2, 3, 4, 5;
CREATE TRIGGER answer_came AFTER INSERT ON answers BEGIN
    INSERT INTO spending VALUES (
        NEW.teacher, substr(NEW.created, 1, 10), NEW.slice, NEW.status, NEW.model, 1, NEW.cost,
        NEW.input_tokens, NEW.output_tokens, NEW.calls, coalesce(NEW.repeatability, 0),
        NEW.repeatability IS NOT NULL)
    ON CONFLICT DO UPDATE SET
        answers=answers + 1, cost=cost + excluded.cost, input_tokens=input_tokens + excluded.input_tokens,
        output_tokens=output_tokens + excluded.output_tokens, calls=calls + excluded.calls,
        repeatability=repeatability + excluded.repeatability, repeated=repeated + excluded.repeated;
END;
CREATE TRIGGER answer_went AFTER DELETE ON answers BEGIN
    UPDATE spending SET
        answers=answers - 1, cost=cost - OLD.cost, input_tokens=input_tokens - OLD.input_tokens,
        output_tokens=output_tokens - OLD.output_tokens, calls=calls - OLD.calls,
        repeatability=repeatability - coalesce(OLD.repeatability, 0),
        repeated=repeated - (OLD.repeatability IS NOT NULL)
    WHERE teacher=OLD.teacher AND day=substr(OLD.created, 1, 10) AND slice=OLD.slice
        AND status=OLD.status AND model=OLD.model;
END;
""",
    # The right that an answer was given under; empty for those recorded before it was kept.
    """
ALTER TABLE answers ADD COLUMN basis TEXT NOT NULL DEFAULT '';
""",
)
SCHEMA_VERSION = len(STEPS)


def version_of(database: sqlite3.Connection) -> int:
    """The schema version of a file; 0 for a new one."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Take the steps that the file has not had. To be called inside a transaction."""
    for step in STEPS[version_of(database) :]:
        for statement in _statements(step):
            database.execute(statement)
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _statements(script: str) -> Iterator[str]:
    """A script's statements; `executescript` would commit what is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
