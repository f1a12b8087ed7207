"""Pairs of answers of which a teacher finds one the better, and the objective that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tutelage.distillation.examples import Arrays, Joined
from tutelage.distillation.objectives import Batch, Objective
from tutelage.distillation.text_objectives import IGNORED, part_of
from tutelage.students._tokens import Pair
from tutelage.students.protocol import Examples

if TYPE_CHECKING:
    from tutelage.records import Value
    from tutelage.students.writing_learner import WritingLearner

SIDES = ("chosen", "rejected")
_AT_ONCE = 32  # answers written or weighed together
Rank = Callable[[Sequence[Pair], Sequence[int]], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Preferences:
    """Answers in tokens to the same prompt: the teacher finds each of `chosen` better than its `rejected`."""

    chosen: tuple[Pair, ...]
    rejected: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.chosen)

    def examples(self, learner: WritingLearner) -> Examples:
        """As `PreferenceObjective` takes them; the learner as it stands is what it is held to."""
        sides = [learner.batched(pairs) for pairs in (self.chosen, self.rejected)]
        reference = np.stack([log_likelihoods(learner.module, side) for side in sides], axis=1)
        return Joined(_Sides(sides), Arrays({"reference": reference.astype(np.float32)}))


class _Sides:
    """Both answers of each pair, a batch's parts by name."""

    def __init__(self, sides: Sequence[Examples]) -> None:
        self._sides = dict(zip(SIDES, sides, strict=True))
        self.lengths: npt.NDArray[np.int64] = sides[0].lengths + sides[1].lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        parts = {name: side.batch(indices) for name, side in self._sides.items()}
        return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.items()}


class PreferenceObjective(Objective):
    """DPO (Rafailov et al. 2023, eq. 7): −log σ(β (log π/π₀ of the chosen − log π/π₀ of the rejected)).

    A batch has `chosen.*` and `rejected.*`, each as `TextObjective` takes it, and `reference`, float32
    [rows, 2], the log-likelihoods of both under π₀. Validation measures `preferred`, the share of pairs
    whose chosen answer gained on the other, and ranks checks by the loss.
    """

    def __init__(self, student: nn.Module, beta: float) -> None:
        super().__init__(student, {"preference": 1.0})
        self._beta = beta

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        found = torch.stack(
            [row_log_likelihoods(self.student, part_of(batch, side)) for side in SIDES], dim=1
        )
        gains = found - batch["reference"]
        margin = self._beta * (gains[:, 0] - gains[:, 1])
        loss = -nn.functional.logsigmoid(margin).sum()
        return (
            {"preference": loss} if self.training else {"preference": loss, "preferred": (margin > 0).sum()}
        )

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: pairs."""
        pairs = torch.tensor(float(len(batch["reference"])))
        return {"preference": pairs, "preferred": pairs}

    def note(self, check: Mapping[str, float]) -> str:
        """See `Objective.note`."""
        return f"loss {check['loss']:.3f}, prefers as the teacher {check['preferred']:.1%}"


def row_log_likelihoods(module: nn.Module, batch: Batch) -> Tensor:
    """The sum of log q over each row's labels, [rows]."""
    inputs = {name: part for name, part in batch.items() if name != "labels"}
    labels = batch["labels"]
    if "decoder_input_ids" not in inputs:
        places = (labels != IGNORED).any(0).nonzero()[:, 0]
        inputs["logits_to_keep"], labels = places, labels[:, places]
    logits = module(**inputs).logits.float()
    losses = nn.functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    return -losses.sum(-1)


@torch.no_grad()
def log_likelihoods(module: nn.Module, examples: Examples) -> npt.NDArray[np.float64]:
    """Of each example's answer, float64 [n], the module evaluating."""
    was_training = module.training
    module.eval()
    device = next(module.parameters()).device
    found = []
    for start in range(0, len(examples), _AT_ONCE):
        batch = examples.batch(np.arange(start, min(start + _AT_ONCE, len(examples))))
        moved = {name: part.to(device) for name, part in batch.items()}
        found.append(row_log_likelihoods(module, moved).double().cpu().numpy())
    module.train(was_training)
    return np.concatenate(found)


def by_likelihood(learner: WritingLearner, teacher: nn.Module) -> Rank:
    """Ranks answers by the teacher's log-probability a token, so that length alone decides nothing."""
    teacher = teacher.to(next(learner.module.parameters()).device)

    def rank(pairs: Sequence[Pair], _: Sequence[int]) -> npt.NDArray[np.float64]:
        sizes = np.array([len(pair.answer) for pair in pairs])
        scores: npt.NDArray[np.float64] = log_likelihoods(teacher, learner.batched(pairs)) / sizes
        return scores

    return rank


def by_agreement(learner: WritingLearner, values: Sequence[Value]) -> Rank:
    """Ranks answers by how close they come to the teacher's, `values`, as the task compares them."""
    return lambda pairs, places: learner.closeness(pairs, [values[place] for place in places])


def ranked(
    learner: WritingLearner,
    given: Sequence[Pair],
    rank: Rank,
    *,
    samples: int,
    temperature: float,
    seed: int,
) -> Preferences:
    """Of each prompt the best and the worst of the teacher's answer (`given`) and of the student's own.

    `rank` takes pairs and the place in `given` of each, and returns a score each, the best the highest. A
    prompt whose answers all have one score is left out. Follows from the student's weights and `seed`.
    """
    candidates, places = list(given), list(range(len(given)))
    for start in range(0, len(given), _AT_ONCE):
        chosen = range(start, min(start + _AT_ONCE, len(given)))
        prompts = [given[place].prompt for place in chosen]
        for number in range(samples):
            drawn = int(np.random.default_rng([seed, start, number]).integers(1 << 62))
            answers = learner.sample(prompts, temperature, drawn)
            candidates += [Pair(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
            places += chosen
    scores = rank(candidates, places)
    by_place: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        by_place.setdefault(place, []).append(index)
    both = [
        (max(group, key=scores.__getitem__), min(group, key=scores.__getitem__))
        for group in by_place.values()
    ]
    kept = [(best, worst) for best, worst in both if scores[best] > scores[worst]]
    return Preferences(
        tuple(candidates[best] for best, _ in kept), tuple(candidates[worst] for _, worst in kept)
    )
