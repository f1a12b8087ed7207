"""Signals on disk: shards of safetensors, each whole or not there, under one manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

from tutelage import storage
from tutelage.errors import IntegrityError
from tutelage.progress import Progress
from tutelage.records import Prompt, in_parts
from tutelage.signals._shard import Array, Shard
from tutelage.signals.manifest import MEND, Manifest, Revealing, RevealingBatches

SHARD_BYTES = 64 << 20  # from which a shard is written; what collecting holds in memory
_CALL = 64  # prompts revealed together


class SignalStore:
    """One kind of signal in a folder: `manifest.json` and `shard-00000.safetensors`, ...

    A shard holds `values` [rows, width], `offsets` int64 [prompts + 1] of each prompt's rows, and the
    prompts' hashes. It counts once `manifest.json` lists it with its hash; one that a killed run left
    unlisted is written over. At most one process may write.
    """

    def __init__(self, folder: Path, manifest: Manifest, shards: Sequence[Mapping[str, Any]] = ()) -> None:
        self.folder, self.manifest = folder, manifest
        self._shards = list(shards)
        self._places: dict[str, int] | None = None

    @classmethod
    def open(cls, folder: Path) -> SignalStore:
        """The store in `folder`. Raises IntegrityError where there is none or its manifest is damaged."""
        path = folder / "manifest.json"
        if not path.exists():
            raise IntegrityError(f"{folder} holds no signals. Mend: {MEND}")
        content = storage.read_json(path)
        shards = content.get("shards") if isinstance(content, dict) else None
        if not isinstance(shards, list) or not all(
            isinstance(shard, dict) and shard.keys() == {"file", "hash", "count"} for shard in shards
        ):
            raise IntegrityError(f"{path} is no manifest of signals. Mend: delete it and {MEND}")
        return cls(folder, Manifest.from_json(content.get("made_with"), path), shards)

    def __len__(self) -> int:
        return sum(int(shard["count"]) for shard in self._shards)

    @property
    def hashes(self) -> set[str]:
        """Of the prompts that have a signal. Reads every shard's header, no values."""
        return set(self._index())

    def _index(self) -> dict[str, int]:
        if self._places is None:
            self._places = {
                key: place
                for place, shard in enumerate(self._shards)
                for key in Shard(self.folder / shard["file"]).keys
            }
        return self._places

    def append(self, keys: Sequence[str], arrays: Sequence[Array]) -> None:
        """Write one shard: for each prompt hash its array [rows, width]. It counts from when this returns.

        Raises ValueError for arrays of another width or type, and for a prompt that has a signal already.
        """
        from safetensors.numpy import save

        wanted = (self.manifest.width, np.dtype(self.manifest.dtype))
        for array in arrays:
            if array.ndim != 2 or (array.shape[1], array.dtype) != wanted:
                raise ValueError(f"an array is {array.dtype} {list(array.shape)}; wanted is [rows, {wanted}]")
        if len(set(keys)) != len(keys) or self._index().keys() & set(keys):
            raise ValueError("a prompt's signal is written twice")
        offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64)
        content = save(
            {"values": np.concatenate(list(arrays)), "offsets": offsets}, {"keys": json.dumps(list(keys))}
        )
        path = self.folder / f"shard-{len(self._shards):05d}.safetensors"
        storage.write_bytes(path, content)
        entry = {"file": path.name, "hash": storage.hash_file(path), "count": len(keys)}
        self._write_manifest([*self._shards, entry])
        self._index().update(dict.fromkeys(keys, len(self._shards)))
        self._shards.append(entry)

    def _write_manifest(self, shards: Sequence[Mapping[str, Any]]) -> None:
        content = {"made_with": self.manifest.to_json(), "shards": list(shards)}
        storage.write_json(self.folder / "manifest.json", content)

    def verify(self) -> None:
        """Raises IntegrityError, naming the shard, where one is absent or not what was written."""
        for shard in self._shards:
            path = self.folder / str(shard["file"])
            if not path.is_file():
                raise IntegrityError(f"{path} is missing. Mend: delete {self.folder} and {MEND}")
            if storage.hash_file(path) != shard["hash"]:
                raise IntegrityError(
                    f"{path} is not what was written (its hash differs). "
                    f"Mend: delete {self.folder} and {MEND}"
                )

    def shards(self) -> Iterator[dict[str, Array]]:
        """Arrays by prompt hash, a shard at a time. Each shard's hash is checked as by `verify`."""
        from safetensors.numpy import load

        self.verify()
        for shard in self._shards:
            path = self.folder / str(shard["file"])
            tensors = load(storage.read_bytes(path))
            parts = np.split(tensors["values"], tensors["offsets"][1:-1])
            yield dict(zip(Shard(path).keys, parts, strict=True))


