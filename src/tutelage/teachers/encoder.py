"""The `encoder` teacher: a frozen sentence encoder with a linear head fitted on gold's training part."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.checkpoints import Weights, resolve_checkpoint
from tutelage.config import EncoderTeacherConfig
from tutelage.errors import DataError, MissingExtraError
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage, dump_value
from tutelage.signals import TEXT_ALONE, Manifest
from tutelage.teachers._states import KINDS, Origin, halved, hidden_states, layers_of
from tutelage.teachers.protocol import TeacherContext, require_label_task
from tutelage.teachers.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    from tutelage.heads import Head

Floats = npt.NDArray[np.float32]

_RECIPE = (
    "mean-pool, l2, logistic head by 3-fold log-loss, v2"  # part of the revision: change it with the code
)
_LEAST_EXAMPLES = 2


class EncoderTeacher:
    """See `Teacher`. The encoder is loaded and the head fitted when the first answer is asked for."""

    name = "encoder"
    paid = False
    concurrency = 1
    device = ""
    reveals = KINDS

    def __init__(self, config: EncoderTeacherConfig, context: TeacherContext) -> None:
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise MissingExtraError("torch", "train", "the teacher 'encoder'")
        if len(context.training) < _LEAST_EXAMPLES:
            raise DataError(
                f"the encoder teacher's head is fitted on gold's training part, which has "
                f"{len(context.training)} examples. Mend: set gold.training with a share"
            )
        self._config, self._training = config, context.training
        self._hidden_layers = context.hidden_layers
        self._task = require_label_task(context.task, "encoder")
        self._checkpoint = resolve_checkpoint(config.model, context.folder)
        self.batch_size = config.batch_size

    @cached_property
    def revision(self) -> str:
        """Follows from the weights, the training part, the task and this recipe, not from the machine."""
        weights = self._origin.revision
        examples = [(item.prompt.text, dump_value(item.value)) for item in self._training]
        return storage.hash_json([_RECIPE, weights, self._config.max_tokens, self._task.version, examples])

    @cached_property
    def _weights(self) -> Weights:
        return Weights(self._checkpoint).pinned()

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Nothing: it runs here."""
        return 0.0

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`; computed in a thread beside the event loop."""
        distributions = await asyncio.to_thread(self.predict, [prompt.text for prompt in prompts])
        values = self._task.decide(distributions)
        return [
            Answer(
                AnswerStatus.OK,
                value,
                row,
                DistributionOrigin.MODEL,
                model=self._config.model,
                usage=Usage(calls=1),
            )
            for value, row in zip(values, distributions, strict=True)
        ]

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_encoder", None)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Probabilities, float32 [n, labels]."""
        head = self._head
        return head.probabilities(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Floats:
        """Mean-pooled, L2-normalised embeddings, float32 [n, width]."""
        return self._encoder.embed(texts)

    def manifest(self, kind: str) -> Manifest:
        """See `Revealing`: float16 on disk; hidden states have a row for each token."""
        return self._origin.manifest(kind, self._hidden_layers)

    @cached_property
    def _origin(self) -> Origin:
        return Origin(
            teacher=self.name,
            model=self._config.model,
            weights=self._weights,
            shown=[TEXT_ALONE, self._config.max_tokens],
            pooling="mean, l2",
        )

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> list[npt.NDArray[np.float16]]:
        """See `Revealing`. Raises ValueError for a kind that isn't in `reveals`."""
        texts = [prompt.text for prompt in prompts]
        tokenizer, model = self._encoder.tokenizer, self._encoder.model
        layers = layers_of(kind, self._hidden_layers, model.config, self._config.model)
        if kind == "embeddings":
            return [halved(row[None]) for row in self.embed(texts)]
        longest = self._config.max_tokens
        rows = tokenizer(texts, truncation=True, max_length=longest, split_special_tokens=True)["input_ids"]
        return [halved(states) for states in hidden_states(model, rows, layers, self.batch_size)]

    @property
    def parameters(self) -> int:
        """Weights of encoder and head."""
        weights = self._encoder.model.parameters()
        return int(sum(weight.numel() for weight in weights)) + self._head.parameters

    @property
    def size_mb(self) -> float:
        """Megabytes of those weights as they stand in memory."""
        weights = self._encoder.model.parameters()
        encoder = sum(weight.numel() * weight.element_size() for weight in weights)
        return float(encoder + 4 * self._head.parameters) / 1e6

    @cached_property
    def _encoder(self) -> SentenceEncoder:
        encoder = SentenceEncoder(
            self._weights, max_tokens=self._config.max_tokens, batch_size=self.batch_size
        )
        encoder.device = self.device
        return encoder

    @cached_property
    def _head(self) -> Head:
        from tutelage.heads import fit_head

        embeddings = self.embed([item.prompt.text for item in self._training])
        targets = self._task.encode([item.value for item in self._training])
        return fit_head(embeddings, targets, multi_label=self._task.multi_label)
