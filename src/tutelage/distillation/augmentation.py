"""Variants of texts, words replaced by a masked language model: TinyBERT (Jiao et al. 2020), Algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutelage import storage
from tutelage.distillation.teacher_body import TeacherBody
from tutelage.errors import ConfigError
from tutelage.progress import Progress
from tutelage.students.encoder import EncoderLearner

_CANDIDATES = 15  # K
_REPLACED = 0.4  # p_t: the share of words that a variant replaces
_BATCH = 64
_BEGINS_A_WORD = ("Ġ", "▁")

Span = tuple[int, int]  # characters of a word


def augmented(
    texts: Sequence[str],
    copies: int,
    body: TeacherBody,
    learner: EncoderLearner,
    seed: int,
    kept: Path | None,
    progress: Progress,
) -> tuple[str, ...]:
    """`copies` variants of each text, none of them a text given, none twice; written to `kept` where given.

    Raises ConfigError where the body has no MLM head.
    """
    key = storage.hash_json([list(texts), copies, body.revision, learner.max_tokens, seed])
    path = kept / "augmented.json" if kept else None
    if path is not None and path.exists() and (found := storage.read_json(path))["key"] == key:
        return tuple(found["texts"])
    words = _Words(body, learner)
    generator = np.random.default_rng(seed)
    made: dict[str, None] = {}
    with progress.track("augmenting", len(texts), "texts") as tracker:
        for text in texts:
            candidates = words.candidates(text)
            made |= dict.fromkeys(_variant(text, candidates, generator) for _ in range(copies))
            tracker.advance(1)
    variants = [text for text in made if text not in set(texts)]
    if path is not None:
        storage.write_json(path, {"key": key, "texts": variants})
    return tuple(variants)


def _variant(text: str, candidates: dict[Span, list[str]], generator: np.random.Generator) -> str:
    parts, at = [], 0
    for (start, end), words in candidates.items():
        if words and generator.random() <= _REPLACED:
            parts += [text[at:start], words[generator.integers(len(words))]]
            at = end
    return "".join([*parts, text[at:]])


class _Words:
    """What could stand in a word's place.

    A word of one piece is masked, and the model's likeliest words are taken. Of a word of several pieces,
    which it would have to guess together, those nearest in meaning are: the paper takes GloVe's neighbours,
    here they are the nearest by the teacher's own embeddings, of which a word of several pieces has the mean.
    """

    def __init__(self, body: TeacherBody, learner: EncoderLearner) -> None:
        head = body.load_mlm_head()
        if head is None:
            raise ConfigError(
                f"student.body.augmentation has words guessed by a masked language model, and {body.name!r} "
                "has no MLM head. Mend: name in student.body.teacher a pretrained checkpoint that has one, "
                "such as bert-base-uncased; or leave augmentation out"
            )
        self._device = next(learner.module.parameters()).device
        self._body, self._head = body.load().to(self._device).eval(), head.to(self._device).eval()
        self._tokenizer, self._max_tokens = learner.tokenizer, learner.max_tokens
        self._names = _whole_words(self._tokenizer)
        self._ids = torch.tensor(sorted(self._names), device=self._device)
        embeddings = self._body.get_input_embeddings().weight.detach()
        self._embeddings = embeddings
        self._units = nn.functional.normalize(embeddings[self._ids], dim=-1)

    @torch.no_grad()
    def candidates(self, text: str) -> dict[Span, list[str]]:
        """For each word, from left to right, up to 15 that aren't it."""
        encoded = self._tokenizer(text, truncation=True, max_length=self._max_tokens)
        ids = torch.tensor(encoded["input_ids"], device=self._device)
        places: dict[Span, list[int]] = {}
        for place, word in enumerate(encoded.word_ids()):
            if word is not None:
                span = encoded.word_to_chars(word)
                places.setdefault((span.start, span.end), []).append(place)
        places = {span: at for span, at in places.items() if text[slice(*span)].isalpha()}
        single = [at[0] for at in places.values() if len(at) == 1]
        guesses = dict(zip(single, self._guessed(ids, single), strict=True))
        return {
            span: self._named(
                guesses[at[0]] if len(at) == 1 else self._units @ self._embeddings[ids[at]].mean(0),
                text[slice(*span)],
            )
            for span, at in places.items()
        }

    def _guessed(self, ids: Tensor, places: list[int]) -> list[Tensor]:
        """Logits of the whole words at each of `places`, it alone masked."""
        found: list[Tensor] = []
        for start in range(0, len(places), _BATCH):
            chosen = torch.tensor(places[start : start + _BATCH], device=self._device)
            rows = torch.arange(len(chosen), device=self._device)
            masked = ids.repeat(len(chosen), 1)
            masked[rows, chosen] = self._tokenizer.mask_token_id
            states = self._body(input_ids=masked, attention_mask=torch.ones_like(masked)).last_hidden_state
            found += self._head(states[rows, chosen])[:, self._ids].unbind()
        return found

    def _named(self, scores: Tensor, word: str) -> list[str]:
        best = scores.topk(min(_CANDIDATES + 1, len(scores))).indices
        names = [self._names[int(self._ids[index])] for index in best]
        return [name for name in names if name.lower() != word.lower()][:_CANDIDATES]


def _whole_words(tokenizer: Any) -> dict[int, str]:
    """The vocabulary's entries that are a word of letters by themselves."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    marked = any(token.startswith(_BEGINS_A_WORD) for token in vocabulary)
    return {
        number: name
        for token, number in vocabulary.items()
        if (name := token.lstrip("".join(_BEGINS_A_WORD))).isalpha()
        and token.startswith(_BEGINS_A_WORD) == marked
    }
