"""What a teacher's body makes of single words: how a static student of it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA

from tutelage.distillation.teacher_body import TeacherBody
from tutelage.students.bodies import load_tokenizer
from tutelage.students.encoder import TokenExamples, pooled
from tutelage.students.static import Features

Floats = npt.NDArray[np.float32]

_BATCH = 256
_LONGEST_WORD = 16  # tokens; what is longer is no word of a language
_SIF = 1e-3  # a of Arora et al. 2017
_WORD_MARKS = ("Ġ", "▁")  # by which byte-level BPE and SentencePiece begin words


def known_words(body: TeacherBody) -> list[str]:
    """The words that are one token to the body, in lower case, sorted."""
    tokenizer = load_tokenizer(body.checkpoint)
    tokens = set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
    mark = next((mark for mark in _WORD_MARKS if any(token.startswith(mark) for token in tokens)), "")
    begun = (token.removeprefix(mark).lower() for token in tokens if token.startswith(mark))
    return sorted({word for word in begun if Features.words(word) == [word]})


@lru_cache(maxsize=1)  # the members of an ensemble ask for the same ones
def word_vectors(body: TeacherBody, words: tuple[str, ...], width: int) -> Floats:
    """Each word alone through the body, mean pooled, on the first `width` principal components.

    Float32 [words, width]; what the body has no components for is 0. As model2vec makes token embeddings.
    """
    states = _states(body, words)
    components = min(width, *states.shape)
    reduced = np.zeros((len(words), width), np.float32)
    reduced[:, :components] = PCA(components, svd_solver="covariance_eigh").fit_transform(states)
    return reduced


def sif_weights(words: Sequence[str], texts: Iterable[str]) -> Floats:
    """a / (a + p(w)) with the words' shares p of `texts`' words: smooth inverse frequency, float32 [words].

    Arora, Liang, Ma 2017, eq. 3.
    """
    counts = Counter(word for text in texts for word in Features.words(text))
    total = max(1, counts.total())
    return np.array([_SIF / (_SIF + counts[word] / total) for word in words], np.float32)


@torch.no_grad()
def _states(body: TeacherBody, words: Sequence[str]) -> Floats:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module: Any = body.load().eval().to(device)
    examples = TokenExamples(load_tokenizer(body.checkpoint), words, _LONGEST_WORD)
    order = np.argsort(examples.lengths, kind="stable")
    states = np.zeros((len(words), body.shape.hidden_size), np.float32)
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        batch = {name: part.to(device) for name, part in examples.batch(rows).items()}
        states[rows] = pooled(module(**batch).last_hidden_state, batch["attention_mask"]).cpu().numpy()
    return states
