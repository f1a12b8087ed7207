"""Prompts and answers of a student that writes, as tokens; and the examples that a trainer batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tutelage.errors import ConfigError
from tutelage.generation import LanguageModel
from tutelage.students._form import Form
from tutelage.tasks import RationaleMode

IGNORED = -100  # the label of a token that no loss counts
_FEWEST_SHOWN = 8  # tokens of the text that are left of it, however long the answer


@dataclass(frozen=True, slots=True)
class Pair:
    """One example in tokens: what the student is shown, and what it is to say, its end included."""

    prompt: list[int]
    answer: list[int]


class Codec:
    """Turns texts into a student's tokens, by its tokenizer and form.

    Marks in a text (`</s>`, `<|im_end|>`) are taken as the letters they are, never as special tokens. A text
    longer than `max_tokens` is cut at its end, as is one that would leave the answer no place; `cut` counts
    them. Answers are never cut.
    """

    def __init__(self, model: LanguageModel, form: Form, max_tokens: int) -> None:
        """Raises ConfigError for a tokenizer that can't end a text."""
        self.model, self.form, self.max_tokens = model, form, max_tokens
        self.cut = 0
        self._tokenizer = model.tokenizer
        end = self._tokenizer.eos_token_id
        if end is None:
            raise ConfigError(
                "the tokenizer of student.base has no token that ends a text. Mend: take a model with one"
            )
        self._end: int = end
        self._before, self._after = self._frame()

    def _frame(self) -> tuple[list[int], list[int]]:
        """What stands before and after a text's own tokens, such as a token of beginning, cue included."""
        own = self.model.text_ids("a")
        framed = list(self._tokenizer("a")["input_ids"])
        place = next((at for at in range(len(framed)) if framed[at : at + len(own)] == own), 0)
        before, after = framed[:place], framed[place + len(own) :]
        if self.model.seq2seq:
            return [*before, *self.model.text_ids(self.form.prefix)], after
        return [*before, *self.model.text_ids(self.form.prefix)], self.model.text_ids(self.form.cue)

    def prompt(self, text: str, room: int) -> list[int]:
        """What the student is shown of `text`, in at most `room` tokens.

        Raises ConfigError where there is no room for the template.
        """
        ids = self.model.text_ids(text)
        if self.form.template == "teacher":
            return self._asked(text, ids, room)
        kept = min(self.max_tokens, room - len(self._before) - len(self._after))
        self._require_shown(kept, ids, room)
        self.cut += len(ids) > kept
        return [*self._before, *ids[:kept], *self._after] or [self._end]  # an encoder can't read nothing

    def _asked(self, text: str, ids: Sequence[int], room: int) -> list[int]:
        """As the teacher is asked; the text shortened until it fits."""
        kept, asked = min(len(ids), self.max_tokens), text
        self.cut += len(ids) > kept
        if kept < len(ids):
            asked = self.model.decode(ids[:kept])
        while len(prompt := self.model.prompt(self.form.messages(asked))) > room:
            self.cut += kept == len(ids)
            kept -= len(prompt) - room
            self._require_shown(kept, ids, room)
            asked = self.model.decode(ids[:kept])
        return prompt

    def _require_shown(self, kept: int, ids: Sequence[int], room: int) -> None:
        if kept < min(len(ids), self.max_tokens, _FEWEST_SHOWN):
            raise ConfigError(
                f"the student's base has {max(room, 0):,} places left for the prompt, and the template needs "
                "more. Mend: a base with more places, shorter answers, or student.template own"
            )

    def answer(self, parts: Sequence[str]) -> list[int]:
        """What the student is to say, part by part, then its end."""
        return [*self.said(parts), self._end]

    def said(self, parts: Sequence[str]) -> list[int]:
        """As `answer`, without the end. Parts of an own form are set apart by a blank."""
        if self.form.template == "own":
            parts = [
                part if self._stands_apart(part, place) else f" {part}" for place, part in enumerate(parts)
            ]
        return [token for part in parts for token in self.model.text_ids(part)]

    def _stands_apart(self, part: str, place: int) -> bool:
        return part == self.form.bridge or (self.model.seq2seq and place == 0)

    @property
    def labels(self) -> list[list[int]]:
        """The tokens of each label as an answer; with what follows it, so that none begins another.

        Raises ConfigError where the tokenizer can't tell them apart.
        """
        form = self.form
        if form.rationale is RationaleMode.BEFORE:
            found = [[*self.model.text_ids(f" {label}"), self._end] for label in form.labels]
        elif form.rationale is RationaleMode.AFTER:
            found = [self.said((label, form.bridge)) for label in form.labels]
        else:
            found = [self.answer((label,)) for label in form.labels]
        if len({tuple(ids) for ids in found}) < len(found):
            raise ConfigError(
                "the tokenizer of student.base can't tell some of the task's labels apart. "
                "Mend: use a base whose vocabulary has their letters"
            )
        return found

    def pairs(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Pair]:
        """Examples in tokens; `answers` are in parts (`form.answer_parts`). Counts the prompts it cuts."""
        return [self.pair(text, self.answer(parts)) for text, parts in zip(texts, answers, strict=True)]

    def pair(self, text: str, answer: list[int]) -> Pair:
        """A text with an answer that is in tokens already, its end included."""
        room = self.model.places - (0 if self.model.seq2seq else len(answer))
        return Pair(self.prompt(text, room), answer)


@dataclass(frozen=True)
class PairExamples(ABC):
    """Pairs that a trainer batches; `lengths` are their tokens, int64 [n], prompt and answer together."""

    pairs: Sequence[Pair]
    padding: int
    lengths: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = [len(pair.prompt) + len(pair.answer) for pair in self.pairs]
        object.__setattr__(self, "lengths", np.array(sizes, np.int64))

    def __len__(self) -> int:
        return len(self.pairs)

    @abstractmethod
    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """The examples at `indices`, as the module's arguments with `labels` beside them."""


@dataclass(frozen=True)
class CausalExamples(PairExamples):
    """Pairs as one sequence each, of which only the answers' tokens are labels; the rest is `IGNORED`."""

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask` and `labels`, int64 [rows, longest], padded at the end.

        Nothing is left to shift: the logits at a place are of the label at the same. What follows an answer's
        last token is nobody's to predict, so it is no input.
        """
        pairs = [self.pairs[index] for index in indices]
        ids, mask = padded([[*pair.prompt, *pair.answer[:-1]] for pair in pairs], self.padding)
        labels, _ = padded([[*[IGNORED] * (len(pair.prompt) - 1), *pair.answer] for pair in pairs], IGNORED)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@dataclass(frozen=True)
class Seq2SeqExamples(PairExamples):
    """Pairs for a student with encoder and decoder, which begins what it writes with the token `start`."""

    start: int = 0

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask` of prompts, `labels` and `decoder_input_ids` of answers.

        Int64 [rows, longest], padded at the end, labels with `IGNORED`; those inputs are the labels shifted
        by one, so that the logits at a place are of the label at the same.
        """
        pairs = [self.pairs[index] for index in indices]
        ids, mask = padded([pair.prompt for pair in pairs], self.padding)
        labels, _ = padded([pair.answer for pair in pairs], IGNORED)
        before, _ = padded([[self.start, *pair.answer[:-1]] for pair in pairs], self.padding)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "decoder_input_ids": before}


def padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens as one tensor padded at the end, and its mask; both int64 [rows, longest]."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def padding_of(model: LanguageModel) -> int:
    """The token that pads; any will do under a mask."""
    given: Any = model.tokenizer.pad_token_id
    return int(given if given is not None else model.tokenizer.eos_token_id)
