"""The traffic as the programme's sources hold it, redacted by its policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.config import SourceConfig
from tutelage.data import Rows, read_rows, wanted_columns
from tutelage.data.known_rows import Reading, row_key
from tutelage.data.preparation import Batch, batches_of
from tutelage.data.rows import Row, open_rows, source_name
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.stages.keeping import keeping_of
from tutelage.stages.privacy import redacting
from tutelage.stages.sources import is_pattern, source_fingerprint, source_path, source_paths
from tutelage.stages.task import resolved_task, unsealed_task

if TYPE_CHECKING:
    from tutelage.data.logs import InputOf


@dataclass(frozen=True, eq=False)
class Feed:
    """The rows of one file, table or data set of the traffic; `name` is how prompts name it.

    `place` names it as well, whatever folder the programme was opened from.
    """

    source: SourceConfig
    name: str
    place: str
    rows: Iterator[Row]


def open_traffic(programme: Programme) -> Iterator[Feed]:
    """Each source's files in turn, opened when they are asked for; rows are read one by one.

    A source's `limit` counts over all of its files. Raises as `open_rows`.
    """
    input_of = _recogniser(programme)
    for source in programme.config.traffic.every:
        wanted = wanted_columns(source.columns)
        left = source.limit
        several = is_pattern(source_path(programme, source.path))
        for path in source_paths(programme, source.path):
            rows = open_rows(path, source.format, wanted, query=source.query, input_of=input_of)
            counted = _Counted(rows if left is None else islice(rows, left))
            place = f"{source.path}: {Path(path).name}" if several else source.path
            yield Feed(source, source_name(path), place, counted)
            if left is not None:
                left -= counted.count
                if left <= 0:
                    break


class _Counted:
    """Rows that are counted as they are taken."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = next(self._rows)
        self.count += 1
        return row


def read_traffic(programme: Programme, progress: Progress, most: int | None = None) -> Rows[Prompt]:
    """Its rows, `most` at most, duplicates still in them. Raises as `open_rows` and `redacting`."""
    accepted, rejected, total = [], [], 0
    ids: set[str] = set()
    keeping = keeping_of(programme)
    with redacting(programme, progress) as redactor:
        for feed in open_traffic(programme):
            rows = feed.rows if most is None else islice(feed.rows, most - total)
            read = read_rows(feed.name, feed.source.columns, rows, redactor, ids, keeping)
            accepted += read.accepted
            rejected += read.rejected
            total += read.total
            if most is not None and total >= most:
                break
    return Rows(accepted, rejected, total)


def traffic_batches(programme: Programme, reading: Reading) -> Iterator[Batch]:
    """Its new rows as they come, not yet redacted. Raises as `open_rows`."""
    for feed in open_traffic(programme):
        columns = feed.source.columns
        rows = reading.rows(feed.place, feed.rows, row_key(feed.place, columns))
        yield from batches_of(feed.name, columns, rows, reading.before.numbers.get(feed.place, 0))


def rows_expected(programme: Programme) -> int | None:
    """How many rows there are at most, by the lines of its files; None where that can't be told."""
    expected = 0
    for source in programme.config.traffic.every:
        lines = 0
        for path in source_paths(programme, source.path):
            if not isinstance(path, Path) or not path.is_file() or path.suffix == ".parquet":
                return None
            with path.open("rb") as file:
                lines += sum(part.count(b"\n") for part in iter(lambda file=file: file.read(1 << 20), b""))  # type: ignore[misc]
        expected += lines if source.limit is None else min(lines, source.limit)
    return expected


def traffic_inputs(programme: Programme) -> Mapping[str, str]:
    """What the rows depend on: each source's content."""
    sources = programme.config.traffic.every
    if len(sources) == 1:
        return {"traffic's file": source_fingerprint(programme, sources[0].path)}
    return {
        f"traffic's source {number}": source_fingerprint(programme, source.path)
        for number, source in enumerate(sources, start=1)
    }


def traffic_terms(programme: Programme) -> dict[str, Any]:
    """What each row's reading depends on; of every source its path, how it is read and its limit."""
    serving = programme.config.serving
    recognise = [serving.recognise.model_dump(mode="json"), serving.reply]
    return {
        "serving.recognise": fingerprint(recognise) if _recognises(programme) else "",
        "sources": [
            [source.path, fingerprint(source.model_dump(mode="json", exclude={"limit"})), source.limit]
            for source in programme.config.traffic.every
        ],
    }


def _recognises(programme: Programme) -> bool:
    recognise = programme.config.serving.recognise
    return not (recognise.system is None and recognise.input is None and not recognise.models)


def _recogniser(programme: Programme) -> InputOf | None:
    """What finds the task's input in a log's requests, as the gateway does; None where nobody said how.

    Without `serving.recognise` a log is taken for one of the task alone, and what the user said last for its
    input.
    """
    if not _recognises(programme):
        return None
    from tutelage.serving.chat import ChatFormat

    names = [programme.folder.resolve().name]
    task = resolved_task(programme) if programme.seal.exists() else unsealed_task(programme)
    serving = programme.config.serving
    return ChatFormat(task, names, serving.recognise, serving.reply).input_of
