"""Objectives on a body's layers: what DistilBERT, TinyBERT and MiniLM teach before the task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tutelage.distillation.layer_maps import LayerMap
from tutelage.distillation.losses import (
    ForwardKL,
    attention_distribution,
    attention_mse,
    attention_scores,
    completion_cross_entropy,
    hidden_cosine,
    hidden_mse,
    relation,
    score_variance,
    state_variance,
    token_divergence,
)
from tutelage.distillation.masking import UNMASKED
from tutelage.distillation.objectives import Batch, Objective
from tutelage.distillation.reading import Layers, Reader, Wanted
from tutelage.distillation.teacher_layers import TeacherLayers


class BodyObjective(Objective):
    """A student's body beside its teacher's layers; each part of the loss is a mean over tokens.

    A batch has `input_ids` and `attention_mask`, int64 [batch, tokens], and what `teacher.examples` adds.
    """

    def __init__(
        self, body: nn.Module, teacher: TeacherLayers, wanted: Wanted, weights: Mapping[str, float]
    ) -> None:
        super().__init__(body, weights)
        if teacher.module is not None:
            self.keep_frozen(teacher.module)
        self._teacher, self._reader = teacher, Reader(body, wanted)

    def lent(self) -> tuple[object, ...]:
        """See `Objective.lent`: the teacher's layers too."""
        return (*super().lent(), self._teacher)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        ours, theirs = self._reader(batch), self._teacher.layers(batch)
        parts = self.compared(ours, theirs, batch)
        assert ours.last is not None  # noqa: S101  # the student has run
        # Also weights above the layers compared get a gradient, of 0: DistributedDataParallel waits for all.
        first = next(iter(parts))
        return {**parts, first: parts[first] + 0.0 * ours.last.float().sum()}

    @abstractmethod
    def compared(self, ours: Layers, theirs: Layers, batch: Batch) -> dict[str, Tensor]:
        """The sums, by part."""

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: real tokens."""
        return dict.fromkeys(self.weights, batch["attention_mask"].sum().float())


class LanguageObjective(BodyObjective):
    """DistilBERT's triple loss (Sanh et al. 2019, section 3), with the released weights.

    T² KL(teacher ‖ student) of tokens' distributions at `temperature`, over all real tokens; cross-entropy
    with what was masked, over masked tokens; 1 − cosine of the last hidden states. The first two need heads
    from states to logits, and batches of `Masked`. Without them the cosine alone is left.
    """

    def __init__(
        self,
        body: nn.Module,
        teacher: TeacherLayers,
        layers: tuple[int, int],
        heads: tuple[nn.Module, nn.Module] | None,
        weights: Mapping[str, float],
        temperature: float,
    ) -> None:
        """`layers`: the last of student and teacher. `heads`: the student's, which learns; the teacher's."""
        super().__init__(body, teacher, Wanted(states=layers[:1]), weights)
        self._layers, self._temperature = layers, temperature
        self.head: nn.Module | None
        self._teacher_head: nn.Module | None
        self.head, self._teacher_head = heads or (None, None)
        if self._teacher_head is not None:
            self.keep_frozen(self._teacher_head)

    def compared(self, ours: Layers, theirs: Layers, batch: Batch) -> dict[str, Tensor]:
        """See `BodyObjective.compared`."""
        own, taught = ours.states[self._layers[0]], theirs.states[self._layers[1]]
        parts = {"cosine": hidden_cosine(own, taught, ours.mask)}
        if self.head is None or self._teacher_head is None:
            return parts
        logits = self.head(own[ours.mask])
        with torch.no_grad():
            targets = self._teacher_head(taught[ours.mask])
        every = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        divergence = token_divergence(ForwardKL(), logits, targets, every, temperature=self._temperature)
        guessed = batch["masked"][ours.mask]
        return {
            "soft": self._temperature**2 * divergence,
            "mlm": completion_cross_entropy(logits, guessed, guessed != UNMASKED),
            **parts,
        }

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`."""
        counts = super().counts(batch)
        return {**counts, "mlm": (batch["masked"] != UNMASKED).sum().float()} if "mlm" in counts else counts


