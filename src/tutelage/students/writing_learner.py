"""What students that write have in common while they learn."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tutelage.config import StudentConfig
from tutelage.errors import DataError
from tutelage.generation import LanguageModel
from tutelage.records import Value
from tutelage.students._bases import initial_model
from tutelage.students._form import answer_parts, form_of, read_answer
from tutelage.students._tokens import Codec, Pair, PairExamples
from tutelage.students.optimizers import adamw
from tutelage.students.writing import Limits, WritingStudent
from tutelage.tasks import RationaleMode, Task, with_labels

_HEADROOM = 1.25  # of the longest answer learned from: what a student may write
_FEWEST_WRITTEN = 8
_MOST_UNWRITABLE = 0.5  # share of answers from which the tokenizer is the fault


class WritingLearner(ABC):
    """A student that writes, while it learns: a torch module, and its way to put answers into tokens.

    `cut` counts the prompts that were shortened, `unwritable` the answers that the tokenizer can't give back.
    """

    threads: int | None = None

    def __init__(
        self,
        config: StudentConfig,
        task: Task,
        folder: Path,
        *,
        rationale: RationaleMode = RationaleMode.NONE,
        prefix: str = "",
    ) -> None:
        """`rationale` and `prefix` are a recipe's: see `Form`. `folder` is where relative paths start.

        Raises ConfigError where base, task and form don't go together.
        """
        torch.manual_seed(config.seed)
        form = form_of(task, config.asked_as, rationale, prefix)
        base = initial_model(config, folder)
        self.codec = Codec(base, form, config.max_tokens)
        _ = self.codec.labels  # a vocabulary without the labels' letters shows before the first step
        self._task, self._config, self._tokenizer = task, config, base.tokenizer
        self._longest, self.unwritable = 0, 0
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module: nn.Module = self._prepared(base.model).to(device)

    def _prepared(self, model: nn.Module) -> nn.Module:
        """The module that learns."""
        return model

    @abstractmethod
    def _merged(self, module: nn.Module) -> nn.Module:
        """A plain model of transformers out of a copy of the module."""

    @abstractmethod
    def batched(self, pairs: Sequence[Pair]) -> PairExamples:
        """Pairs as the module reads them."""

    @property
    def cut(self) -> int:
        """Prompts that were shortened so far."""
        return self.codec.cut

    def encode(
        self,
        texts: Sequence[str],
        values: Sequence[Value],
        rationales: Sequence[str] | None = None,
        tokens: Sequence[Sequence[int] | None] | None = None,
    ) -> PairExamples:
        """Prompts with the answers to be learned, in the student's form; `rationales` where it says them.

        `tokens` are those of answers that aren't to be put into tokens here, their end included.
        Raises DataError where the tokenizer can't write most of the answers.
        """
        reasons = rationales if rationales is not None else [""] * len(texts)
        known = tokens if tokens is not None else [None] * len(texts)
        form = self.codec.form
        answers = [
            self.codec.answer(answer_parts(form, self._task, value, reason)) if own is None else list(own)
            for value, reason, own in zip(values, reasons, known, strict=True)
        ]
        pairs = [self.codec.pair(text, answer) for text, answer in zip(texts, answers, strict=True)]
        encoded = self.batched(pairs)
        self._longest = max([self._longest, *(len(pair.answer) for pair in encoded.pairs)])
        self._require_writable(values, encoded)
        return encoded

    def encode_texts(self, texts: Sequence[str], answers: Sequence[str], prefix: str) -> PairExamples:
        """Another task's texts: prompts under a `prefix` of their own, each with a text in answer."""
        form = replace(self.codec.form, prefix=prefix, labels=(), rationale=RationaleMode.NONE)
        codec = Codec(self.codec.model, form, self._config.max_tokens)
        return self.batched(codec.pairs(texts, [(answer,) for answer in answers]))

    def reads(self, tokens: Sequence[int], value: Value) -> bool:
        """Whether an answer's tokens say `value` in the student's form; a refusal's, in its words."""
        said = self.codec.model.decode(tokens)
        if isinstance(value, str) and said.strip() == value.strip():
            return True
        return read_answer(self.codec.form, self._task, said).value == value

    def closeness(self, pairs: Sequence[Pair], values: Sequence[Value]) -> npt.NDArray[np.float64]:
        """How close each answer comes to a value as the task compares them, 0 to 1; -1 for what isn't one."""
        form, decode = self.codec.form, self.codec.model.decode
        found = [read_answer(form, self._task, decode(pair.answer)).value for pair in pairs]
        return np.array(
            [
                -1.0 if answer is None else self._task.compare(answer, value).score
                for answer, value in zip(found, values, strict=True)
            ]
        )

    def _require_writable(self, values: Sequence[Value], encoded: PairExamples) -> None:
        lost = [
            self.codec.model.decode(pair.answer)
            for value, pair in zip(values, encoded.pairs, strict=True)
            if not self.reads(pair.answer, value)
        ]
        self.unwritable += len(lost)
        if len(lost) > _MOST_UNWRITABLE * len(values):
            raise DataError(
                f"the tokenizer of student.base can't write {len(lost):,} of {len(values):,} answers: one "
                f"becomes {lost[0][:80]!r}. Mend: a base whose vocabulary has their letters (T5's has no "
                "braces, so that it writes no JSON)"
            )

    def optimizer(self, objective: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        """See `Learner.optimizer`."""
        return adamw(objective, learning_rate)

    def finished(self) -> WritingStudent:
        """A copy of the model as it stands, on the CPU."""
        model = self._merged(copy.deepcopy(self.module).cpu())
        labelled = with_labels(self._task)
        limits = Limits(self._config.max_tokens, self._most_written)
        names = labelled.labels if labelled is not None else ()
        return WritingStudent(LanguageModel(model, self._tokenizer), self.codec.form, names, limits)

    @property
    def _most_written(self) -> int:
        longest = max(_FEWEST_WRITTEN, math.ceil(_HEADROOM * self._longest))
        return self._config.max_answer_tokens or longest

    def sample(self, prompts: Sequence[Sequence[int]], temperature: float, seed: int) -> list[list[int]]:
        """An answer's tokens to each prompt, drawn from the student as it stands; no gradient comes of it.

        At most as many as the finished student may write. The same ones for the same weights and `seed`.
        """
        model = LanguageModel(self.module, self._tokenizer)
        longest = self._most_written
        if not model.seq2seq:
            longest = max(1, min(longest, model.places - max(map(len, prompts))))
        was_training = self.module.training
        self.module.eval()
        try:
            written = model.write(prompts, longest, 1, temperature, seed, 1)
        finally:
            self.module.train(was_training)
        return [list(texts[0].ids) for texts in written]
