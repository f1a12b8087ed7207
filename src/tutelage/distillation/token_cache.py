"""Kept distributions over tokens, as a student learns from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tutelage.errors import IntegrityError
from tutelage.signals import (
    MEND,
    Manifest,
    TokenLogprobs,
    Vocabulary,
    require_same_vocabulary,
    unpack,
    with_ids,
)
from tutelage.signals.tokens import NO_ID

if TYPE_CHECKING:
    import torch

    from tutelage.records import Value
    from tutelage.students._tokens import PairExamples
    from tutelage.students.writing_learner import WritingLearner


@dataclass(frozen=True)
class TokenCache:
    """The likeliest tokens at each place of answers, row by row, as `signals.pack` made them.

    Empty bytes where a row has none. `manifest` says what they were made with.
    """

    manifest: Manifest
    packed: tuple[bytes, ...]

    def take(self, indices: npt.NDArray[np.int64]) -> TokenCache:
        """The rows at `indices`."""
        return replace(self, packed=tuple(self.packed[index] for index in indices))

    def to_json(self) -> list[Any]:
        """All of it, to be hashed."""
        return [self.manifest.to_json(), hashlib.sha256(b"\0".join(self.packed)).hexdigest()]

    def require_fitting(self, learner: WritingLearner, base: str) -> None:
        """Raise ConfigError where the student, made from `base`, counts in other tokens than the teacher."""
        require_same_vocabulary(self.manifest, Vocabulary.of(learner.codec.model.tokenizer), base)

    def read(self, learner: WritingLearner, values: Sequence[Value]) -> list[TokenLogprobs | None]:
        """Of each row the tokens of an answer that the student's form reads as its value, ids among them.

        None where there are none: a human answered otherwise, the answer kept is another sample's, or its
        tokens aren't in the student's vocabulary. Raises IntegrityError for more alternatives than the
        manifest has, and ids that the vocabulary hasn't.
        """
        return [self._row(learner, packed, value) for packed, value in zip(self.packed, values, strict=True)]

    def _row(self, learner: WritingLearner, packed: bytes, value: Value) -> TokenLogprobs | None:
        if not packed:
            return None
        model = learner.codec.model
        tokens = unpack(packed)
        if tokens.logprobs.shape[1] > self.manifest.k:
            raise IntegrityError(
                f"an answer's tokens have {tokens.logprobs.shape[1]} alternatives, and the manifest of the "
                f"teacher {self.manifest.model!r} says {self.manifest.k} at most. Mend: {MEND}"
            )
        if tokens.ids is None:
            tokens = _ended(with_ids(tokens, model.ids_by_bytes), model.tokenizer.eos_token_id)
        assert tokens.ids is not None  # noqa: S101  # `with_ids` has found them
        if tokens.ids.max(initial=NO_ID) >= len(model.tokenizer):
            raise IntegrityError(
                f"an answer has the token {tokens.ids.max():,}, and the student's tokenizer has "
                f"{len(model.tokenizer):,}. Mend: {MEND}"
            )
        said = tokens.ids[:, 0]
        is_usable = len(said) > 0 and bool((said != NO_ID).all()) and learner.reads(said.tolist(), value)
        return tokens if is_usable else None


def _ended(tokens: TokenLogprobs, end: int) -> TokenLogprobs:
    """An endpoint's tokens, of which the one that ends a text has no bytes to find it by."""
    if not len(tokens) or tokens.ids is None or tokens.texts[-1][0]:
        return tokens
    ids = tokens.ids.copy()
    ids[-1, 0] = end
    return replace(tokens, ids=ids)


class CachedTokens:
    """Examples with the teacher's list at each place that has a label, as `TokenObjective` takes it.

    `rows` are those of the examples, None where a row has no list. What an answer has beyond its list (an
    end that the teacher didn't tell) has none either.
    """

    def __init__(self, examples: PairExamples, rows: Sequence[TokenLogprobs | None]) -> None:
        self._examples = examples
        self._rows = [None if row is None else (row.logprobs, row.ids) for row in rows]
        self._k = max((row.logprobs.shape[1] for row in rows if row is not None), default=1)
        self.lengths = examples.lengths

    def __len__(self) -> int:
        return len(self._examples)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Examples.batch`; with `teacher_logprobs` and `teacher_ids`, [rows, longest, k]."""
        import torch

        from tutelage.distillation.text_objectives import IGNORED

        batch = self._examples.batch(indices)
        shape = (*batch["labels"].shape, self._k)
        logprobs = np.full(shape, -np.inf, np.float32)
        ids = np.full(shape, NO_ID, np.int64)
        for place, index in enumerate(indices):
            row = self._rows[index]
            if row is not None:
                first = int((batch["labels"][place] != IGNORED).nonzero()[0])
                length, width = row[0].shape
                logprobs[place, first : first + length, :width] = row[0]
                ids[place, first : first + length, :width] = row[1]
        return {**batch, "teacher_logprobs": torch.from_numpy(logprobs), "teacher_ids": torch.from_numpy(ids)}
