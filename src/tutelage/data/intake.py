"""From prepared batches to `prompts.parquet`: what repeats, what gold has, what belongs together.

Prompts that were collected at an earlier time come first. They stay, under their ids and in their groups,
unless gold has them now; new ones are held against them as against each other.

Three passes, none of which holds all prompts. The first keeps batches in a file as they come, their hashes by
column. The second decides on hashes alone, but for pairs that may be near duplicates, whose texts are read
from that file. The third writes what stays and what doesn't. A million prompts take about 310 MB of scratch
space, their texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Literal

from tutelage import storage
from tutelage.data import preparation
from tutelage.data.duplicates import grams, jaccard, normalise, reject, same_but_for_order, without_marks
from tutelage.data.known_rows import KnownRows
from tutelage.data.preparation import Prepared
from tutelage.data.profile import Profile
from tutelage.data.sources import RejectReason, reject_repeated_id
from tutelage.data.tables import prompts_from_table, rejections_to_table
from tutelage.records import Rejection, prompt_schema, rejection_schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tutelage.data.groups import Alike, Flags, Indices
    from tutelage.data.minhash import Hashes

NearRepeats = Literal["group", "drop", "ignore"]
Pairs = Callable[[Iterable[tuple[str, str]]], list[bool]]  # which of these normalised texts are alike

_PAIRS = 1 << 16  # whose texts are in memory at once


class Fate(IntEnum):
    """What becomes of a prompt that was read well, the first that fits."""

    KEPT = 0
    REPEATED_ID = 1
    REPEATED_TEXT = 2
    OF_GOLD = 3
    NEAR_REPEAT = 4


@dataclass(frozen=True, eq=False)
class Decided:
    """For each prompt its fate; the one that it repeats, else itself; the first of its group, else -1."""

    fates: npt.NDArray[np.uint8]
    firsts: Indices
    heads: Indices


@dataclass(frozen=True)
class Collected:
    """The files that are written, all of them or none, and the folder in which they wait until then."""

    prompts: Path
    rejected: Path
    known: Path
    scratch: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Without the folder."""
        return self.prompts, self.rejected, self.known

    def waiting(self, file: Path) -> Path:
        """Where one of them waits."""
        return self.scratch / file.name

    def settle(self) -> None:
        """Put into their places what a killed process had written whole."""
        storage.settle(self.scratch, self.files)


