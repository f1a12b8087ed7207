"""A frozen sentence encoder: texts as points, near each other where they mean the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.checkpoints import Weights, quieten_loading, resolve_checkpoint

Floats = npt.NDArray[np.float32]


class SentenceEncoder:
    """Mean-pooled, L2-normalised states of an encoder of transformers. Loaded when first used.

    `device` may be set before (`cpu`, `cuda`); empty: a GPU where there is one. Texts are cut to
    `max_tokens`, and `batch_size` of them are read at a time.
    """

    def __init__(self, weights: Weights, *, max_tokens: int = 128, batch_size: int = 64) -> None:
        self.weights, self.max_tokens, self.batch_size = weights, max_tokens, batch_size
        self.device = ""

    @classmethod
    def named(cls, name: str, folder: Path) -> SentenceEncoder:
        """By an embedded model's name, a folder (relative ones to `folder`) or a hub name.

        Raises as `resolve_checkpoint`: MissingExtraError where an embedded model's package is absent.
        """
        return cls(Weights(resolve_checkpoint(name, folder)).pinned())

    def embed(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, width], each row of length 1."""
        import torch

        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        result = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                batch = self.tokenizer(
                    [texts[index] for index in chosen],
                    padding=True,
                    truncation=True,
                    max_length=self.max_tokens,
                    split_special_tokens=True,  # a text's `[SEP]` is text
                    return_tensors="pt",
                ).to(self.model.device)
                hidden = self.model(**batch).last_hidden_state.float()
                weights = batch["attention_mask"].unsqueeze(-1)
                pooled = (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)
                result[chosen] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        return result

    @property
    def tokenizer(self) -> Any:
        """The encoder's tokenizer."""
        return self._loaded[0]

    @property
    def model(self) -> Any:
        """The encoder itself."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModel, AutoTokenizer

        quieten_loading()
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = AutoModel.from_pretrained(
            self.weights.checkpoint, **self.weights.options, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(self.weights.checkpoint, **self.weights.source)
        return tokenizer, model.eval().to(device)


@dataclass(frozen=True, eq=False)
class Embedding:
    """Work on batches of texts, in whichever process: their points. Each loads the encoder by its name."""

    name: str
    folder: Path

    @classmethod
    def named(cls, name: str, folder: Path) -> Embedding:
        """Raises as `SentenceEncoder.named`, and needn't load the encoder for it."""
        embedding = cls(name, folder.absolute())
        embedding.encoder  # noqa: B018 - raises
        return embedding

    def __call__(self, texts: Sequence[str]) -> Floats:
        """See `SentenceEncoder.embed`."""
        return self.encoder.embed(texts)

    def __getstate__(self) -> dict[str, object]:
        return {"name": self.name, "folder": self.folder}

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The encoder of this process."""
        return SentenceEncoder.named(self.name, self.folder)
