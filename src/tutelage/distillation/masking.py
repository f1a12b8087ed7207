"""Masked language modelling: which tokens of a batch are hidden, and by what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tutelage.errors import ConfigError
from tutelage.students.encoder import TokenExamples

UNMASKED = -100  # in `masked`, a place where nothing is to be guessed
_SHARE = 0.15
_BY_MASK, _BY_RANDOM = 0.8, 0.1  # the rest stays as it is
_SMOOTHING = 0.7


class Masked:
    """Texts some of whose tokens are to be guessed, as BERT and DistilBERT's code have it.

    Of a batch's tokens 15% are chosen, of which 80% become the mask, 10% any token, 10% stay. Rare tokens are
    chosen more often, with a weight of count^-0.7 (Sanh et al. 2019, `mlm_smoothing`); special ones never.
    A batch has `input_ids` and `attention_mask`, and `masked`, int64 [n, tokens]: what stood there, or
    `UNMASKED`. The choice follows from `seed` and the batch's members alone: members meet others in every
    epoch, so it is another one each time, and the same one in a run that goes on.

    Raises ConfigError where the tokenizer has no mask.
    """

    def __init__(self, tokens: TokenExamples, tokenizer: Any, vocabulary: int, seed: int) -> None:
        if tokenizer.mask_token_id is None:
            raise ConfigError(
                "the student's tokenizer has no mask token, so that nothing can be masked. Mend: a body that "
                "was trained by masked language modelling, such as BERT's"
            )
        self._tokens, self._mask_id, self._vocabulary, self._seed = (
            tokens,
            tokenizer.mask_token_id,
            vocabulary,
            seed,
        )
        counts = np.ones(vocabulary)
        for ids in tokens.ids:
            np.add.at(counts, ids, 1)
        self._weights = counts**-_SMOOTHING
        self._weights[list(tokenizer.all_special_ids)] = 0.0
        self.lengths = tokens.lengths

    def __len__(self) -> int:
        return len(self._tokens)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        batch = self._tokens.batch(indices)
        ids = batch["input_ids"].numpy()
        generator = np.random.default_rng([self._seed, *indices.tolist()])
        weights = np.where(batch["attention_mask"].numpy() > 0, self._weights[ids], 0.0).ravel()
        count = min(math.ceil(_SHARE * self.lengths[indices].sum()), np.count_nonzero(weights))
        # Without replacement, each draw by weight (Efraimidis and Spirakis 2006): the largest log(u) / w.
        with np.errstate(divide="ignore"):
            keys = np.log(generator.random(len(weights))) / weights
        chosen = np.argsort(-keys, kind="stable")[:count]
        masked = np.full(ids.size, UNMASKED, np.int64)
        masked[chosen] = ids.ravel()[chosen]
        kind, random = generator.random(count), generator.integers(self._vocabulary, size=count)
        shown = ids.ravel().copy()
        shown[chosen] = np.where(
            kind < _BY_MASK, self._mask_id, np.where(kind < _BY_MASK + _BY_RANDOM, random, shown[chosen])
        )
        return {
            **batch,
            "input_ids": torch.from_numpy(shown.reshape(ids.shape)),
            "masked": torch.from_numpy(masked.reshape(ids.shape)),
        }
