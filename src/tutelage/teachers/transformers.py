"""The `transformers` teacher: a sequence-classification model, or zero-shot classification by entailment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.checkpoints import Weights, quieten_loading, resolve_checkpoint
from tutelage.config import TransformersTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage
from tutelage.signals import TEXT_ALONE, Manifest
from tutelage.teachers._states import KINDS, Origin, halved, hidden_states, layers_of, pooled
from tutelage.teachers.protocol import TeacherContext, require_label_task

Floats = npt.NDArray[np.float32]

_RECIPE = "transformers teacher, v3"  # part of the revision: change it with the code


class TransformersTeacher:
    """See `Teacher`. The model is loaded when the first answer is asked for.

    Zero-shot (Yin et al. 2019): the text is the premise, the hypothesis names a label. With one label an
    answer, probabilities are a softmax over the labels' entailment logits; with several, each label's is
    entailment against contradiction.

    Classification: outputs that `label_map` brings to one label share it, probabilities added (one label an
    answer) or the largest taken (several). A model may have outputs that are no label of the task. With one
    label an answer, such an output that is more probable than every label makes the answer OUT_OF_SET; with
    several, outputs are independent and those are left out.
    """

    name = "transformers"
    paid = False
    concurrency = 1
    device = ""
    reveals = KINDS

    def __init__(self, config: TransformersTeacherConfig, context: TeacherContext) -> None:
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise MissingExtraError("torch", "train", "the teacher 'transformers'")
        self._config, self._task = config, require_label_task(context.task, "transformers")
        self._checkpoint = resolve_checkpoint(config.model, context.folder)
        self._hidden_layers = context.hidden_layers
        self.batch_size = config.batch_size

    @cached_property
    def revision(self) -> str:
        """Follows from weights, task and settings."""
        settings = self._config.model_dump(exclude={"rights", "batch_size", "model"})
        return storage.hash_json([_RECIPE, self._origin.revision, settings, self._task.version])

    @cached_property
    def _weights(self) -> Weights:
        return Weights(self._checkpoint).pinned()

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Nothing: it runs here."""
        return 0.0

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`; computed in a thread beside the event loop."""
        return await asyncio.to_thread(self._answers, [prompt.text for prompt in prompts])

    def _answers(self, texts: Sequence[str]) -> list[Answer]:
        distributions, strangers = self._judged(texts)
        return [
            self._out_of_set(stranger)
            if stranger
            else Answer(
                AnswerStatus.OK,
                value,
                row,
                DistributionOrigin.MODEL,
                model=self._config.model,
                usage=Usage(calls=1),
            )
            for value, row, stranger in zip(
                self._task.decide(distributions), distributions, strangers, strict=True
            )
        ]

    def _out_of_set(self, name: str) -> Answer:
        reason = (
            f"{name!r} is not in the label set; where it is one of its labels, map it in teacher.label_map"
        )
        return Answer(
            AnswerStatus.OUT_OF_SET,
            None,
            raw=name,
            reason=reason,
            model=self._config.model,
            usage=Usage(calls=1),
        )

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_model", None)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Probabilities, float32 [n, labels]; with one label an answer they sum to 1 over the task's labels.

        Raises ConfigError where the model's labels don't fit the task's.
        """
        return self._judged(texts)[0]

    def _judged(self, texts: Sequence[str]) -> tuple[Floats, list[str]]:
        """Probabilities as `predict`, and for each text the output that is no label and beats all of them."""
        nobody = [""] * len(texts)
        if self._config.mode == "zero-shot":
            return self._by_entailment(texts), nobody
        outputs = self._outputs
        logits = self._logits(list(texts), None)
        if self._task.multi_label:
            odds = _sigmoid(logits)
            return np.stack([odds[:, columns].max(axis=1) for columns in outputs], axis=1), nobody
        odds = _softmax(logits)
        shares = np.stack([odds[:, columns].sum(axis=1) for columns in outputs], axis=1)
        distributions: Floats = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        known = {column for columns in outputs for column in columns}
        others = [column for column in range(odds.shape[1]) if column not in known]
        if not others:
            return distributions, nobody
        names = self._model[1].config.id2label
        first = odds[:, others].argmax(axis=1)
        wins = odds[:, others].max(axis=1) > shares.max(axis=1)
        strangers = [str(names[others[i]]) if win else "" for i, win in zip(first, wins, strict=True)]
        return distributions, strangers

    def manifest(self, kind: str) -> Manifest:
        """See `Revealing`: float16 on disk; of the text without a hypothesis, a row for each token."""
        return self._origin.manifest(kind, self._hidden_layers)

    @cached_property
    def _origin(self) -> Origin:
        return Origin(
            teacher=self.name,
            model=self._config.model,
            weights=self._weights,
            shown=[TEXT_ALONE, self._config.max_tokens],
        )

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> list[npt.NDArray[np.float16]]:
        """See `Revealing`. Raises ValueError for a kind that isn't in `reveals`."""
        tokenizer, model = self._model
        layers = layers_of(kind, self._hidden_layers, model.config, self._config.model)
        longest = min(self._config.max_tokens, _places(tokenizer, model))
        texts = [prompt.text for prompt in prompts]
        rows = tokenizer(texts, truncation=True, max_length=longest, split_special_tokens=True)["input_ids"]
        states = hidden_states(model, rows, layers, self.batch_size)
        return [halved(pooled(one) if kind == "embeddings" else one) for one in states]

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
        weights = self._weights
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = AutoModelForSequenceClassification.from_pretrained(
            weights.checkpoint, **weights.options, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(weights.checkpoint, **weights.source)
        return tokenizer, model.eval().to(device)

    @cached_property
    def _outputs(self) -> list[list[int]]:
        """The model's outputs for each label of the task."""
        names = self._model[1].config.id2label
        mapped: dict[str, list[int]] = {}
        for index, name in names.items():
            mapped.setdefault(self._config.label_map.get(name, name), []).append(int(index))
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
        if contradicts is not None and self._task.multi_label:
            return _sigmoid(shaped[..., entails] - shaped[..., contradicts])
        return _softmax(shaped[..., entails])

    @cached_property
    def _entailment_outputs(self) -> tuple[int, int | None]:
        """Of entailment and of contradiction; two-way models lack the latter, which only label sets need."""
        outputs = {name.lower(): int(index) for name, index in self._model[1].config.label2id.items()}
        entails = next((index for name, index in outputs.items() if name.startswith("entail")), None)
        contradicts = next((index for name, index in outputs.items() if name.startswith("contra")), None)
        if entails is None or (contradicts is None and self._task.multi_label):
            lacks = "entailment" if entails is None else "contradiction, which task.multi_label needs"
            raise ConfigError(
                f"the model {self._config.model!r} has the labels {sorted(outputs)}, none of {lacks}. "
                "Mend: use a model of natural-language inference, or mode: classification"
            )
        return entails, contradicts

    def _logits(self, texts: list[str], pairs: list[str] | None) -> Floats:
        import torch

        tokenizer, model = self._model
        longest = min(self._config.max_tokens, _places(tokenizer, model))
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
                    max_length=longest,
                    split_special_tokens=True,  # a text's `[SEP]` is text, and begins no hypothesis
                    return_tensors="pt",
                ).to(model.device)
                result[chosen] = model(**batch).logits.float().cpu().numpy()
        return result


def _places(tokenizer: Any, model: Any) -> int:
    """Tokens that a model can read at most: its positions, of which RoBERTa's kin keep some for padding."""
    longest = int(tokenizer.model_max_length)
    positions = getattr(model.config, "max_position_embeddings", None) or longest
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return min(int(positions) - (0 if padding is None else int(padding) + 1), longest)


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    odds: Floats = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return odds


def _sigmoid(logits: Floats) -> Floats:
    odds: Floats = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    return odds