class Intake:
    """Takes batches, then writes the tables. A context manager, whose end removes its scratch folder."""

    def __init__(self, collected: Collected, *, threshold: float) -> None:
        """`threshold`: the Jaccard similarity from which texts are near duplicates."""
        self._collected, self._threshold = collected, threshold
        self._stack, self._rejecting, self._taking = ExitStack(), ExitStack(), ExitStack()
        self._taken = collected.scratch / "prompts.arrow"
        self._columns: list[IO[bytes]] = []
        self._sketches: IO[bytes]
        self._writer: pa.RecordBatchFileWriter | None = None
        self._reject: Callable[[pa.Table], None]
        self.total = self.kept = self.known = self.known_kept = self.timed = self._count = 0
        self.profile = Profile()

    def __enter__(self) -> Intake:
        self._collected.settle()
        self._stack.enter_context(storage.scratch_folder(self._collected.scratch))
        self._stack.enter_context(self._rejecting)
        self._stack.enter_context(self._taking)
        self._reject = self._rejecting.enter_context(
            storage.table_writer(self._collected.waiting(self._collected.rejected), rejection_schema())
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, prepared: Prepared) -> None:
        """Take a batch. Batches come in the order of their rows, known ones before all others."""
        import pyarrow as pa

        if self._writer is None:
            sink = self._taking.enter_context(storage.replacing(self._taken))
            self._writer = pa.ipc.new_file(sink, prepared.prompts.schema)
            names = [f"hashes-{place}.bin" for place in range(prepared.hashes.shape[1])]
            self._columns = [
                self._stack.enter_context((self._collected.scratch / name).open("w+b")) for name in names
            ]
            path = self._collected.scratch / "sketches.bin"
            self._sketches = self._stack.enter_context(path.open("w+b"))
        self.total += prepared.total
        self._count += prepared.prompts.num_rows
        self.known += prepared.prompts.num_rows if prepared.known else 0
        self.timed += prepared.prompts.num_rows - prepared.prompts["time"].null_count
        self._set_aside(prepared.rejected)
        self._writer.write_batch(prepared.prompts)
        for file, column in zip(self._columns, prepared.hashes.T, strict=True):
            file.write(column.tobytes())
        self._sketches.write(prepared.sketches.tobytes())

    def carry(self, rejections: pa.Table) -> None:
        """Keep what was not taken at an earlier time, by `records.rejection_schema`."""
        self.total += rejections.num_rows
        self.profile.carry(rejections)
        self._reject(rejections)

    def finish(self, near: NearRepeats, known: KnownRows, advance: Callable[[str], None]) -> None:
        """Decide and write, `known` too. `advance` is told what each of `steps` did."""
        with storage.table_writer(self._collected.waiting(self._collected.prompts), prompt_schema()) as keep:
            self._keep(near, keep, advance)
        self._rejecting.close()
        known.write(self._collected.waiting(self._collected.known))
        storage.replace_together(self._collected.scratch, self._collected.files)

    def _keep(
        self, near: NearRepeats, keep: Callable[[pa.Table], None], advance: Callable[[str], None]
    ) -> None:
        if self._writer is not None:  # else there were no rows
            self._writer.close()
            self._taking.close()
            table = self._table()
            decided = self._decide(table, near, advance)
            begin = 0
            for batch in table.to_batches():
                self._write(table, batch, decided, begin, keep)
                begin += batch.num_rows
            advance("written")

    @property
    def steps(self) -> int:
        """How often `finish` calls `advance`."""
        return len(self._columns[preparation.MARKS :]) + 2 if self._columns else 0

    def _table(self) -> pa.Table:
        """What was taken, mapped into memory and not read; where it is encrypted, read."""
        import pyarrow as pa

        encrypted = storage.is_encrypted(self._taken)
        opened = storage.opened(self._taken) if encrypted else pa.memory_map(str(self._taken))
        return pa.ipc.open_file(self._stack.enter_context(opened)).read_all()

    def _column(self, place: int) -> Hashes:
        import numpy as np

        file = self._columns[place]
        file.seek(0)
        return np.fromfile(file, np.uint64)

    def _decide(self, table: pa.Table, near: NearRepeats, advance: Callable[[str], None]) -> Decided:
        import numpy as np

        from tutelage.data.groups import first_of

        fates = np.zeros(self._count, np.uint8)
        everything = np.arange(self._count)
        firsts = first_of(self._column(preparation.ID), self._column(preparation.ID + 1))
        fates[firsts != everything] = Fate.REPEATED_ID
        # Before repeats are looked for: what somebody else asks in the same words stays.
        fates[_siblings(table) & (fates == Fate.KEPT)] = Fate.OF_GOLD
        rest = np.flatnonzero(fates == Fate.KEPT)
        high, low = (self._column(place)[rest] for place in (preparation.TEXT, preparation.TEXT + 1))
        firsts[rest] = rest[first_of(high, low)]
        fates[rest[firsts[rest] != rest]] = Fate.REPEATED_TEXT
        in_gold = table["reason"].is_valid().to_numpy()
        fates[in_gold & (fates == Fate.KEPT)] = Fate.OF_GOLD
        kept = np.flatnonzero(fates == Fate.KEPT)
        advance("repeats")
        heads = everything.copy()
        heads[kept] = kept[self._near(table, kept, near, advance)]
        if near == "drop":
            again = kept[(heads[kept] != kept) & (kept >= self.known)]
            fates[again], firsts[again] = Fate.NEAR_REPEAT, heads[again]
            heads[kept] = kept
            kept = np.flatnonzero(fates == Fate.KEPT)
        heads[kept] = kept[self._with_sources(kept, np.searchsorted(kept, heads[kept]))]
        alone = np.bincount(heads[kept], minlength=self._count)[heads] < 2
        return Decided(fates, firsts, np.where(alone, -1, heads))

    def _near(
        self, table: pa.Table, kept: Indices, near: NearRepeats, advance: Callable[[str], None]
    ) -> Indices:
        """The first, by place among `kept`, of the near duplicates of each."""
        from tutelage.data.groups import near_groups

        texts, maybe = table["text"], self._maybe_alike(kept)

        def columns() -> Iterator[tuple[Hashes, Alike]]:
            for place in range(preparation.MARKS, len(self._columns)):
                if near != "ignore" and self._threshold < 1:
                    alike = _alike_among(texts, kept, self._pairs_of(place))
                    if place >= preparation.BANDS:
                        alike = _both(maybe, alike)
                    yield self._column(place)[kept], alike
                advance("near duplicates")

        return near_groups(len(kept), columns())

    def _maybe_alike(self, kept: Indices) -> Alike:
        """What tells, without their texts, which pairs by place among `kept` may reach the threshold."""
        import numpy as np

        from tutelage.data.minhash import most_similar

        if not self._count:  # nothing can be mapped
            return lambda ones, _: np.zeros(len(ones), np.bool_)
        self._sketches.flush()
        words = np.memmap(self._sketches, np.uint64, mode="r").reshape(self._count, -1)

        def maybe(ones: Indices, others: Indices) -> Flags:
            found = np.zeros(len(ones), np.bool_)
            for begin in range(0, len(ones), _PAIRS):
                part = slice(begin, begin + _PAIRS)
                left, right = (words[kept[places[part]]] for places in (ones, others))
                found[part] = most_similar(left, right) >= self._threshold
            return found

        return maybe

    def _pairs_of(self, place: int) -> Pairs:
        """What tells which pairs of a column are alike: its candidates can be so in one way only."""
        if place == preparation.MARKS:
            return lambda pairs: [without_marks(one) == without_marks(other) for one, other in pairs]
        if place == preparation.WORDS:
            return lambda pairs: [same_but_for_order(one, other) for one, other in pairs]
        return lambda pairs: list(_alike_by_grams(pairs, self._threshold))

    def _with_sources(self, kept: Indices, heads: Indices) -> Indices:
        """`heads`, by place, where what a source puts into one group is in one as well."""
        import numpy as np

        from tutelage.data.groups import connect, first_of

        pairs = []
        # A known prompt's group may have become another's, whose texts are like its own; its subject stays.
        for place in (preparation.GROUP, preparation.SUBJECT):
            groups = self._column(place)[kept]
            grouped = np.flatnonzero(groups)
            values = groups[grouped]
            pairs.append((grouped[first_of(values, values)], grouped))
        if not any(len(grouped) for _, grouped in pairs):
            return heads
        return connect(len(kept), [(heads, np.arange(len(kept))), *pairs])

    def _write(
        self,
        table: pa.Table,
        batch: pa.RecordBatch,
        decided: Decided,
        begin: int,
        keep: Callable[[pa.Table], None],
    ) -> None:
        import numpy as np
        import pyarrow as pa

        part = slice(begin, begin + batch.num_rows)
        fates = decided.fates[part]
        staying = np.flatnonzero(fates == Fate.KEPT)
        rows = pa.Table.from_batches([batch])
        kept = rows.take(staying)
        names = _group_names(table, decided.heads[part][staying], kept["group"].to_pylist())
        kept = kept.set_column(kept.schema.get_field_index("group"), "group", names)
        kept = kept.select(prompt_schema().names)
        keep(kept)
        self.kept += kept.num_rows
        self.known_kept += int((staying + begin < self.known).sum())
        self.profile.add(kept)
        going = np.flatnonzero(fates != Fate.KEPT)
        first_ids = _gathered(table["id"], decided.firsts[part][going])
        self._set_aside(_rejections(rows.take(going), fates[going].tolist(), first_ids))

    def _set_aside(self, rejections: Sequence[Rejection]) -> None:
        self.profile.reject(rejections)
        if rejections:
            self._reject(rejections_to_table(rejections))


