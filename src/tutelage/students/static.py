"""The `static` student: a weight row for every known word, word pair and word piece, summed.

It predicts with numpy alone. While it learns (see `static_learner`) each feature has an embedding and the
head is linear, so both fold into one table [features, labels] when training ends:

    logits = (Σ_f table[f]) / √n + bias,   over the n known features f of the text
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.errors import IntegrityError
from tutelage.students.probabilities import probabilities
from tutelage.students.protocol import read_student_file, refuse_one_text, write_student_file

_WORD = re.compile(r"\w+|[^\w\s]")
_WEIGHTS = "model.safetensors"
_VOCABULARY = "vocabulary.json"


@dataclass(frozen=True, slots=True)
class Features:
    """What a text is turned into. `pieces`: lengths of the character n-grams taken of each word."""

    max_words: int = 256
    pairs: bool = True
    pieces: tuple[int, ...] = (4,)

    @staticmethod
    def words(text: str) -> list[str]:
        """All words and marks of a text, in lower case."""
        return _WORD.findall(text.lower())

    def of(self, text: str) -> list[str]:
        """All features of a text, repeats included, in a fixed order."""
        words = self.words(text)[: self.max_words]
        features = list(words)
        if self.pairs and words:
            features += map(" ".join, zip(["<s>", *words], [*words, "</s>"], strict=True))
        for size in self.pieces:
            for word in words:
                marked = f"<{word}>"
                features += [f"#{marked[i : i + size]}" for i in range(len(marked) - size + 1)]
        return features


class StaticStudent:
    """A trained static student. `table` is float32 [features, labels], `bias` float32 [labels]."""

    family = "static"

    def __init__(
        self,
        labels: Sequence[str],
        multi_label: bool,
        features: Features,
        vocabulary: dict[str, int],
        table: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
    ) -> None:
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self.features = features
        self.vocabulary = vocabulary
        self.table = np.ascontiguousarray(table, dtype=np.float32)
        self.bias = bias.astype(np.float32)

    @classmethod
    def averaged(cls, members: Sequence[StaticStudent]) -> StaticStudent:
        """The mean of students with one vocabulary: an ensemble's mean logits, at the cost of one student."""
        first = members[0]
        return cls(
            first.labels,
            first.multi_label,
            first.features,
            first.vocabulary,
            np.mean([member.table for member in members], axis=0),
            np.mean([member.bias for member in members], axis=0),
        )

    @property
    def parameters(self) -> int:
        """Weights of table and bias."""
        return int(self.table.size + self.bias.size)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Student.predict`."""
        refuse_one_text(texts)
        if len(texts) == 1:
            return self._predict_one(texts[0])[None]
        return np.stack([self._predict_one(text) for text in texts]) if texts else self.table[:0]

    def tempered(self, temperature: float) -> StaticStudent:
        """See `Student.tempered`; the temperature is folded into table and bias."""
        scale = np.float32(1 / temperature)
        table, bias = self.table * scale, self.bias * scale
        return StaticStudent(self.labels, self.multi_label, self.features, self.vocabulary, table, bias)

    def _predict_one(self, text: str) -> npt.NDArray[np.float32]:
        lookup = self.vocabulary.get
        rows = [row for row in map(lookup, self.features.of(text)) if row is not None]
        # take + add.reduce are several times faster than fancy indexing and sum at this size.
        logits: npt.NDArray[np.float32] = self.bias
        if rows:
            summed = np.add.reduce(self.table.take(rows, axis=0), axis=0)
            logits = summed * np.float32(1.0 / math.sqrt(len(rows))) + self.bias
        return probabilities(logits, self.multi_label)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        from safetensors.numpy import save

        storage.write_bytes(folder / _WEIGHTS, save({"table": self.table, "bias": self.bias}))
        storage.write_bytes(
            folder / _VOCABULARY, json.dumps(list(self.vocabulary), ensure_ascii=False).encode()
        )
        write_student_file(
            folder,
            {
                "family": self.family,
                "labels": self.labels,
                "multi_label": self.multi_label,
                "max_words": self.features.max_words,
                "pairs": self.features.pairs,
                "pieces": self.features.pieces,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> StaticStudent:
        """Load what `save` wrote. Raises IntegrityError where parts don't fit each other."""
        from safetensors.numpy import load_file

        about = read_student_file(folder)
        names = storage.read_json(folder / _VOCABULARY)
        weights = load_file(folder / _WEIGHTS)
        shapes = {name: weight.shape for name, weight in weights.items()}
        if shapes != {"table": (len(names), len(about["labels"])), "bias": (len(about["labels"]),)}:
            raise IntegrityError(
                f"{folder}: weights are {shapes}, for {len(names)} features and "
                f"{len(about['labels'])} labels. Mend: train again"
            )
        features = Features(about["max_words"], about["pairs"], tuple(about["pieces"]))
        vocabulary = {name: row for row, name in enumerate(names)}
        return cls(
            about["labels"], about["multi_label"], features, vocabulary, weights["table"], weights["bias"]
        )
