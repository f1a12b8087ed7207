"""What students that write have in common while they learn."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from tutelage.config import StudentConfig
from tutelage.errors import DataError
from tutelage.generation import LanguageModel
from tutelage.records import Value
from tutelage.students._bases import initial_model
from tutelage.students._form import answer_parts, form_of, read_answer
from tutelage.students._tokens import Codec, PairExamples
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
        form = form_of(task, config.template or "own", rationale, prefix)
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
    def examples(self, texts: Sequence[str], answers: Sequence[Sequence[str]], codec: Codec) -> PairExamples:
        """Texts with their answers, in parts, as `codec` puts them into tokens."""

    @property
    def cut(self) -> int:
        """Prompts that were shortened so far."""
        return self.codec.cut

    def encode(
        self, texts: Sequence[str], values: Sequence[Value], rationales: Sequence[str] | None = None
    ) -> PairExamples:
        """Prompts with the answers to be learned, in the student's form; `rationales` where it says them.

        Raises DataError where the tokenizer can't write most of the answers.
        """
        reasons = rationales if rationales is not None else [""] * len(texts)
        form = self.codec.form
        answers = [
            answer_parts(form, self._task, value, reason)
            for value, reason in zip(values, reasons, strict=True)
        ]
        encoded = self.examples(texts, answers, self.codec)
        self._longest = max([self._longest, *(len(pair.answer) for pair in encoded.pairs)])
        self._require_writable(values, encoded)
        return encoded

    def encode_texts(self, texts: Sequence[str], answers: Sequence[str], prefix: str) -> PairExamples:
        """Another task's texts: prompts under a `prefix` of their own, each with a text in answer."""
        form = replace(self.codec.form, prefix=prefix, labels=(), rationale=RationaleMode.NONE)
        return self.examples(
            texts, [(answer,) for answer in answers], Codec(self.codec.model, form, self._config.max_tokens)
        )

    def _require_writable(self, values: Sequence[Value], encoded: PairExamples) -> None:
        decode = self.codec.model.decode
        lost = [
            text
            for value, pair in zip(values, encoded.pairs, strict=True)
            if read_answer(self.codec.form, self._task, text := decode(pair.answer)).value != value
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
        longest = max(_FEWEST_WRITTEN, math.ceil(_HEADROOM * self._longest))
        limits = Limits(self._config.max_tokens, self._config.max_answer_tokens or longest)
        names = labelled.labels if labelled is not None else ()
        return WritingStudent(LanguageModel(model, self._tokenizer), self.codec.form, names, limits)
