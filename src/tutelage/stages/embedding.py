"""Texts as points of a sentence encoder, made where the engine has its work done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tutelage.scale import LOCAL, Engine
from tutelage.teachers.sentence_encoder import Embedding

_TEXTS_A_STEP = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """Unit rows of a sentence encoder, in steps of 512 texts, the same whichever engine makes them."""

    embedding: Embedding
    engine: Engine = LOCAL

    @classmethod
    def named(cls, name: str, folder: Path, engine: Engine = LOCAL) -> EmbeddingSpace:
        """Raises as `SentenceEncoder.named`."""
        return cls(Embedding.named(name, folder), engine)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, width], each row of length 1."""
        return np.concatenate(list(self.steps(texts)))

    def steps(self, texts: Sequence[str]) -> Iterator[Floats]:
        """The same step by step. No more than one step of texts is done in this process, by either engine."""
        some = [texts[start : start + _TEXTS_A_STEP] for start in range(0, len(texts), _TEXTS_A_STEP)] or [
            texts
        ]
        engine = self.engine if len(some) > 1 else LOCAL
        return engine.map_batches(self.embedding, some, most=1)
