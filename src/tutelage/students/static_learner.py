"""The `static` student while it learns: summed feature embeddings and a linear head, in torch.

Only the embedding rows of a batch are touched in a step (sparse gradients, SparseAdam), so a step costs the
same however large the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tutelage.config import StudentConfig
from tutelage.students.static import Features, StaticStudent
from tutelage.tasks import LabelTask

_WIDTH = 128
_FEATURE_DROPOUT = 0.2
_HEAD_RATE = 0.5  # of the embeddings' learning rate


@dataclass(frozen=True, slots=True)
class _Bags:
    """Feature rows of all texts in one array; text i owns `rows[offsets[i]:offsets[i + 1]]`."""

    rows: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


class _Network(nn.Module):
    def __init__(self, features: int, labels: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(features, _WIDTH, mode="sum", sparse=True)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.head = nn.Linear(_WIDTH, labels)

    def forward(self, rows: torch.Tensor, offsets: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        pooled = self.embedding(rows, offsets) / counts.clamp_min(1.0).sqrt()[:, None]
        logits: torch.Tensor = self.head(pooled)
        return logits


class StaticLearner:
    """See `Learner`. The vocabulary is every feature of the transfer set's texts."""

    threads: int | None = 1  # steps are so small that a second thread mostly waits

    def __init__(self, config: StudentConfig, task: LabelTask, texts: Sequence[str]) -> None:
        self._task = task
        self._features = Features(max_words=max(1, 2 * config.max_tokens))
        counts = Counter(feature for text in texts for feature in dict.fromkeys(self._features.of(text)))
        self._vocabulary = {feature: row for row, feature in enumerate(counts)}
        torch.manual_seed(config.seed)
        self.module: nn.Module = _Network(max(1, len(self._vocabulary)), len(task.labels))

    def encode(self, texts: Sequence[str]) -> _Bags:
        """Known features of each text."""
        lookup = self._vocabulary.get
        bags = [[row for row in map(lookup, self._features.of(text)) if row is not None] for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])]).astype(np.int64)
        return _Bags(np.fromiter((row for bag in bags for row in bag), np.int64, int(offsets[-1])), offsets)

    def lengths(self, encoded: _Bags) -> npt.NDArray[np.int64]:
        """Features of each text."""
        return np.diff(encoded.offsets)

    def warm_up(self, encoded: _Bags, targets: npt.NDArray[np.float32]) -> None:
        """Nothing: embeddings start from noise, which says nothing of a head."""

    def logits(self, encoded: _Bags, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        """See `Learner.logits`. While the module trains, a share of the features is left out."""
        counts = self.lengths(encoded)[indices]
        bag = np.repeat(np.arange(len(indices)), counts)
        first = np.cumsum(counts) - counts
        rows = encoded.rows[np.arange(len(bag)) - first[bag] + encoded.offsets[indices][bag]]
        if self.module.training:
            # Torch's own generator, whose state is part of a checkpoint.
            kept = torch.rand(len(rows)).numpy() >= _FEATURE_DROPOUT
            rows, counts = rows[kept], np.bincount(bag[kept], minlength=len(indices))
        offsets = np.cumsum(counts) - counts
        logits: torch.Tensor = self.module(
            torch.from_numpy(rows), torch.from_numpy(offsets), torch.from_numpy(counts.astype(np.float32))
        )
        return logits

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """SparseAdam for the embeddings, Adam for the head."""
        network = self.module
        return [
            torch.optim.SparseAdam(list(network.embedding.parameters()), lr=learning_rate),
            torch.optim.Adam(list(network.head.parameters()), lr=_HEAD_RATE * learning_rate),
        ]

    def finished(self) -> StaticStudent:
        """Fold embeddings and head into one table."""
        weights = self.module.state_dict()
        with torch.no_grad():
            table = weights["embedding.weight"] @ weights["head.weight"].T
        return StaticStudent(
            self._task.labels,
            self._task.multi_label,
            self._features,
            dict(self._vocabulary),
            table[: len(self._vocabulary)].numpy(),
            weights["head.bias"].numpy(),
        )
