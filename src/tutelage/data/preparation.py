"""What is done with each row by itself, in batches and in any process: read, redact, look in gold, hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.config import ColumnsConfig
from tutelage.data.duplicates import DuplicateIndex, bag_hashes, normalise, of_gold, without_marks, words_of
from tutelage.data.keeping import Keeping
from tutelage.data.redaction import Entity, Redactor
from tutelage.data.rows import Row
from tutelage.data.sources import RejectReason, row_reader
from tutelage.data.tables import prompts_to_table
from tutelage.records import Prompt, Rejection

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.data.minhash import Hashes

_ROWS = 1_000  # of a batch
_CHARACTERS = 1 << 20  # of a batch's texts

# Columns of `Prepared.hashes` before the bands; `TEXT` and `ID` are two, 128 bits.
TEXT, ID, GROUP, SUBJECT, MARKS, WORDS, BANDS = 0, 2, 4, 5, 6, 7, 8


@dataclass(frozen=True)
class Batch:
    """Rows of one source, or (`columns` None) prompts that were read and redacted before.

    `known` prompts were collected at an earlier time. `numbered` is that of `row_reader`.
    """

    source: str
    columns: ColumnsConfig | None
    rows: Sequence[Row] | Sequence[Prompt]
    numbered: int = 0
    known: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """What became of a batch of `total` rows.

    `prompts` has the columns of prompts, then `row`, and `reason` and `detail` where gold has the text, or
    a sibling, else null. `hashes`, uint64 (prompts, 8 + bands): equal where texts are the same, ids, groups
    (0: none), subjects (0: none), texts but for marks, words in any order (0: too few), and the bands of
    `data.minhash`, whose `sketches` stand beside them, uint64 (prompts, 8). `known`: as in the batch.
    `found` counts personal data, `renamed` has pseudonyms with their values.
    """

    total: int
    prompts: pa.RecordBatch
    hashes: Hashes
    sketches: Hashes
    rejected: Sequence[Rejection]
    found: Counter[Entity] = field(default_factory=Counter)
    renamed: Sequence[tuple[str, str]] = ()
    known: bool = False


@dataclass(frozen=True)
class Preparation:
    """Prepares batches; see the module. `threshold` and `apart` are those of `DuplicateIndex`.

    What is of one of `groups` is a sibling of gold.
    """

    redactor: Redactor | None
    gold: Sequence[Prompt]
    threshold: float
    apart: int = 0
    groups: frozenset[str] = frozenset()
    keeping: Keeping | None = None

    def __getstate__(self) -> dict[str, object]:
        """For another process: without what only this one can do, or has made for itself."""
        redactor = (
            None if self.redactor is None else replace(self.redactor, remember=_remembers(self.redactor))
        )
        return {
            "redactor": redactor,
            "gold": self.gold,
            "threshold": self.threshold,
            "apart": self.apart,
            "groups": self.groups,
            "keeping": self.keeping,
        }

    def __call__(self, batch: Batch) -> Prepared:
        """See the module."""
        from tutelage.data.minhash import sketches

        renamed: dict[str, str] = {}
        redactor = None
        if self.redactor is not None:
            remember = renamed.__setitem__ if self.redactor.remember is not None else None
            redactor = replace(self.redactor, remember=remember, counts=Counter())
        prompts, rejected = _read(batch, redactor, self.keeping)
        normal = [normalise(prompt.text) for prompt in prompts]
        table, hashes = self._compare(prompts, normal)
        found = Counter() if redactor is None else redactor.counts
        return Prepared(
            len(batch.rows),
            table,
            hashes,
            sketches(normal),
            rejected,
            found,
            tuple(renamed.items()),
            batch.known,
        )

    def _compare(self, prompts: Sequence[Prompt], normal: Sequence[str]) -> tuple[pa.RecordBatch, Hashes]:
        import numpy as np
        import pyarrow as pa

        bands = self._bands(normal)
        reasons: list[str | None] = [None] * len(prompts)
        details: list[str | None] = [None] * len(prompts)
        for place, match in enumerate(self._index.match_normal(normal, bands)):
            if match is not None:
                reason, details[place] = of_gold(match, self.gold[match.index])
                reasons[place] = str(reason)
            elif (
                prompts[place].subject or prompts[place].group
            ) in self.groups:  # a known one's may be wider
                reasons[place] = str(RejectReason.SIBLING_OF_GOLD)
                details[place] = "gold has a prompt of the same subject"
        table = prompts_to_table(prompts)
        table = table.append_column("row", pa.array([prompt.row for prompt in prompts], pa.int64()))
        table = table.append_column("reason", pa.array(reasons, pa.string()))
        table = table.append_column("detail", pa.array(details, pa.string()))
        digests = b"".join(
            part
            for text, prompt in zip(normal, prompts, strict=True)
            for part in (
                _digest(text, 16),
                _digest(prompt.id, 16),
                _or_none(prompt.group),
                _or_none(prompt.subject),
                _or_none(without_marks(text)),
            )
        )
        words = np.array([(bag_hashes(words_of(text)) or [0])[0] for text in normal], np.uint64)
        fixed = np.frombuffer(digests, np.uint64).reshape(-1, WORDS)
        return table.combine_chunks().to_batches()[0] if prompts else _no_rows(table), np.hstack(
            [fixed, words[:, None], bands]
        )

    def _bands(self, normal: Sequence[str]) -> Hashes:
        import numpy as np

        from tutelage.data.minhash import band_hashes, choose_bands

        shape = choose_bands(self.threshold) if self.threshold < 1.0 else None
        return np.empty((len(normal), 0), np.uint64) if shape is None else band_hashes(normal, *shape)

    @cached_property
    def _index(self) -> DuplicateIndex:
        return DuplicateIndex([prompt.text for prompt in self.gold], self.threshold, apart=self.apart)


def batches_of(
    source: Path | str,
    columns: ColumnsConfig | None,
    rows: Iterable[Row] | Iterable[Prompt],
    numbered: int = 0,
) -> Iterator[Batch]:
    """Rows of a source, or prompts where `columns` is None, in batches of bounded size."""
    name = columns.text if columns is not None else ""
    held: list[Row | Prompt] = []
    characters = 0
    for row in rows:
        held.append(row)
        text = row.text if isinstance(row, Prompt) else row.cells.get(name)
        characters += len(text) if isinstance(text, str) else 0
        if len(held) == _ROWS or characters > _CHARACTERS:
            yield Batch(str(source), columns, held, numbered)  # type: ignore[arg-type]  # of one kind
            held, characters = [], 0
    if held:
        yield Batch(str(source), columns, held, numbered)  # type: ignore[arg-type]


def _read(
    batch: Batch, redactor: Redactor | None, keeping: Keeping | None
) -> tuple[list[Prompt], list[Rejection]]:
    prompts: list[Prompt] = []
    rejected: list[Rejection] = []
    read = None
    if batch.columns is not None:
        read = row_reader(batch.source, batch.columns, redactor, keeping, batch.numbered)
    for row in batch.rows:
        taken = row if isinstance(row, Prompt) or read is None else read(row)
        if isinstance(taken, Rejection):
            rejected.append(taken)
        elif isinstance(taken, Prompt):
            prompts.append(taken)
    return prompts, rejected


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema=table.schema)


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _or_none(text: str) -> bytes:
    """8 bytes; noughts for an empty text."""
    return _digest(text, 8) if text else bytes(8)


def _remembers(redactor: Redactor) -> Callable[[str, str], None] | None:
    """What tells another process that pseudonyms are to be remembered, which it leaves to this one."""
    return None if redactor.remember is None else _left_to_the_first


def _left_to_the_first(pseudonym: str, value: str) -> None:
    """See `_remembers`."""
