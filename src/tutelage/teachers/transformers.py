"""The `transformers` teacher: a sequence-classification model, or zero-shot classification by entailment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.checkpoints import quieten_loading, resolve_checkpoint
from tutelage.config import TransformersTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage
from tutelage.teachers.protocol import TeacherContext

Floats = npt.NDArray[np.float32]

_RECIPE = "transformers teacher, v1"  # part of the revision: change it with the code


class TransformersTeacher:
    """See `Teacher`. The model is loaded when the first answer is asked for.

    Zero-shot (Yin et al. 2019): the text is the premise, the hypothesis names a label. With one label an
    answer, probabilities are a softmax over the labels' entailment logits; with several, each label's is
    entailment against contradiction.
    """

    name = "transformers"
    paid = False
    concurrency = 1

    def __init__(self, config: TransformersTeacherConfig, context: TeacherContext) -> None:
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise MissingExtraError("torch", "train", "the teacher 'transformers'")
        self._config, self._task = config, context.task
        self._checkpoint = resolve_checkpoint(config.model, context.folder)
        self.batch_size = config.batch_size

    @cached_property
    def revision(self) -> str:
        """Follows from weights, task and settings."""
        local = Path(self._checkpoint)
        weights = storage.hash_path(local) if local.is_dir() else self._checkpoint
        settings = self._config.model_dump(exclude={"rights", "batch_size", "model"})
        return storage.hash_json([_RECIPE, weights, settings, self._task.version])

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Nothing: it runs here."""
        return 0.0

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`; computed in a thread beside the event loop."""
        distributions = await asyncio.to_thread(self.predict, [prompt.text for prompt in prompts])
        return [
            Answer(
                AnswerStatus.OK,
                value,
                row,
                DistributionOrigin.MODEL,
                model=self._config.model,
                usage=Usage(calls=1),
            )
            for value, row in zip(self._task.decide(distributions), distributions, strict=True)
        ]

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_model", None)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Probabilities, float32 [n, labels].

        Raises ConfigError where the model's labels don't fit the task's.
        """
        if self._config.mode == "zero-shot":
            return self._by_entailment(texts)
        columns = self._columns
        logits = self._logits(list(texts), None)
        if self._task.multi_label:
            return _sigmoid(logits)[:, columns]
        odds = _softmax(logits)[:, columns]
        shares: Floats = odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-12)
        return shares

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        return int(sum(weight.numel() for weight in self._model[1].parameters()))

    @property
    def size_mb(self) -> float:
        """Megabytes of those weights as they stand in memory."""
        weights = self._model[1].parameters()
        return float(sum(weight.numel() * weight.element_size() for weight in weights)) / 1e6

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        quieten_loading()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForSequenceClassification.from_pretrained(self._checkpoint, use_safetensors=True)
        return AutoTokenizer.from_pretrained(self._checkpoint), model.eval().to(device)

    @cached_property
    def _columns(self) -> list[int]:
        """The model's output for each label of the task."""
        names = self._model[1].config.id2label
        mapped = {self._config.label_map.get(name, name): int(index) for index, name in names.items()}
        missing = [label for label in self._task.labels if label not in mapped]
        if missing:
            raise ConfigError(
                f"the model {self._config.model!r} has no output for the task's label(s) {missing}; its "
                f"labels are {sorted(names.values())}. Mend: map them in teacher.label_map"
            )
        return [mapped[label] for label in self._task.labels]

    def _by_entailment(self, texts: Sequence[str]) -> Floats:
        entails, contradicts = self._entailment_outputs
        descriptions = self._task.descriptions or {}
        named = [descriptions.get(label) or label.replace("_", " ") for label in self._task.labels]
        hypotheses = [self._config.hypothesis.replace("{}", name) for name in named]
        pairs = [(text, hypothesis) for text in texts for hypothesis in hypotheses]
        logits = self._logits([text for text, _ in pairs], [hypothesis for _, hypothesis in pairs])
        shaped = logits.reshape(len(texts), len(hypotheses), -1)
        if self._task.multi_label:
            return _sigmoid(shaped[..., entails] - shaped[..., contradicts])
        return _softmax(shaped[..., entails])

    @cached_property
    def _entailment_outputs(self) -> tuple[int, int]:
        outputs = {name.lower(): int(index) for name, index in self._model[1].config.label2id.items()}
        entails = next((index for name, index in outputs.items() if name.startswith("entail")), None)
        contradicts = next((index for name, index in outputs.items() if name.startswith("contra")), None)
        if entails is None or contradicts is None:
            raise ConfigError(
                f"the model {self._config.model!r} has the labels {sorted(outputs)}, none of entailment and "
                "contradiction. Mend: use a model of natural-language inference, or mode: classification"
            )
        return entails, contradicts

    def _logits(self, texts: list[str], pairs: list[str] | None) -> Floats:
        import torch

        tokenizer, model = self._model
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        result = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                batch = tokenizer(
                    [texts[index] for index in chosen],
                    None if pairs is None else [pairs[index] for index in chosen],
                    padding=True,
                    truncation=True if pairs is None else "only_first",
                    max_length=self._config.max_tokens,
                    return_tensors="pt",
                ).to(model.device)
                result[chosen] = model(**batch).logits.float().cpu().numpy()
        return result


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    odds: Floats = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return odds


def _sigmoid(logits: Floats) -> Floats:
    odds: Floats = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    return odds