class TransformerObjective(BodyObjective):
    """TinyBERT's losses on layers (Jiao et al. 2020, eq. 7 to 9), summed over the pairs of a layer map.

    `attention` compares scores before the softmax, `hidden` states and `embedding` embeddings, the latter two
    through learned projections, W_h (one for all layers, as in the paper) and W_e; none if widths agree.

    Each is divided by the teacher's own variance in the batch, layer by layer: these are eq. 11's λ, 1 in the
    paper. A sentence encoder's scores may vary some hundred times as much as its last states do, and with
    equal weights the student would learn the scores alone.
    """

    def __init__(
        self, body: nn.Module, teacher: TeacherLayers, pairs: LayerMap, heads: int, projections: nn.ModuleDict
    ) -> None:
        """`projections`: `hidden` and `embedding`, or nothing. Both sides have `heads` attention heads."""
        ours = transformer_layers(tuple(pair.student for pair in pairs))
        attended = [pair for pair in pairs if pair.student and pair.teacher]
        weights = {"attention": 1.0} if attended else {}
        weights |= {self._part(pair.student): 1.0 for pair in reversed(pairs)}
        super().__init__(body, teacher, ours, weights)
        self._pairs, self._attended, self._heads = pairs, attended, heads
        self.projections = projections

    @staticmethod
    def _part(student: int) -> str:
        return "hidden" if student else "embedding"

    def _projection(self, part: str) -> nn.Module | None:
        return dict(self.projections.items()).get(part)

    def compared(self, ours: Layers, theirs: Layers, batch: Batch) -> dict[str, Tensor]:
        """See `BodyObjective.compared`."""
        parts: dict[str, Tensor] = {}
        for pair in self._attended:
            scores = _scores(theirs, pair.teacher, self._heads)
            loss = attention_mse(_scores(ours, pair.student, self._heads), scores, ours.mask)
            parts["attention"] = parts.get("attention", 0.0) + loss / score_variance(scores, ours.mask)
        for pair in self._pairs:
            part = self._part(pair.student)
            states = theirs.states[pair.teacher]
            loss = hidden_mse(ours.states[pair.student], states, ours.mask, self._projection(part))
            parts[part] = parts.get(part, 0.0) + loss / state_variance(states, ours.mask)
        return parts


def transformer_layers(layers: tuple[int, ...]) -> Wanted:
    """What TinyBERT's losses read of a body at these layers."""
    distinct = tuple(dict.fromkeys(layers))
    return Wanted(distinct, tuple(layer for layer in distinct if layer), ("query", "key"))


class RelationObjective(BodyObjective):
    """MiniLM's relations between a layer of the student and one of the teacher.

    MiniLMv2 (Wang et al. 2021, section 3): KL of the relations of queries, keys and values, split into
    `heads` relation heads. MiniLM (Wang et al. 2020, eq. 5 to 9), with `is_first`: KL of attention
    distributions, and of values' relations, in the models' own heads, `heads` of either.
    """

    def __init__(
        self, body: nn.Module, teacher: TeacherLayers, layers: tuple[int, int], heads: int, *, is_first: bool
    ) -> None:
        """`layers`: the student's and the teacher's."""
        names = ("attention", "value") if is_first else ("query", "key", "value")
        super().__init__(body, teacher, Wanted(of_layers=layers[:1]), dict.fromkeys(names, 1.0))
        self._layers, self._heads = layers, heads

    def compared(self, ours: Layers, theirs: Layers, batch: Batch) -> dict[str, Tensor]:
        """See `BodyObjective.compared`."""
        own, taught = ours.projections[self._layers[0]], theirs.projections[self._layers[1]]
        parts = {
            name: relation((own[name], own[name]), (taught[name], taught[name]), ours.mask, self._heads)
            for name in self.weights
            if name != "attention"
        }
        if "attention" in self.weights:
            student, teacher = self._layers
            parts["attention"] = attention_distribution(
                _scores(ours, student, self._heads), _scores(theirs, teacher, self._heads), ours.mask
            )
        return parts


def _scores(of: Layers, layer: int, heads: int) -> Tensor:
    projections = of.projections[layer]
    return attention_scores(projections["query"], projections["key"], heads, of.bias)
