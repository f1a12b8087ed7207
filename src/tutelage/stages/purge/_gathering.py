"""What is theirs: the texts of a person's rows, wherever a programme has or reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.config import ColumnsConfig
from tutelage.config.sources import Format
from tutelage.data import prompts_from_table, row_reader, wanted_columns
from tutelage.data.erasure import Traces
from tutelage.data.keeping import Retention
from tutelage.data.rows import HUB, Row, open_rows
from tutelage.data.sources import kept_subject
from tutelage.data.synthetic import read_synthetic
from tutelage.errors import DataError
from tutelage.programme import Programme
from tutelage.progress import Progress, Silent
from tutelage.records import Prompt, text_hash
from tutelage.stages.gold import sheet_columns
from tutelage.stages.privacy import redacting
from tutelage.stages.sources import source_path, source_paths

if TYPE_CHECKING:
    from tutelage.serving.store import Store

_REJECTED = 200  # characters that `rejected.parquet` keeps of a text
_BATCH = 65_536  # rows of a table in memory

Pair = tuple[str, str]  # a subject, empty where none is named, and a text


def known_as(programme: Programme, subjects: Collection[str]) -> frozenset[str]:
    """Their keys, and what prompts name them by where the policy takes a key itself for personal data."""
    with redacting(programme, Silent()) as redactor:
        return frozenset({*subjects, *(kept_subject(one, redactor) for one in subjects)})


def gather(programme: Programme, keys: frozenset[str], store: Store | None, progress: Progress) -> Traces:
    """All that is to go. A text that somebody else's row has too is theirs as much, and stays."""
    captures = [] if store is None else store.captures_of(keys)
    texts = {capture.text for capture in captures if capture.text}
    hashes = {capture.hash for capture in captures}
    with progress.track("gathered", None, "row") as tracker:
        for subject, text in _pairs(programme, progress):
            if subject in keys:
                texts.add(text)
            tracker.advance()
        texts |= _redacted(programme, texts)
        others = {
            text
            for subject, text in _pairs(programme, progress)
            if subject and subject not in keys
            if text in texts
        }
    hashes |= set(map(text_hash, texts))
    for item in read_synthetic(programme.synthetic):  # what a model wrote with theirs before it
        if not keys.isdisjoint(item.subjects) or not hashes.isdisjoint(item.seeds):
            texts.add(item.prompt.text)
            hashes.add(item.request)
    texts -= others
    hashes -= set(map(text_hash, others))
    return Traces(
        keys,
        frozenset(text for text in {*texts, *(text[:_REJECTED] for text in texts)} if text.strip()),
        frozenset(hashes | set(map(text_hash, texts))),
        frozenset(f"serving-{capture.id}" for capture in captures),
    )


def gather_expired(programme: Programme, retention: Retention, progress: Progress) -> Traces:
    """The texts of rows that are older than their class allows, and of none that isn't."""
    old: set[str] = set()
    with progress.track("gathered", None, "row") as tracker:
        for prompt in _prompts(programme, progress):
            if retention.has_expired(prompt):
                old.add(prompt.text)
            tracker.advance()
        old -= {
            prompt.text
            for prompt in _prompts(programme, progress)
            if prompt.text in old and not retention.has_expired(prompt)
        }
    texts = frozenset(text for text in old if text.strip())
    return Traces(texts=texts, hashes=frozenset(map(text_hash, texts)))


def _prompts(programme: Programme, progress: Progress) -> Iterator[Prompt]:
    """Those of the folder's tables and sheets, and of sources as they are before redaction."""
    import pyarrow as pa

    for folder in ("prompts", "gold", "answers"):
        for path in sorted((programme.folder / folder).glob("*.parquet")):
            with storage.parquet_file(path) as file:
                if {"id", "text", "sensitivity"} <= set(file.schema_arrow.names):
                    for batch in file.iter_batches(_BATCH):
                        yield from prompts_from_table(pa.Table.from_batches([batch]))
    sheets = dict(_sheets(programme))
    ours = {path.resolve() for path in sheets}  # which know the class of each row themselves
    for source, columns, form, query in sources_of(programme):
        if not (isinstance(source, Path) and source.resolve() in ours):
            yield from _prompts_of(source, columns, form, query, progress)
    for path, columns in sheets.items():
        yield from _prompts_of(path, columns, "jsonl", None, progress)