def _siblings(table: pa.Table) -> Flags:
    """Which prompts are of a subject that gold has another of."""
    import numpy as np
    import pyarrow.compute as pc

    found = pc.equal(table["reason"], str(RejectReason.SIBLING_OF_GOLD)).fill_null(False)
    return np.asarray(found.to_numpy(), np.bool_)


def _rejections(rows: pa.Table, fates: Sequence[int], firsts: Sequence[str]) -> list[Rejection]:
    """Of prompts that aren't kept; `firsts` are the ids of those that they repeat."""
    prompts = prompts_from_table(rows)
    columns = (rows[name].to_pylist() for name in ("row", "reason", "detail"))
    made = []
    for prompt, fate, first, row, reason, detail in zip(prompts, fates, firsts, *columns, strict=True):
        prompt = replace(prompt, row=row)
        if fate == Fate.REPEATED_ID:
            made.append(reject_repeated_id(prompt))
        elif fate == Fate.REPEATED_TEXT:
            made.append(reject(prompt, RejectReason.DUPLICATE_TEXT, f"same text as {first!r}"))
        elif fate == Fate.NEAR_REPEAT:
            made.append(reject(prompt, RejectReason.NEAR_DUPLICATE_TEXT, f"nearly the same as {first!r}"))
        else:
            made.append(reject(prompt, RejectReason(reason), detail))
    return made


