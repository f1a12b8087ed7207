"""A vocabulary cut to what texts use: the tokenizer's files, and the rows of embeddings that are left."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from tutelage.errors import ConfigError

_CONTINUED = "##"  # before pieces of WordPiece within a word


def used_tokens(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[int]:
    """Ids to keep, ascending: those of the texts, special and added ones, and all single letters or bytes.

    The texts' tokens stay the same ones: for BPE whatever they are merged from is kept too. What else there
    is gets spelled by its letters, or is unknown as before. Raises ConfigError for another kind of tokenizer.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = _vocabulary(state["model"])
    used = {
        one
        for ids in tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
        for one in ids
    }
    used |= {token["id"] for token in state["added_tokens"]} | set(tokenizer.all_special_ids)
    used |= {index for token, index in vocabulary.items() if len(token.removeprefix(_CONTINUED)) == 1}
    if state["model"]["type"] == "BPE":
        used |= _merged_from(state["model"], used)
    return sorted(used)


def cut_tokenizer(tokenizer: Any, kept: Sequence[int]) -> Any:
    """The same tokenizer with the tokens `kept` alone, numbered anew in their order."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    new = {old: index for index, old in enumerate(kept)}
    model = state["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in kept if old < len(model["vocab"])]
        model["unk_id"] = new.get(model["unk_id"])
    else:
        model["vocab"] = {token: new[old] for token, old in model["vocab"].items() if old in new}
    if model["type"] == "BPE":
        model["merges"] = [
            merge
            for merge in model["merges"]
            if {*_pair(merge), "".join(_pair(merge))} <= set(model["vocab"])
        ]
    for token in state["added_tokens"]:
        token["id"] = new[token["id"]]
    if state.get("post_processor"):
        state["post_processor"] = _renumbered(state["post_processor"], new)
    made = copy.deepcopy(tokenizer)
    made._tokenizer = Tokenizer.from_str(json.dumps(state))
    return made


def _vocabulary(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    if model["type"] in ("WordPiece", "BPE"):
        return dict(model["vocab"])
    raise ConfigError(
        f"the tokenizer of student.base is of type {model['type']}, whose vocabulary Tutelage can't cut. "
        "Mend: prune: {vocabulary: false}"
    )


def _merged_from(model: dict[str, Any], used: set[int]) -> set[int]:
    """Ids of all tokens that merges which end in a used one go through."""
    names = {index: token for token, index in model["vocab"].items()}
    parts: dict[str, list[tuple[str, str]]] = {}
    for merge in map(_pair, model["merges"]):
        parts.setdefault("".join(merge), []).append(merge)
    found, waiting = set(), [names[index] for index in used if index in names]
    while waiting:
        token = waiting.pop()
        if token in found:
            continue
        found.add(token)
        waiting += [part for merge in parts.get(token, []) for part in merge]
    return {model["vocab"][token] for token in found if token in model["vocab"]}


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _renumbered(part: Any, new: dict[int, int]) -> Any:
    """A post-processor with new ids, which stand under `ids` or as the second of ["[SEP]", 102]."""
    if isinstance(part, dict):
        return {
            name: [new[old] for old in value] if name == "ids" else _renumbered(value, new)
            for name, value in part.items()
        }
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], new[part[1]]]
        return [_renumbered(one, new) for one in part]
    return part
