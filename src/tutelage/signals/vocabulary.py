"""The tokens that a model counts in, and whether a student's are a teacher's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage import storage
from tutelage.errors import ConfigError, IntegrityError
from tutelage.signals.manifest import MEND, Manifest
from tutelage.signals.tokens import NO_ID, TokenLogprobs

_OF_A_CALL = ("truncation", "padding")  # what a tokenizer was last asked for, no part of what it is
_TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What token ids mean, and how a prompt becomes them.

    `tokenizer` is a hash of vocabulary, merges, normalizer and all else that a tokenizer does, `template` of
    the chat template, 32 hex digits each, empty where there is none. `size` counts the tokens.
    """

    tokenizer: str
    size: int
    template: str

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Of a tokenizer of transformers. The same after saving and loading."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        content: Any = sorted(tokenizer.get_vocab().items())
        if backend is not None:
            whole = json.loads(backend.to_str())
            content = {name: part for name, part in whole.items() if name not in _OF_A_CALL}
        template = tokenizer.chat_template
        return cls(
            storage.hash_json(content), len(tokenizer), storage.hash_json(template) if template else ""
        )


def token_manifest(
    teacher: str, model: str, revision: str, task: str, k: int, vocabulary: Vocabulary | None = None
) -> Manifest:
    """What token log-probabilities are made with; without a `vocabulary` the teacher doesn't tell its own.

    `revision` is that under which the answers stand.
    """
    return Manifest(
        kind=_TOKENS,
        teacher=teacher,
        model=model,
        revision=revision,
        tokenizer=vocabulary.tokenizer if vocabulary else "",
        task=task,
        layers=(),
        pooling="",
        dtype="float32",
        width=0,
        vocabulary=vocabulary.size if vocabulary else 0,
        template=vocabulary.template if vocabulary else "",
        k=k,
    )


def write_token_manifest(folder: Path, manifest: Manifest) -> None:
    """Say in `folder`/tokens what the token log-probabilities that stand with the answers were made with."""
    storage.write_json(folder / _TOKENS / "manifest.json", {"made_with": manifest.to_json(), "shards": []})


def read_token_manifest(folder: Path) -> Manifest:
    """The inverse of `write_token_manifest`. Raises IntegrityError where there is none, or it is damaged."""
    path = folder / _TOKENS / "manifest.json"
    if not path.exists():
        raise IntegrityError(
            f"{path} is missing, so nobody knows what the answers' token log-probabilities were made with. "
            f"Mend: {MEND}"
        )
    content = storage.read_json(path)
    return Manifest.from_json(content.get("made_with") if isinstance(content, dict) else None, path)


def require_same_vocabulary(manifest: Manifest, student: Vocabulary, base: str) -> None:
    """Before a student learns from a teacher's `tokens`: its tokens and template are the teacher's.

    `base` is the model whose tokenizer the student has. Of a teacher behind an API nobody knows ids: its
    manifest has no tokenizer, nothing is compared, and `with_ids` finds what ids can be found. Raises
    ConfigError that names what differs and the command that mends it.
    """
    if not manifest.tokenizer:
        return
    compared = (
        ("tokens in the vocabulary", manifest.vocabulary, student.size),
        ("tokenizer", manifest.tokenizer, student.tokenizer),
        ("chat template", manifest.template or "none", student.template or "none"),
    )
    if differing := [
        f"{name}: {theirs}, the student's {own}" for name, theirs, own in compared if theirs != own
    ]:
        raise ConfigError(
            f"distributions over tokens of the teacher {manifest.model!r} can't teach a student made from "
            f"{base!r}, whose tokens mean something else: {'; '.join(differing)}. Mend: "
            f"`tutelage train --set student.base={manifest.model}`, or student.recipe sequence, which learns "
            "from its text"
        )


def with_ids(tokens: TokenLogprobs, ids: Mapping[bytes, int]) -> TokenLogprobs:
    """Tokens whose teacher tells no ids, with those that a tokenizer has for their bytes.

    `ids` is from a token's bytes to its id. A place whose bytes are no token of it has `NO_ID`; its
    probability then belongs to the tail.
    """
    found = np.array([[ids.get(text, NO_ID) for text in row] for row in tokens.texts], np.int32)
    found = found.reshape(tokens.logprobs.shape)
    found[np.isneginf(tokens.logprobs)] = NO_ID  # places that hold no alternative
    return TokenLogprobs(tokens.texts, tokens.logprobs, found)
