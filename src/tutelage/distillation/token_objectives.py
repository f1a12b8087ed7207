"""Objectives on the teacher's distribution over each token, from its kept top-k or its own weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tutelage.distillation.losses import (
    Divergence,
    Projection,
    TopK,
    completion_cross_entropy,
    lean_cross_entropy,
    lean_divergence,
    token_divergence,
)
from tutelage.distillation.objectives import Batch, Objective
from tutelage.distillation.text_objectives import IGNORED
from tutelage.students._tokens import Pair, PairExamples

if TYPE_CHECKING:
    from tutelage.students.writing_learner import WritingLearner

# Logits up to which a batch's are made whole. Beyond they are made a few tokens at a time (`losses.lean`),
# which spares memory and costs a product more where text is learned too.
_WHOLE_CELLS = 1 << 26  # 256 MB of float32
_BESIDE = ("labels", "teacher_logprobs", "teacher_ids", "sampled")
Logits: TypeAlias = Tensor | Projection


class TokenObjective(Objective):
    """(1 − w) T² D(teacher, student) + w (−log q of the text), each a mean over its completion tokens.

    White-box distillation of language models: D is a divergence of next-token distributions at temperature T
    (`losses.divergences`), T² keeps its weight when T changes (Hinton et al. 2015). A batch has the module's
    inputs, `labels` as of `TextObjective`, and either `teacher_logprobs` and `teacher_ids` [rows, longest, k]
    (`CachedTokens`), or this has a `teacher`, which reads the same inputs. Places without a list teach by
    their text alone.
    """

    def __init__(
        self,
        student: nn.Module,
        kind: Divergence,
        *,
        text_weight: float,
        temperature: float = 1.0,
        teacher: nn.Module | None = None,
    ) -> None:
        weights = {"divergence": (1.0 - text_weight) * temperature**2, "text": text_weight}
        super().__init__(student, {name: weight for name, weight in weights.items() if weight})
        self._kind, self._temperature = kind, temperature
        if teacher is not None:
            self.keep_frozen(teacher)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        batch = _labelled_places(batch)
        taught, told = self._taught(batch), _told(batch)
        student = logits_of(self.student, batch)
        parts = {}
        if "divergence" in self.weights:
            parts["divergence"] = self._divergence(student, batch, taught)
        if "text" in self.weights:
            loss: Any = lean_cross_entropy if isinstance(student, Projection) else completion_cross_entropy
            parts["text"] = loss(student, batch["labels"], told)
        return parts

    def _divergence(self, student: Logits, batch: Batch, taught: Tensor) -> Tensor:
        teacher: Logits | TopK
        if self.frozen:
            with torch.no_grad():
                teacher = logits_of(self.frozen[0], batch)
            student, teacher = _same_width(student, teacher)
        else:
            teacher = TopK(batch["teacher_logprobs"], batch["teacher_ids"])
        if isinstance(student, Projection):
            return lean_divergence(self._kind, student, teacher, taught, temperature=self._temperature)
        whole = _multiplied(teacher) if isinstance(teacher, Projection) else teacher
        return token_divergence(self._kind, student, whole, taught, temperature=self._temperature)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: completion tokens that have a distribution, and that are text."""
        found = {"divergence": self._taught(batch), "text": _told(batch)}
        return {name: found[name].sum().float() for name in self.weights}

    def _taught(self, batch: Batch) -> Tensor:
        learned = batch["labels"] != IGNORED
        return learned if self.frozen else learned & (batch["teacher_ids"] >= 0).any(-1)

    def note(self, check: Mapping[str, float]) -> str:
        """See `Objective.note`."""
        parts = {name: check.get(name, check["loss"]) for name in self.weights}
        return ", ".join(f"{name} {part:.3f}" for name, part in parts.items())