class SignalRows:
    """One kind of signal, read by prompt hash as it is asked for; what isn't asked for stays on disk.

    Raises IntegrityError where there is none, or a shard is absent or not what was written.
    """

    def __init__(self, folder: Path) -> None:
        store = SignalStore.open(folder)
        store.verify()
        self._places: dict[str, tuple[Shard, int, int]] = {}
        for shard in store._shards:
            read = Shard(folder / str(shard["file"]))
            offsets = read.offsets.tolist()
            for number, key in enumerate(read.keys):
                self._places[key] = (read, offsets[number], offsets[number + 1])

    def count(self, key: str) -> int:
        """Rows of a prompt, 0 for one that has none."""
        _, start, end = self._places.get(key, (None, 0, 0))
        return end - start

    def __getitem__(self, key: str) -> Array:
        """[rows, width]. Raises KeyError for a prompt that has none."""
        shard, start, end = self._places[key]
        return shard.rows(start, end)


def collect_signals(
    prompts: Collection[Prompt], teacher: Revealing, folder: Path, kinds: Sequence[str], progress: Progress
) -> int:
    """Reveal and keep, under `folder`/<kind>, what isn't kept yet; return how many were new.

    A store made with something else is begun anew. Killed at any moment, the next run goes on after the last
    whole shard. Raises IntegrityError where a shard is damaged.
    """
    new = 0
    for kind in kinds:
        store = _matching(folder / kind, teacher.manifest(kind))
        kept = store.hashes
        todo = len({hash_ for prompt in prompts if (hash_ := prompt.hash) not in kept})
        new += todo
        keys: list[str] = []
        arrays: list[Array] = []
        with progress.track(f"keeping {kind}", todo, "prompts") as tracker:
            asked, shown = tee(in_parts(_without(prompts, kept), _CALL))  # no farther apart than workers hold
            for chosen, revealed in zip(shown, _revealed(teacher, asked, kind), strict=True):
                arrays += revealed
                keys += [prompt.hash for prompt in chosen]
                tracker.advance(len(chosen))
                if sum(array.nbytes for array in arrays) >= SHARD_BYTES:
                    store.append(keys, arrays)
                    keys, arrays = [], []
        if keys:
            store.append(keys, arrays)
    return new


def _without(prompts: Iterable[Prompt], kept: Iterable[str]) -> Iterator[Prompt]:
    """Those whose hash isn't among these, each text once."""
    met = set(kept)
    for prompt in prompts:
        if (hash_ := prompt.hash) not in met:
            met.add(hash_)
            yield prompt


def _revealed(teacher: Revealing, batches: Iterable[list[Prompt]], kind: str) -> Iterator[Sequence[Array]]:
    if isinstance(teacher, RevealingBatches):
        return teacher.reveal_batches(batches, kind)
    return (teacher.reveal(batch, kind) for batch in batches)


def _matching(folder: Path, manifest: Manifest) -> SignalStore:
    if (folder / "manifest.json").exists():
        store = SignalStore.open(folder)
        if not store.manifest.differences(manifest):
            store.verify()
            return store
        shutil.rmtree(folder)
    return SignalStore(folder, manifest)


def require_signals(folder: Path, expected: Mapping[str, Manifest], hashes: Sequence[str] = ()) -> None:
    """Before training: each kind under `folder` is whole, matches its manifest and has all `hashes`.

    Raises IntegrityError that names what is missing, damaged or otherwise made, and the mend.
    """
    for kind, manifest in expected.items():
        store = SignalStore.open(folder / kind)
        store.manifest.require_match(manifest, store.folder)
        store.verify()
        if missing := set(hashes) - store.hashes:
            raise IntegrityError(
                f"{len(missing):,} of {len(set(hashes)):,} prompts have no {kind} in {store.folder}. "
                f"Mend: {MEND}"
            )
