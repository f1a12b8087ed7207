"""Which rows of the sources were read before, so that a second `collect` does only what is new.

A row is known by 64 bits of what is taken of it: text, id, slice, subject, time, class; without an id of its
own also by the source's name. Its number isn't among that, since rows are put in front of others. What a
source has twice is counted: the third of a row of which two are known is new. Two rows that differ have the
same 64 bits with probability 2^-64.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tutelage import storage
from tutelage.config import SENSITIVITIES, ColumnsConfig
from tutelage.data.rows import Row
from tutelage.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]
    Counts = npt.NDArray[np.uint32]
    Flags = npt.NDArray[np.bool_]

_AT_ONCE = 1_000  # rows that are looked up together
_ABOUT = b"tutelage"  # the key of what a file says of itself

Taken = TypeVar("Taken", Row, Prompt)


@dataclass(frozen=True, eq=False)
class KnownRows:
    """`keys`: uint64 [n], ascending, each once; `counts`: uint32 [n], how many rows have it.

    `numbers`: by source, up to which its rows are numbered. `terms`: what the rows were read under, by name;
    whoever reads under others can't build on them.
    """

    keys: Keys
    counts: Counts
    numbers: Mapping[str, int]
    terms: Mapping[str, Any]

    @classmethod
    def none(cls) -> KnownRows:
        """Before anything was read."""
        import numpy as np

        return cls(np.empty(0, np.uint64), np.empty(0, np.uint32), {}, {})

    @classmethod
    def read(cls, path: Path) -> KnownRows:
        """What `write` left. Raises IntegrityError, FileNotFoundError."""
        table = storage.read_table(path)
        about = json.loads((table.schema.metadata or {})[_ABOUT])
        return cls(table["key"].to_numpy(), table["count"].to_numpy(), about["numbers"], about["terms"])

    def write(self, path: Path) -> None:
        """As a Parquet file, atomically."""
        import pyarrow as pa

        table = pa.table({"key": self.keys, "count": self.counts})
        about = json.dumps({"numbers": self.numbers, "terms": self.terms})
        storage.write_table(path, table.replace_schema_metadata({_ABOUT: about.encode()}))


@dataclass(eq=False)
class Reading:
    """One reading of the sources, told against what was known before it."""

    before: KnownRows
    numbers: dict[str, int] = field(init=False)  # by source, the highest number that a row of it has or had
    _met: Counts = field(init=False)  # of `before`, how many rows of each were met
    _new: list[Keys] = field(default_factory=list)
    known: int = 0
    new: Counter[str] = field(default_factory=Counter)  # by source

    def __post_init__(self) -> None:
        import numpy as np

        self._met = np.zeros(len(self.before.keys), np.uint32)
        self.numbers = dict(self.before.numbers)

    def rows(self, source: str, rows: Iterable[Taken], key_of: Callable[[Taken], int]) -> Iterator[Taken]:
        """Those of `rows` of a source that are new, in their order."""
        import numpy as np

        rest = iter(rows)
        while held := list(islice(rest, _AT_ONCE)):
            keys = np.fromiter(map(key_of, held), np.uint64, len(held))
            last = held[-1]
            if isinstance(last, Row):
                self.numbers[source] = max(self.numbers.get(source, 0), last.number)
            are_new = self._take(keys).tolist()
            self.new[source] += sum(are_new)
            self.known += len(held) - sum(are_new)
            yield from compress(held, are_new)

    @property
    def gone(self) -> int:
        """Rows that were known and haven't been met."""
        return int(self.before.counts.sum(dtype="int64") - self._met.sum(dtype="int64"))

    def after(self, terms: Mapping[str, Any]) -> KnownRows:
        """What is known once all was read: what was, also where it isn't there any more, and what is new."""
        import numpy as np

        keys = np.concatenate([self.before.keys, *self._new])
        counts = np.ones(len(keys), np.uint32)
        counts[: len(self.before.keys)] = self.before.counts
        found, places = np.unique(keys, return_inverse=True)
        totals = np.zeros(len(found), np.uint32)
        np.add.at(totals, places, counts)
        return KnownRows(found, totals, self.numbers, terms)

    def _take(self, keys: Keys) -> Flags:
        """Which of these are new, bool [n]; all are counted."""
        import numpy as np

        places = np.searchsorted(self.before.keys, keys)
        there = places < len(self.before.keys)
        there[there] = self.before.keys[places[there]] == keys[there]
        new = ~there
        for row in np.flatnonzero(there).tolist():
            place = places[row]
            if self._met[place] < self.before.counts[place]:
                self._met[place] += 1
            else:
                new[row] = True
        self._new.append(keys[new])
        return new


def row_key(source: str, columns: ColumnsConfig) -> Callable[[Row], int]:
    """What rows of a source are known by, an unsigned number of 64 bits."""
    mapped = (columns.id, columns.text, columns.slice, columns.subject, columns.time)

    def key(row: Row) -> int:
        if row.fault is not None:
            return _hashed((source, row.reason, row.raw or row.fault))
        own = ("id", columns.text, columns.slice, "subject", "time") if row.native else mapped
        names = [name or other for name, other in zip(mapped, own, strict=True)]
        if columns.sensitivity not in SENSITIVITIES:
            names.append(columns.sensitivity)
        cells = [row.cells.get(name) if name else None for name in names]
        return _hashed((None if cells[0] is not None else source, *cells))

    return key


def prompt_key(prompt: Prompt) -> int:
    """The same of a prompt that was read before, whose id is unique."""
    return _hashed((prompt.source, prompt.id, prompt.text))


def _hashed(parts: Iterable[Any]) -> int:
    digest = blake2b(repr(tuple(parts)).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")
