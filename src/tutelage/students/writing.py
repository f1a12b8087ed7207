"""What `causal` and `seq2seq` students have in common: they write, and they weigh labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tutelage.checkpoints import Weights
from tutelage.errors import IntegrityError
from tutelage.generation import LanguageModel
from tutelage.generation import Written as Steps
from tutelage.records import AnswerStatus
from tutelage.students._form import Form, read_answer
from tutelage.students._tokens import Codec
from tutelage.students.protocol import Written, read_student_file, refuse_one_text, write_student_file
from tutelage.tasks import Parsed, RationaleMode, Task, with_labels

_BATCH_TOKENS = 4096  # of prompts and what is written, over a batch
_LARGEST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """In tokens: of a text, longer ones being cut, and of what is written."""

    text: int
    answer: int


class WritingStudent:
    """A trained student that writes, causal or with encoder and decoder. See `Student` and `Writer`."""

    multi_label = False

    def __init__(
        self,
        model: LanguageModel,
        form: Form,
        names: Sequence[str],
        limits: Limits,
        temperature: float = 1.0,
    ) -> None:
        """`names` are the task's labels in its order, empty where its values are open.

        Labels' log-probabilities are divided by `temperature`.
        """
        self.family = "seq2seq" if model.seq2seq else "causal"
        self.labels = tuple(names)
        self.form, self._limits = form, limits
        self._model = model
        model.model.eval()
        self._codec = Codec(model, form, limits.text)
        self._choices = self._codec.labels
        self._shares = False
        self._temperature = temperature

    @property
    def parameters(self) -> int:
        """Weights, embeddings included."""
        return sum(weight.numel() for weight in self._model.model.parameters())

    def to(self, device: str) -> WritingStudent:
        """Move it to a device such as `cuda`; returns itself."""
        self._model = LanguageModel(self._model.model.to(device), self._model.tokenizer)
        self._shares = False  # what is kept lies on the old device
        return self

    def write(self, texts: Sequence[str], *, max_new_tokens: int | None = None) -> list[Written]:
        """See `Writer.write`; batches are sorted by length."""
        return [texts[0] for texts in self._written(texts, max_new_tokens, 1, 0.0, 0)]

    def sample(
        self,
        texts: Sequence[str],
        *,
        samples: int,
        temperature: float,
        seed: int,
        max_new_tokens: int | None = None,
    ) -> list[list[Written]]:
        """See `Writer.sample`. Raises ValueError for a temperature that isn't above 0."""
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, and samples are drawn above 0. Mend: use write")
        return self._written(texts, max_new_tokens, samples, temperature, seed)

    def read(self, text: str, task: Task) -> Parsed:
        """See `Writer.read`."""
        return read_answer(self.form, task, text)

    def answers(self, texts: Sequence[str], task: Task) -> list[Parsed]:
        """See `Writer.answers`. Of labels the likeliest; what is written else is read by the task."""
        labelled = with_labels(task)
        if labelled is not None and self.form.rationale is RationaleMode.NONE:
            return [Parsed(AnswerStatus.OK, value) for value in labelled.decide(self.predict(texts))]
        return [self.read(written.text, task) for written in self.write(texts)]

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Student.predict`: the likelihood of each label's whole text, over the sum of all labels'.

        Exact, and each by itself, so that neighbours change nothing. A student that reasons first does so,
        and its labels are weighed after its reasons. Raises TypeError for a student without labels.
        """
        refuse_one_text(texts)
        if not self.labels:
            raise TypeError("this student writes open values. Mend: use write or answers")
        rows = np.zeros((len(texts), len(self.labels)))
        prompts = self._prompts(texts, self._limits.answer)
        self._share(prompts)
        for row, prompt, reasons in zip(rows, prompts, self._reasons(texts), strict=True):
            row[:] = self._model.weigh(prompt, [[*reasons, *choice] for choice in self._choices])
        odds = np.exp((rows - rows.max(axis=1, keepdims=True)) / self._temperature)
        distributions: npt.NDArray[np.float32] = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        return distributions

    def tempered(self, temperature: float) -> WritingStudent:
        """See `Student.tempered`; what it writes stays as it is."""
        together = self._temperature * temperature
        return WritingStudent(self._model, self.form, self.labels, self._limits, together)

    def _share(self, prompts: Sequence[list[int]]) -> None:
        """Run what all prompts of the teacher's template begin with once, for good."""
        if self.form.template == "teacher" and prompts and not self._shares:
            self._model.share(*self._prompts(["a", "7"], self._limits.answer))
            self._shares = True

    def _reasons(self, texts: Sequence[str]) -> list[list[int]]:
        """What is said before the label: nothing, or its reasons with the bridge to the answer."""
        if self.form.rationale is not RationaleMode.BEFORE:
            return [[] for _ in texts]
        bridge = self._model.text_ids(self.form.bridge)
        most = max(0, self._limits.answer - len(bridge) - max(map(len, self._choices)))
        written = [list(text.tokens[:-1] if text.ended else text.tokens) for text in self.write(texts)]
        return [[*_until(tokens, bridge)[:most], *bridge] for tokens in written]

    def _prompts(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        room = self._model.places - (0 if self._model.seq2seq else longest)
        return [self._codec.prompt(text, room) for text in texts]

    def _written(
        self, texts: Sequence[str], longest: int | None, samples: int, temperature: float, seed: int
    ) -> list[list[Written]]:
        refuse_one_text(texts)
        most = longest or self._limits.answer
        prompts = self._prompts(texts, most)
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        found: list[list[Written]] = [[] for _ in prompts]
        while order:
            width = len(prompts[order[-1]]) + most
            size = min(_LARGEST_BATCH, max(1, _BATCH_TOKENS // (width * samples)))
            batch, order = order[-size:], order[:-size]
            texts_of = self._model.write(
                [prompts[place] for place in batch], most, samples, temperature, seed + len(order), 1
            )
            for place, some in zip(batch, texts_of, strict=True):
                found[place] = [self._text(steps) for steps in some]
        return found

    def _text(self, steps: Steps) -> Written:
        mean = float(steps.logprobs[:, 0].mean(dtype=np.float64))
        return Written(self._model.decode(steps.ids), mean, steps.ids, steps.ended)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        self._model.model.save_pretrained(folder)
        self._model.tokenizer.save_pretrained(folder)
        about = {
            "family": self.family,
            "labels": self.labels,
            "multi_label": False,
            "max_tokens": self._limits.text,
            "max_answer_tokens": self._limits.answer,
            "form": self.form.to_json(),
            "temperature": self._temperature,
        }
        write_student_file(folder, about)

    @classmethod
    def load(cls, folder: Path) -> WritingStudent:
        """Load what `save` wrote. Raises IntegrityError where parts don't fit each other."""
        about = read_student_file(folder)
        try:
            form = Form.from_json(about["form"])
            limits = Limits(about["max_tokens"], about["max_answer_tokens"])
            temperature = float(about.get("temperature", 1.0))
            model = LanguageModel.load(Weights(str(folder)), "cpu", "float32")
        except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            raise IntegrityError(f"{folder} is damaged: {error}. Mend: train again") from error
        return cls(model, form, about["labels"], limits, temperature)


def _until(tokens: list[int], bridge: list[int]) -> list[int]:
    """What stands before the last `bridge`; all of it where there is none."""
    for place in range(len(tokens) - len(bridge), -1, -1):
        if tokens[place : place + len(bridge)] == bridge:
            return tokens[:place]
    return tokens