@dataclass(frozen=True)
class Sampling:
    """How a student writes answers of its own while it learns.

    `pairs` are what it learns from; `share` of a step's, each drawn by itself, get an answer of its own.
    """

    learner: WritingLearner
    pairs: Sequence[Pair]
    share: float
    temperature: float
    seed: int

    def batch(self, indices: Sequence[int], number: int) -> dict[str, Tensor]:
        """The pairs at `indices`, a share of them with an answer of the student's own: those `sampled`.

        All follows from the seed, `number` and the student's weights.
        """
        generator = np.random.default_rng([self.seed, number])
        sampled = generator.random(len(indices)) < self.share
        pairs = [self.pairs[index] for index in indices]
        own = np.flatnonzero(sampled)
        if len(own):
            prompts = [pairs[place].prompt for place in own]
            answers = self.learner.sample(prompts, self.temperature, int(generator.integers(1 << 62)))
            for place, answer in zip(own, answers, strict=True):
                pairs[place] = Pair(pairs[place].prompt, answer)
        batch = self.learner.batched(pairs).batch(np.arange(len(pairs)))
        return {**batch, "sampled": torch.from_numpy(sampled)}


class OnPolicyObjective(TokenObjective):
    """GKD (Agarwal et al. 2024, algorithm 1): `TokenObjective` on answers, a share of them the student's.

    They are written before each step by the student as it then is; no gradient goes through the writing
    (section 3). The text's own part of the loss counts the other rows alone. A batch of those learned from
    has `row`, as `Numbered` gives it; validation is on given answers.
    """

    writes = True

    def __init__(
        self,
        student: nn.Module,
        kind: Divergence,
        sampling: Sampling,
        *,
        text_weight: float,
        temperature: float,
        teacher: nn.Module,
    ) -> None:
        super().__init__(student, kind, text_weight=text_weight, temperature=temperature, teacher=teacher)
        self._sampling = sampling

    def prepared(self, batch: Batch, number: int) -> Batch:
        """See `Objective.prepared`."""
        return self._sampling.batch(batch["row"].tolist(), number)


class Numbered:
    """Examples whose batches say which they are: `row`, int64 [rows], and nothing else."""

    def __init__(self, examples: PairExamples) -> None:
        self.lengths = examples.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        return {"row": torch.from_numpy(indices)}


def logits_of(module: nn.Module, batch: Batch) -> Logits:
    """What a module says at the places of `_labelled_places`: logits [rows, places, vocabulary].

    Where they would be very large, and the module's logits are its head's and nothing else, they are left as
    a `Projection`.
    """
    inputs = {name: part for name, part in batch.items() if name not in _BESIDE}
    head = module.get_output_embeddings()
    cells = batch["labels"].numel() * len(head.weight)
    if type(head) is not nn.Linear or cells <= _WHOLE_CELLS:
        logits: Tensor = module(**inputs).logits
        return logits
    read: list[Tensor] = []
    said: list[Tensor] = []

    def shorten(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        read.append(arguments[0])
        return (arguments[0][:, :1],)

    hooks = [
        head.register_forward_pre_hook(shorten),
        head.register_forward_hook(lambda *given: said.append(given[-1])),
    ]
    try:
        first = module(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()
    if torch.equal(first, said[0]):
        return Projection(read[0], head.weight, head.bias)
    whole: Tensor = module(**inputs).logits  # something is done to them behind the head (Gemma's soft cap)
    return whole


def _labelled_places(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a decoder alone, the places where some row has a label; see `text_objectives.likelihood`."""
    if "decoder_input_ids" in batch:
        return dict(batch)
    places = (batch["labels"] != IGNORED).any(0).nonzero()[:, 0]
    aligned = ("labels", "teacher_logprobs", "teacher_ids")
    kept = {name: batch[name][:, places] for name in aligned if name in batch}
    return {**batch, **kept, "logits_to_keep": places}


def _told(batch: Batch) -> Tensor:
    """Places whose text is learned: labels that the student hasn't written itself."""
    learned = batch["labels"] != IGNORED
    return learned & ~batch["sampled"][:, None] if "sampled" in batch else learned


def _same_width(student: Logits, teacher: Logits) -> tuple[Logits, Logits]:
    """Both without the rows that one head has beyond the other's: padding, which no token belongs to."""
    ours, theirs = (
        len(one.weight) if isinstance(one, Projection) else one.shape[-1] for one in (student, teacher)
    )
    if ours == theirs:
        return student, teacher
    least = slice(min(ours, theirs))
    return _narrowed(student, least), _narrowed(teacher, least)


def _multiplied(side: Projection) -> Tensor:
    return nn.functional.linear(side.hidden, side.weight, side.bias)


def _narrowed(side: Logits, places: slice) -> Logits:
    return side.head(places) if isinstance(side, Projection) else side[..., places]
