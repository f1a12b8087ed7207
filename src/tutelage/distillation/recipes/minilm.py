"""MiniLM (Wang et al. 2020) and MiniLMv2 (2021): relations of one layer, any width, then the task."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.config import BodyConfig, StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.schedule import Passes
from tutelage.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from tutelage.distillation.layer_maps import LayerPair, MapName
    from tutelage.distillation.teacher_layers import TeacherLayers

# The paper's rate; its 400,000 steps of 1,024 texts are beyond a task's texts.
_PASSES = Passes(learning_rate=5e-4, batch_size=32, epochs=10, least_steps=1_000, most_steps=100_000)
_MOST_HEADS = 48  # of relations, for base-sized teachers


@dataclass(frozen=True, slots=True)
class MiniLM(OnTheTask):
    """Relations between tokens, of the student's last layer and one of the teacher's, then soft targets.

    `layers` is a map of one pair: the student's and the teacher's layer, the last ones by default; of large
    teachers an upper middle one is better. `relation_heads` None: the most, up to 48, that divide both
    widths. `is_first`: the attention and value relations of 2020. `has_assistant`: a model of the teacher's
    depth and the student's width learns first, and teaches the student then (2020, section 3.3).
    """

    name: ClassVar[str] = "minilm"

    body: Passes
    layers: MapName | tuple[tuple[int, int], ...] = "last"
    relation_heads: int | None = None
    is_first: bool = False
    has_assistant: bool = False

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> MiniLM:
        """For a student of this shape; see `SoftTargets.planned`."""
        body = config.body or BodyConfig()
        return cls(
            SoftTargets.planned(config, examples, other_steps),
            _PASSES.configured(config),
            body.layer_map or "last",
            body.relation_heads,
            body.relations == "last-layer",
            bool(body.assistant),
        )

    def phases(self, material: Material) -> Iterator[Phase]:
        """Two or three: the assistant's relations where there is one, the student's, then the task."""
        from tutelage.distillation.layer_maps import LayerPair
        from tutelage.distillation.reading import Reader, Wanted
        from tutelage.distillation.teacher_layers import Online

        learner, depth = material.encoder, material.body.depth
        pair = self._pair(len(learner.layers), depth)
        teacher = material.teacher_layers(Wanted(of_layers=(pair.teacher,)), self.body, material.unlabelled)
        if self.has_assistant:
            assistant = self._assistant(learner.body.config, depth)
            yield self._phase("assistant", material, assistant, teacher, LayerPair(depth, pair.teacher))
            teacher, pair = (
                Online(Reader(assistant, Wanted(of_layers=(depth,)))),
                LayerPair(pair.student, depth),
            )
        yield self._phase("relations", material, learner.body, teacher, pair)
        learner.is_random = False
        yield from self.task.phases(material)

    def _phase(
        self, name: str, material: Material, body: nn.Module, teacher: TeacherLayers, pair: LayerPair
    ) -> Phase:
        from tutelage.distillation.body_objectives import RelationObjective

        learner = material.encoder
        heads = self._heads(material)
        return Phase(
            name,
            RelationObjective(body, teacher, (pair.student, pair.teacher), heads, is_first=self.is_first),
            teacher.examples(learner.examples(material.unlabelled), material.unlabelled),
            teacher.examples(learner.examples(material.validation.texts), material.validation.texts),
            self.body.schedule(len(material.unlabelled)),
            learner.optimizer,
        )

    def _pair(self, student_layers: int, teacher_layers: int) -> LayerPair:
        from tutelage.distillation.layer_maps import layer_map

        pairs = layer_map(self.layers, student_layers, teacher_layers)
        if len(pairs) != 1 or not (pairs[0].student and pairs[0].teacher):
            raise ConfigError(
                f"minilm learns one layer's relations, and student.body.layer_map {self.layers!r} names "
                f"{len(pairs)} of {student_layers}. Mend: last, or one pair of layers from 1 on"
            )
        return pairs[0]

    def _heads(self, material: Material) -> int:
        """Relation heads. Raises ConfigError for numbers that the models' shapes don't allow."""
        student, teacher = material.encoder.body.config, material.body.shape
        if self.is_first:
            require_same_heads(material)
            return int(student.num_attention_heads)
        common = math.gcd(student.hidden_size, teacher.hidden_size)
        heads = self.relation_heads or max(n for n in range(1, _MOST_HEADS + 1) if common % n == 0)
        if common % heads:
            raise ConfigError(
                f"student.body.relation_heads is {heads}, which doesn't divide both widths, the student's "
                f"{student.hidden_size} and the teacher's {teacher.hidden_size}. Mend: a divisor of {common}"
            )
        return heads

    def _assistant(self, shape: Any, depth: int) -> nn.Module:
        """Random, from a seed of its own, so that it is the same in a run that goes on."""
        import torch

        from tutelage.students.bodies import new_body

        shape = copy.deepcopy(shape)
        shape.num_hidden_layers = depth
        with torch.random.fork_rng():
            torch.manual_seed(self.body.seed)
            body: nn.Module = new_body(shape)
        return body


def require_same_heads(material: Material) -> None:
    """Raise ConfigError where attention can't be compared head by head."""
    ours, theirs = material.encoder.body.config.num_attention_heads, material.body.shape.num_attention_heads
    if ours != theirs:
        raise ConfigError(
            f"the student has {ours} attention heads and {material.body.name!r} {theirs}; they are compared "
            f"one by one. Mend: student.heads {theirs}, or recipe minilm with relations multi-head"
        )
