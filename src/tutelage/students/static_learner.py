"""The `static` student while it learns: summed feature embeddings and a linear head, in torch.

Only the embedding rows of a batch are touched in a step (sparse gradients, `RowAdam`), so a step costs the
same however large the vocabulary.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tutelage.config import StudentConfig
from tutelage.heads import regress
from tutelage.students.optimizers import RowAdam, Several
from tutelage.students.static import Features, StaticStudent
from tutelage.tasks import LabelTask

_WIDTH = 128
_SPREAD = 0.1  # of embeddings at the beginning
_FEATURE_DROPOUT = 0.2
_HEAD_RATE = 0.5  # of the embeddings' learning rate
_WARM_UP_TEXTS = 4_000
_WARM_UP_STRENGTH = 10.0


@dataclass(frozen=True, slots=True)
class _Bags:
    """Feature rows of all texts in one array; text i owns `rows[offsets[i]:offsets[i + 1]]`."""

    rows: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Features of each text."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """`rows`: int64, one bag after the other; `counts`: int64 [n], the size of each."""
        counts = self.lengths[indices]
        bag = np.repeat(np.arange(len(indices)), counts)
        first = np.cumsum(counts) - counts
        rows = self.rows[np.arange(len(bag)) - first[bag] + self.offsets[indices][bag]]
        return {"rows": torch.from_numpy(rows), "counts": torch.from_numpy(counts)}


class _Network(nn.Module):
    """Summed embeddings over the root of their number, and a head. In training some features are left out."""

    def __init__(self, features: int, labels: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(features, _WIDTH, mode="sum", sparse=True)
        nn.init.normal_(self.embedding.weight, std=_SPREAD)
        self.head = nn.Linear(_WIDTH, labels)

    def forward(self, rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """See `_Bags.batch`; logits float32 [n, labels]."""
        if self.training:
            kept = torch.rand(len(rows), device=rows.device) >= _FEATURE_DROPOUT
            bag = torch.repeat_interleave(counts)
            rows, counts = rows[kept], torch.bincount(bag[kept], minlength=len(counts))
        logits: torch.Tensor = self.head(self.embed(rows, counts))
        return logits

    def embed(self, rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """What the head reads: float32 [n, width]."""
        offsets = counts.cumsum(0) - counts
        summed: torch.Tensor = self.embedding(rows, offsets)
        return summed / counts.clamp_min(1).float().sqrt()[:, None]


class StaticLearner:
    """See `Learner`. The vocabulary is every feature of the transfer set's texts."""

    threads: int | None = 1  # steps are so small that a second thread mostly waits
    width = _WIDTH

    def __init__(self, config: StudentConfig, task: LabelTask, texts: Sequence[str]) -> None:
        self._task = task
        self._features = Features(max_words=max(1, 2 * config.max_tokens))
        counts = Counter(feature for text in texts for feature in dict.fromkeys(self._features.of(text)))
        self._vocabulary = {feature: row for row, feature in enumerate(counts)}
        torch.manual_seed(config.seed)
        self.module: nn.Module = _Network(max(1, len(self._vocabulary)), len(task.labels))
        self._is_random = True

    def begin_with(self, vectors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Begin with these words' vectors, float32 [width], brought to the usual spread.

        Words that the texts lack are known from now on; all other features begin at nothing, and `warm_up`
        fits the head.
        """
        for word in vectors:
            self._vocabulary.setdefault(word, len(self._vocabulary))
        table = torch.zeros(max(1, len(self._vocabulary)), _WIDTH)
        if vectors:
            rows = torch.tensor([self._vocabulary[word] for word in vectors])
            table[rows] = torch.from_numpy(np.stack(list(vectors.values())))
            table *= _SPREAD / table[rows].square().mean().sqrt().clamp_min(1e-12)
        self.module.embedding = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum", sparse=True)
        self._is_random = False

    def examples(self, texts: Sequence[str]) -> _Bags:
        """Known features of each text."""
        lookup = self._vocabulary.get
        bags = [[row for row in map(lookup, self._features.of(text)) if row is not None] for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])]).astype(np.int64)
        return _Bags(np.fromiter((row for bag in bags for row in bag), np.int64, int(offsets[-1])), offsets)

    def warm_up(self, examples: _Bags, targets: npt.NDArray[np.float32]) -> None:
        """Fit the head where embeddings were given; else nothing: noise says nothing of a head.

        Embeddings and head are then brought to scales at which a head begins, their product the same: beside
        a large head the steps that embeddings take would be far too long.
        """
        if self._is_random:
            return
        chosen = np.random.default_rng(0).permutation(len(targets))[:_WARM_UP_TEXTS]
        with torch.no_grad():
            embeddings = self.module.embed(**examples.batch(chosen)).numpy()
        head = regress(embeddings, targets[chosen], _WARM_UP_STRENGTH, self._task.multi_label)
        scale = max(float(np.sqrt(np.mean(head.weight**2))) * math.sqrt(3 * _WIDTH), 1e-6)
        with torch.no_grad():
            self.module.embedding.weight.mul_(scale)
            self.module.head.weight.copy_(torch.from_numpy(head.weight) / scale)
            self.module.head.bias.copy_(torch.from_numpy(head.bias))

    def optimizer(self, objective: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        """Adam; of the embeddings, of those rows alone that a step has read."""
        table = self.module.embedding.weight
        rest = [weight for weight in objective.parameters() if weight is not table]
        return Several([RowAdam(table, learning_rate), torch.optim.Adam(rest, lr=_HEAD_RATE * learning_rate)])

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
