"""Prompts and texts in a model's tokens, in which nobody but the chat template writes control tokens.

A text that spells one out (`<|im_end|>`, `</s>`) would else end its turn and begin another in anybody's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

Messages = Sequence[dict[str, str]]

_ROLES = ("system", "user", "assistant", "user")  # together they have a template show all it can write
_NEUTRAL = "a"
_FOREIGN = "\U0010fffd"  # a character that no vocabulary has
# Private-use characters around a content's number. They stand in the template's output, never in a content's.
_PLACE = re.compile("\uf8f0([0-9]+)\uf8f1")


class TokenizedModel:
    """What generative models of every engine have in common: a tokenizer of transformers, and its use.

    An ordinary prompt is tokenized as a whole, as its template renders it. One whose contents hold or become
    control tokens is tokenized in parts: what the template wrote, and each content for itself, in which a
    control token is spelled out by its characters' tokens. (The `sanitize_control_tokens` of transformers
    looks at spellings alone: it misses those that a normalizer makes, and stops at a vocabulary, such as
    SentencePiece's, in which they are words as well.)
    """

    def __init__(self, tokenizer: Any, seq2seq: bool) -> None:
        self.tokenizer, self.seq2seq = tokenizer, seq2seq
        self._frames: dict[tuple[str, ...], list[int]] = {}

    def prompt(self, messages: Messages) -> list[int]:
        """Chat messages as token ids, by the tokenizer's chat template or else as plain text."""
        ids = self._whole(messages)
        if any(spelling in turn["content"] for turn in messages for spelling in self._spellings):
            return self._in_parts(messages)
        roles = tuple(turn["role"] for turn in messages)
        if roles not in self._frames:
            frame = self._whole([{**turn, "content": _NEUTRAL} for turn in messages])
            self._frames[roles] = self._control_of(frame)
        return ids if self._control_of(ids) == self._frames[roles] else self._in_parts(messages)

    def text_ids(self, text: str) -> list[int]:
        """A text by itself, such as one that stands in an answer, as token ids without any control token."""
        found: list[int] = []
        for token in self._ids(text, split_special_tokens=True):
            if token not in self._control:
                found.append(token)
                continue
            for letter in str(self.tokenizer.convert_ids_to_tokens(token)):
                pieces = self._ids(letter, split_special_tokens=True)
                found += [piece for piece in pieces if piece not in self._control]
        return found

    def _ids(self, text: str, add_special_tokens: bool = False, **how: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens, **how)["input_ids"])

    def _whole(self, messages: Messages) -> list[int]:
        return self._ids(self._render(messages), add_special_tokens=not self.tokenizer.chat_template)

    def _in_parts(self, messages: Messages) -> list[int]:
        marked = [{**turn, "content": f"\uf8f0{place}\uf8f1"} for place, turn in enumerate(messages)]
        ids: list[int] = []
        for place, piece in enumerate(_PLACE.split(self._render(marked))):
            ids += self.text_ids(messages[int(piece)]["content"]) if place % 2 else self._ids(piece)
        before, after = self._around
        return [*before, *ids, *after]

    def _render(self, messages: Messages) -> str:
        if not self.tokenizer.chat_template:
            return _plain(messages, self.seq2seq)
        from jinja2 import TemplateError

        try:
            return self._templated(messages)
        except TemplateError:  # templates without a system's role
            return self._templated(_without_system(messages))

    def _templated(self, messages: Messages) -> str:
        rendered = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=False
        )
        return str(rendered)

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text of its own accord; nothing beside a template."""
        if self.tokenizer.chat_template:
            return [], []
        bare = self._ids(_NEUTRAL)
        whole = self._ids(_NEUTRAL, add_special_tokens=True)
        start = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        return whole[:start], whole[start + len(bare) :]

    def _control_of(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self._control]

    @cached_property
    def _control(self) -> frozenset[int]:
        """Special tokens, and of the other added ones those that the template writes, or that look like it.

        Not the token for what the vocabulary lacks, which any text may have, unless it has another part too.
        """
        tokenizer = self.tokenizer
        turns = [{"role": role, "content": _NEUTRAL} for role in _ROLES]
        shown = str(tokenizer.chat_template or "") + self._render(turns)
        control = {int(token) for token in tokenizer.all_special_ids}
        for token, added in tokenizer.added_tokens_decoder.items():
            if added.special or (added.content in shown and not added.content.isspace()):
                control.add(int(token))
        marks = {_mark(self._added[token]) for token in control if token in self._added} - {""}
        control |= {token for token, content in self._added.items() if _mark(content) in marks}
        parts = [value for name, value in tokenizer.special_tokens_map.items() if name != "unk_token"]
        if tokenizer.unk_token not in parts and tokenizer.unk_token_id in self._ids(_FOREIGN):
            control.discard(tokenizer.unk_token_id)
        return frozenset(control)

    @cached_property
    def _spellings(self) -> tuple[str, ...]:
        spellings = self.tokenizer.convert_ids_to_tokens(sorted(self._control))
        return tuple(spelling for spelling in spellings if spelling)

    def decode(self, ids: Sequence[int]) -> str:
        """Token ids as text, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to the text; none for special tokens and unknown ids."""
        if token in self._special:
            return b""
        if token in self._added:  # as it is, whatever the vocabulary's own tokens look like
            return self._added[token].encode("utf-8")
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""
        if self._byte_level:
            table = _byte_table()
            return bytes(table[letter] for letter in piece if letter in table)
        if len(piece) == 6 and piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        return str(piece).replace("▁", " ").encode("utf-8")

    @cached_property
    def ids_by_bytes(self) -> dict[bytes, int]:
        """From a token's bytes to its id; of several the last, so that a letter isn't its bare byte."""
        pairs = ((self.token_bytes(token), token) for token in range(len(self.tokenizer)))
        return {text: token for text, token in pairs if text}

    @cached_property
    def _added(self) -> dict[int, str]:
        return {int(token): added.content for token, added in self.tokenizer.added_tokens_decoder.items()}

    @cached_property
    def _special(self) -> set[int]:
        return set(self.tokenizer.all_special_ids)

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel" in json.dumps(json.loads(self.tokenizer.backend_tokenizer.to_str())["decoder"])


def _mark(token: str) -> str:
    """The signs that a control token begins with, as `<|` in `<|user|>`; empty where one sign is all."""
    signs = token[: next((place for place, letter in enumerate(token) if letter.isalnum()), len(token))]
    return signs.strip() if len(signs.strip()) > 1 else ""


def _without_system(messages: Messages) -> list[dict[str, str]]:
    first, second, *others = messages
    return [{"role": "user", "content": f"{first['content']}\n\n{second['content']}"}, *others]


def _plain(messages: Messages, seq2seq: bool) -> str:
    names = {"user": "Message: ", "assistant": "Answer: "}
    text = "\n\n".join(f"{names.get(turn['role'], '')}{turn['content']}" for turn in messages)
    return text if seq2seq else f"{text}\n\nAnswer: "


def _byte_table() -> dict[str, int]:
    """Which byte each letter of a byte-level vocabulary stands for (Radford et al. 2019)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {chr(byte): byte for byte in shown}
    return table | {chr(256 + place): byte for place, byte in enumerate(hidden)}