def _alike_among(texts: pa.ChunkedArray, kept: Indices, pairs: Pairs) -> Alike:
    """What tells of which pairs, by place among `kept`, the texts are near duplicates."""
    import numpy as np

    def alike(ones: Indices, others: Indices) -> Flags:
        found = np.zeros(len(ones), np.bool_)
        for begin in range(0, len(ones), _PAIRS):
            part = slice(begin, begin + _PAIRS)
            left, right = (map(normalise, _gathered(texts, kept[places[part]])) for places in (ones, others))
            found[part] = pairs(zip(left, right, strict=True))
        return found

    return alike


def _both(maybe: Alike, alike: Alike) -> Alike:
    """Of pairs that the first lets pass what the second says."""
    import numpy as np

    def both(ones: Indices, others: Indices) -> Flags:
        found = maybe(ones, others)
        left = np.flatnonzero(found)
        found[left] = alike(ones[left], others[left])
        return found

    return both


def _alike_by_grams(pairs: Iterable[tuple[str, str]], threshold: float) -> Iterator[bool]:
    """Many pairs in turn have the same first text, whose grams are made once."""
    last, of_last = None, frozenset[str]()
    for one, other in pairs:
        if one != last:
            last, of_last = one, grams(one)
        yield jaccard(of_last, grams(other)) >= threshold


def _gathered(column: pa.ChunkedArray, indices: Indices) -> list[str]:
    """The texts at `indices`, taken from each chunk by itself: Arrow would put all chunks together first."""
    import numpy as np

    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    order = np.argsort(indices, kind="stable")
    chunks = np.searchsorted(ends, indices[order], side="right")
    texts: list[str] = [""] * len(indices)
    for places in np.split(order, np.flatnonzero(np.diff(chunks)) + 1) if len(order) else []:
        number = int(np.searchsorted(ends, indices[places[0]], side="right"))
        chunk = column.chunk(number)
        taken = chunk.take(indices[places] - (ends[number] - len(chunk))).to_pylist()
        for place, text in zip(places.tolist(), taken, strict=True):
            texts[place] = text
    return texts


def _group_names(table: pa.Table, heads: Indices, own: list[str]) -> pa.Array:
    """What the source of a group's first calls it, else the first's id; `own` for one that is alone."""
    import numpy as np
    import pyarrow as pa

    grouped = np.flatnonzero(heads >= 0)
    of_firsts, ids = (_gathered(table[name], heads[grouped]) for name in ("group", "id"))
    for place, group, id_ in zip(grouped.tolist(), of_firsts, ids, strict=True):
        own[place] = group or id_
    return pa.array(own, pa.string())
