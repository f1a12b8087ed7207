"""The `local` teacher: a generative model that runs here, causal or sequence to sequence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.checkpoints import Weights, resolve_weights
from tutelage.config import LocalTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.generation import LanguageModel, Written
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage, text_hash
from tutelage.signals import Manifest, TokenLogprobs, pack, token_manifest
from tutelage.tasks import LabelTask, Task, with_labels
from tutelage.teachers._dialect import Finish, Said
from tutelage.teachers._logprobs import Token
from tutelage.teachers._replies import Reading, Reply, combine
from tutelage.teachers._states import KINDS, Origin, halved, hidden_states, layers_of, pooled
from tutelage.teachers._vllm import VllmModel, require_vllm
from tutelage.teachers.protocol import TeacherContext

_RECIPE = "local teacher, v2"  # part of the revision: change it with the code
_SEVERAL = 0.7  # temperature of several samples where none is given
_OPTIONS = 20  # alternatives of a token that a distribution over labels is read from


class LocalTeacher:
    """See `Teacher`. The model is loaded when the first answer is asked for.

    `choose: score` weighs every label: the probability of the answer's whole text with that label, by the
    tokens it is usually written with, over the sum of all labels'. It is exact and always one of the set.
    `choose: generate` reads what the model writes, as of an endpoint: log-probabilities become a distribution
    where there is one sample, votes where there are several. A prompt longer than `max_input_tokens`, or than
    the model has places for, is UNPARSEABLE with the reason.

    It reveals what it makes of a prompt's text, read in its place behind the instruction and the examples;
    their own tokens aren't kept. A text too long to be answered is cut for that.
    """

    name = "local"
    paid = False
    concurrency = 1
    device = ""

    def __init__(self, config: LocalTeacherConfig, context: TeacherContext) -> None:
        """Raises ConfigError where `choose` doesn't fit the task or a GGUF file can't be opened."""
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise MissingExtraError("torch", "train", "the teacher 'local'")
        self._config, self._task, self._top_k = config, context.task, context.top_k
        self._named = resolve_weights(config.model, context.folder, "teacher.model")
        if config.backend == "vllm":
            require_vllm(self._named)
        self._labelled = _scored(config, context)
        self._hidden_layers = context.hidden_layers
        self.reveals = KINDS if config.backend == "transformers" else ()
        self.batch_size = config.batch_size

    @cached_property
    def revision(self) -> str:
        """Follows from weights, tokenizer, chat template, task and settings."""
        settings = self._config.model_dump(exclude={"rights", "batch_size", "model"})
        kept = [self._top_k] if self._top_k else []
        return storage.hash_json([_RECIPE, self._origin.revision, settings, self._task.version, *kept])

    @cached_property
    def _weights(self) -> Weights:
        return self._named.pinned()

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Nothing: it runs here."""
        return 0.0

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`; computed in a thread beside the event loop."""
        return await asyncio.to_thread(self._answers, [prompt.text for prompt in prompts])

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_model", None)

    @cached_property
    def _model(self) -> LanguageModel | VllmModel:
        config = self._config
        if config.backend == "vllm":
            scored = max((len(text.encode()) + 2 for text in self._label_texts), default=0)  # tokens at most
            return VllmModel(
                self._weights.checkpoint,
                self._weights.commit,
                config.dtype,
                places=config.max_input_tokens + max(config.max_output_tokens, scored),
                k=max(self._top_k, _OPTIONS),
                schema=None if config.structured is False else self._task.json_schema(),
                engine=config.engine,
            )
        model = LanguageModel.load(self._weights, self.device, config.dtype)
        if self._labelled is not None:
            model.share(*(model.prompt(self._task.render(text)) for text in ("a", "7")))
        return model

    def _answers(self, texts: Sequence[str]) -> list[Answer]:
        prompts = [self._model.prompt(self._task.render(text)) for text in texts]
        limit = self._limit
        answers = [self._too_long(len(ids), limit) if len(ids) > limit else None for ids in prompts]
        fitting = [place for place, answer in enumerate(answers) if answer is None]
        for start in range(0, len(fitting), self.batch_size):
            chosen = fitting[start : start + self.batch_size]
            batch = [prompts[place] for place in chosen]
            seed = text_hash("\0".join(texts[place] for place in chosen))
            found = self._weighed(batch) if self._labelled is not None else self._written(batch, seed)
            for place, answer in zip(chosen, found, strict=True):
                answers[place] = answer
        return [answer for answer in answers if answer is not None]

    @property
    def _limit(self) -> int:
        """Tokens that a prompt may have."""
        places = self._model.places
        room = places if self._model.seq2seq else places - self._config.max_output_tokens
        if room < 1:
            raise ConfigError(
                f"teacher.max_output_tokens is {self._config.max_output_tokens}, and the model "
                f"{self._config.model!r} has {places} places for prompt and answer together. Mend: lower it"
            )
        return min(self._config.max_input_tokens, room)

    def _too_long(self, length: int, limit: int) -> Answer:
        reason = (
            f"the prompt has {length:,} tokens and {limit:,} are the most (teacher.max_input_tokens "
            f"{self._config.max_input_tokens:,}, and what the model has places for)"
        )
        return Answer(AnswerStatus.UNPARSEABLE, None, reason=reason, model=self._config.model)

    # Scoring

    def _weighed(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
        task = self._labelled
        assert task is not None  # noqa: S101  # `_answers` asks only then
        texts, answers = self._label_answers
        found = []
        for ids in prompts:
            started = time.monotonic()
            logprobs = self._model.weigh(ids, answers)
            odds = np.exp(logprobs - logprobs.max())
            distribution = (odds / odds.sum()).astype(np.float32)
            best = int(distribution.argmax())
            found.append(
                Answer(
                    AnswerStatus.OK,
                    task.decide(distribution[None])[0],
                    distribution,
                    DistributionOrigin.MODEL,
                    raw=texts[best],
                    model=self._config.model,
                    usage=Usage(len(ids), len(answers[best]), latency=time.monotonic() - started, calls=1),
                )
            )
        return found

    @property
    def _label_texts(self) -> list[str]:
        key, task = self._task.answer_key, self._task
        return [f'{{"{key}": {task.label_text(label)}}}' for label in task.labels]

    @cached_property
    def _label_answers(self) -> tuple[list[str], list[list[int]]]:
        """The answer's text with each label, and its tokens."""
        texts = self._label_texts
        answers = [self._model.text_ids(text) for text in texts]
        if len({tuple(ids) for ids in answers}) < len(answers):
            raise ConfigError(
                f"the tokenizer of {self._config.model!r} can't tell some of the task's labels apart. "
                "Mend: use a model whose vocabulary has their letters"
            )
        return texts, answers

    # Writing

    def _written(self, prompts: Sequence[Sequence[int]], seed: str) -> list[Answer]:
        config, task = self._config, self._task
        temperature = config.temperature
        if temperature is None:
            temperature = _SEVERAL if config.samples > 1 else 0.0
        started = time.monotonic()
        written = self._model.write(
            prompts,
            config.max_output_tokens,
            config.samples,
            temperature,
            int(storage.hash_json([seed, config.seed])[:15], 16),
            max(self._top_k, _OPTIONS),
        )
        latency = (time.monotonic() - started) / len(prompts)
        walks = bool(task.labels) and not task.multi_label and config.samples == 1
        reading = Reading(task, config.max_output_tokens, walks)
        answers = []
        for ids, texts in zip(prompts, written, strict=True):
            replies = [
                self._reply(reading, text, Usage(len(ids), len(text.ids), 0.0, latency, 1)) for text in texts
            ]
            answers.append(combine(replies, task))
        return answers

    def _reply(self, reading: Reading, written: Written, usage: Usage) -> Reply:
        model = self._model
        said = Said(
            model.decode(written.ids),
            Finish.DONE if written.ended else Finish.CUT,
            tokens=[self._token(*step) for step in zip(written.options, written.logprobs, strict=True)],
            model=self._config.model,
        )
        reply = reading.reply(said, usage, "")
        return replace(reply, tokens=self._packed(written)) if self._top_k else reply

    def _token(self, options: Any, logprobs: Any) -> Token:
        odds: dict[bytes, float] = {}
        for option, number in zip(options, np.exp(logprobs.astype(np.float64)), strict=True):
            text = self._model.token_bytes(int(option))
            odds[text] = odds.get(text, 0.0) + float(number)
        return Token(self._model.token_bytes(int(options[0])), odds)

    def _packed(self, written: Written) -> bytes:
        """What is kept of the tokens: ids, which say all that an endpoint's bytes do."""
        ids = written.options[:, : self._top_k]
        texts = tuple((b"",) * ids.shape[1] for _ in ids)
        logprobs = np.minimum(written.logprobs[:, : self._top_k], 0.0)
        return pack(TokenLogprobs(texts, np.ascontiguousarray(logprobs), np.ascontiguousarray(ids)))

    # Revealing

    def manifest(self, kind: str) -> Manifest:
        """See `Revealing`: float16 on disk, a row for each token of the text; embeddings are their mean."""
        return self._origin.manifest(kind, self._hidden_layers)

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> list[npt.NDArray[np.float16]]:
        """See `Revealing`. Raises ValueError for a kind that isn't in `reveals`."""
        model = self._model
        if not isinstance(model, LanguageModel):
            raise ValueError(f"teacher.backend {self._config.backend} reveals no {kind}")
        layers = layers_of(kind, self._hidden_layers, model.model.config, self._config.model)
        before, after = self._frame
        room = max(self._limit - before - after, 1)
        rows, kept = [], []
        for prompt in prompts:
            ids = model.prompt(self._task.render(prompt.text))
            end = len(ids) - after
            text = ids[before:end][:room]
            rows.append([*ids[:before], *text, *ids[end:]])
            kept.append(slice(before, before + len(text)) if text else slice(max(end - 1, 0), max(end, 1)))
        states = hidden_states(model.model, rows, layers, self.batch_size)
        texts = [one[part] for one, part in zip(states, kept, strict=True)]
        return [halved(pooled(one) if kind == "embeddings" else one) for one in texts]

    @cached_property
    def _frame(self) -> tuple[int, int]:
        """Tokens that stand before and after a prompt's text whatever it is."""
        one, other = (self._model.prompt(self._task.render(text)) for text in ("a", "7"))
        return _same(one, other), _same(one[::-1], other[::-1])

    def token_manifest(self) -> Manifest:
        """What kept token log-probabilities are made with; loads no weights."""
        task = storage.hash_json(list(self._origin.shown))
        vocabulary = self._origin.vocabulary
        return token_manifest(self.name, self._config.model, self.revision, task, self._top_k, vocabulary)

    @cached_property
    def _origin(self) -> Origin:
        return Origin(
            teacher=self.name,
            model=self._config.model,
            weights=self._weights,
            shown=["the prompt", self._task.version, self._config.max_input_tokens, self._config.dtype],
            templated=True,
        )


def _same(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their beginning."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)


def _scored(config: LocalTeacherConfig, context: TeacherContext) -> LabelTask | None:
    """The task where its labels are to be weighed, None where the model is to write."""
    labelled = with_labels(context.task)
    bare = labelled is not None and not labelled.multi_label and _asks_for_the_label_alone(context.task)
    if config.choose == "score" and not bare:
        raise ConfigError(
            "teacher.choose is score, and the task's answer is more than one label: several labels, reasons, "
            f"or open values (task.type {context.task.kind}). Mend: choose: generate"
        )
    # Kept token log-probabilities are those of a text that the model wrote itself.
    by_default = config.samples == 1 and config.choose is None and not context.top_k
    return labelled if bare and (config.choose == "score" or by_default) else None


def _asks_for_the_label_alone(task: Task) -> bool:
    schema = task.json_schema() or {}
    return list(schema.get("properties", {})) == [task.answer_key]