def _sheets(programme: Programme) -> Iterator[tuple[Path, ColumnsConfig]]:
    """What was drawn for people, and what they said, before it is gold; whose sources may be gone."""
    for path, subject in (
        (programme.to_label, "subject"),
        (programme.annotated, "group"),
        (programme.candidates, "subject"),
    ):
        if path.exists():
            yield path, sheet_columns(path, subject)


def _prompts_of(
    source: Path | str, columns: ColumnsConfig, form: Format | None, query: str | None, progress: Progress
) -> Iterator[Prompt]:
    take = row_reader(source, columns, None)
    for row in _rows_of(source, columns, form, query, progress):
        if isinstance(prompt := take(row), Prompt):
            yield prompt


def _redacted(programme: Programme, texts: Collection[str]) -> set[str]:
    with redacting(programme, Silent()) as redactor:
        return set() if redactor is None else {redactor.redact(text).text for text in texts}


def _pairs(programme: Programme, progress: Progress) -> Iterator[Pair]:
    for folder in ("prompts", "gold", "answers"):
        for path in sorted((programme.folder / folder).glob("*.parquet")):
            yield from _pairs_of_table(path)
    for source, columns, form, query in sources_of(programme):
        if columns.subject is not None or not str(source).endswith(
            (".csv", ".tsv")
        ):  # which name none themselves
            yield from _pairs_of_source(source, columns, form, query, progress)
    for path, columns in _sheets(programme):
        yield from _pairs_of_source(path, columns, "jsonl", None, progress)


def _pairs_of_table(path: Path) -> Iterator[Pair]:
    with storage.parquet_file(path) as file:
        names = [name for name in ("subject", "text") if name in file.schema_arrow.names]
        if len(names) == 2:
            for batch in file.iter_batches(_BATCH, columns=names):
                columns = (batch[name].to_pylist() for name in names)
                yield from ((subject or "", text) for subject, text in zip(*columns, strict=True))


def sources_of(
    programme: Programme,
) -> Iterator[tuple[Path | str, ColumnsConfig, Format | None, str | None]]:
    """The files, databases and logs that prompts and gold are read from; those of a hub are the public's."""
    gold = programme.config.gold
    given = [
        (one.path, one.columns, one.format, one.query) for one in (*programme.config.traffic.every, gold)
    ]
    for part in (gold.training, gold.calibration):
        if part is not None and part.path is not None:
            given.append((part.path, part.columns or gold.columns, part.format, None))
    for path, columns, form, query in given:
        if not str(source_path(programme, path)).startswith(HUB):
            for one in source_paths(programme, path):
                yield one, columns, form, query


def _pairs_of_source(
    path: Path | str, columns: ColumnsConfig, form: Format | None, query: str | None, progress: Progress
) -> Iterator[Pair]:
    """What of a source names a subject."""
    for row in _rows_of(path, columns, form, query, progress):
        name = columns.subject or ("subject" if row.native else None)
        text = row.cells.get(columns.text)
        if name is not None and isinstance(text, str):
            subject = row.cells.get(name)
            yield "" if subject is None else str(subject).strip(), text


def _rows_of(
    path: Path | str, columns: ColumnsConfig, form: Format | None, query: str | None, progress: Progress
) -> Iterator[Row]:
    """A source's rows. One that can't be read is told of; what it holds isn't known then."""
    try:
        yield from open_rows(path, form, wanted_columns(columns), query=query)
    except DataError as error:
        progress.warn(f"not looked through: {error}")


def subject_columns(programme: Programme) -> frozenset[str]:
    """The names of columns that hold subjects, in the folder's tables and in its sources."""
    named = {columns.subject for _, columns, _, _ in sources_of(programme) if columns.subject is not None}
    return frozenset({"subject", "subjects", *named})
