"""What was made of a person's rows: caches, pages and figures that hold them, students with their words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import ClassifyConfig
from tutelage.data.erasure import Traces, holds, words_of
from tutelage.data.redaction import Vault
from tutelage.programme import CONFIG_NAME, Programme
from tutelage.stages.purge._rows import files_of, is_made

_SCRATCH = ("students/.*", "evaluation/*/.answers", "evaluation/*/.stressed", "prompts/.collecting")
_OF_GOLD = ("evaluation/*/stress.*",)  # whose rows are variants of gold's texts
_ROWS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".sqlite", ".safetensors", ".onnx", ".bin")
_PSEUDONYM = re.compile(r"\[[A-Z_]+-[0-9a-f]{10}\]")
_BASE = "tokenizer.json"  # a base model's words, which are nobody's


def learned_from(programme: Programme) -> Mapping[str, bool]:
    """Students by run: whether they learned from the transfer set that stands there now."""
    now = storage.hash_file(programme.transfer) if programme.transfer.exists() else ""
    records = sorted((programme.folder / "students").glob("*/run.json"))
    return {record.parent.name: storage.read_json(record).get("transfer") == now for record in records}


def own_words(programme: Programme, texts: Collection[str]) -> frozenset[str]:
    """The words of these texts that stand in no other text of the programme, nor in its settings."""
    words = words_of(texts)
    for path in sorted(programme.folder.glob("*/*.parquet")):
        if not words or not is_made(programme, path):
            continue
        for text in _texts_of(path):
            words -= words_of([text])
    settings = [(programme.folder / CONFIG_NAME).read_text(encoding="utf-8")]
    if programme.seal.exists():
        settings += storage.read_json(programme.seal)["labels"]
    if isinstance(programme.config.task, ClassifyConfig) and isinstance(
        programme.config.task.labels, Mapping
    ):
        settings += programme.config.task.labels
    return frozenset(words - words_of(settings))


def forget_pseudonyms(programme: Programme, texts: Collection[str]) -> int:
    """Give up what pseudonyms stand for that stood in these texts alone; how many those were."""
    gone = {found for text in texts for found in _PSEUDONYM.findall(text)}
    for path in sorted(programme.folder.glob("*/*.parquet")):
        if not gone:
            return 0
        for text in _texts_of(path) if is_made(programme, path) else ():
            gone -= set(_PSEUDONYM.findall(text))
    return Vault.forget(programme.pseudonyms, gone)


def _texts_of(path: Path) -> Iterator[str]:
    with storage.parquet_file(path) as file:
        if "text" in file.schema_arrow.names:
            for batch in file.iter_batches(columns=["text"]):
                yield from filter(None, batch["text"].to_pylist())


def remove_made(programme: Programme, traces: Traces, words: Collection[str], *, gold: bool) -> list[str]:
    """Remove what was made of rows that were erased; what that was, relative to the folder.

    `gold` tells that rows of gold were among them. A student goes where its own vocabulary has their words,
    with its exports and their certificates: they are made of them.
    """
    patterns = (*_SCRATCH, *(_OF_GOLD if gold else ()))
    gone = [path for pattern in patterns for path in programme.folder.glob(pattern)]
    gone += [path for path in programme.folder.rglob(".*.tmp") if is_made(programme, path)]
    for top in ("students", "exports"):
        for folder in sorted((programme.folder / top).glob("[!.]*")):
            if folder.is_dir() and any(_tells(path, traces, words) for path in folder.rglob("*.json")):
                gone += [folder, programme.folder / "certificates" / folder.name]
    gone = [path for path in gone if path.exists()]
    for path in gone:
        _remove(path)
    for path in files_of(programme):
        if _is_page(programme, path) and _tells(path, traces, () if path.parent.name == "state" else words):
            gone.append(path)
            _remove(path)
    return sorted({path.relative_to(programme.folder).as_posix() for path in gone})


def _is_page(programme: Programme, path: Path) -> bool:
    """Whether a stage makes it of rows anew: neither a seal, nor rows, nor weights."""
    seals = path.is_relative_to(programme.seal.parent)
    return is_made(programme, path) and path.suffix not in _ROWS and not seals


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tells(path: Path, traces: Traces, words: Collection[str]) -> bool:
    """Whether a page or a file of figures holds a trace, or one of these words."""
    if path.name == _BASE or not path.is_file():
        return False
    if holds(path, traces):
        return True
    content = storage.read_text(path, errors="replace")
    if path.suffix == ".json":
        try:
            return bool(words) and not words_of(_strings(json.loads(content))).isdisjoint(words)
        except ValueError:
            pass
    return bool(words) and not words_of([content]).isdisjoint(words)


def _strings(value: Any) -> Iterator[str]:
    """The texts in JSON but for names of keys, which are ours."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)
