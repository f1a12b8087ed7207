"""TinyBERT (Jiao et al. 2020): all layers of a student of any shape, on all texts and on the task's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tutelage.config import BodyConfig, StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.minilm import require_same_heads
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.schedule import Passes

if TYPE_CHECKING:
    from torch import nn

    from tutelage.distillation.layer_maps import MapName

# The paper's: 3 epochs over Wikipedia; then 10 to 50 over augmented data at 5e-5. Few texts want more.
_GENERAL = Passes(learning_rate=5e-4, batch_size=32, epochs=10, least_steps=1_000, most_steps=100_000)
_INTERMEDIATE = Passes(learning_rate=3e-4, batch_size=32, epochs=10, least_steps=500, most_steps=50_000)
_AT_RANDOM = 1e-3  # of layers of a width of their own, which begin at random; measured in docs/results.md


@dataclass(frozen=True, slots=True)
class TinyBert(OnTheTask):
    """Attention, hidden states and embeddings of all layers of a map; then soft targets for the prediction.

    `general` is on all texts; `intermediate` on those of the transfer set. `layers` is the map, the paper's
    uniform one by default. `copies` are variants made of each text of the transfer set for the task stage,
    which is what the paper calls data augmentation. Both sides need as many attention heads.
    """

    name: ClassVar[str] = "tinybert"

    general: Passes
    intermediate: Passes
    layers: MapName | tuple[tuple[int, int], ...] = "uniform"
    copies: int = 0

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> TinyBert:
        """For a student of this shape; see `SoftTargets.planned`. `student.body` is for both stages."""
        body = config.body or BodyConfig()
        general, intermediate = _GENERAL, _INTERMEDIATE
        if config.hidden_size:
            general, intermediate = (
                replace(stage, learning_rate=_AT_RANDOM) for stage in (general, intermediate)
            )
        return cls(
            SoftTargets.planned(config, examples, other_steps),
            general.configured(config),
            intermediate.configured(config),
            body.layer_map or "uniform",
            body.augmentation or 0,
        )

    def phases(self, material: Material) -> Iterator[Phase]:
        """Three: layers on all texts, layers on the task's, the task."""
        own = material.on_own_body()
        for one in (material, own):
            require_same_heads(one)
        variants, projections = self._variants(material), self._projections(material)
        yield self._stage("general", material, self.general, material.unlabelled, projections)
        if own.body.shape.hidden_size != material.body.shape.hidden_size:
            projections = self._projections(own)
        texts = (*material.learning.texts, *variants)
        stage = self._stage("intermediate", own, self.intermediate, texts, projections)
        yield replace(stage, figures={"augmented": len(variants)} if self.copies else {})
        material.encoder.is_random = False
        yield from self.task.phases(material.answered(variants))

    def _variants(self, material: Material) -> tuple[str, ...]:
        from tutelage.distillation.augmentation import augmented

        if not self.copies:
            return ()
        texts, seed = material.learning.texts, self.general.seed
        held = set(material.validation.texts)
        made = augmented(
            texts, self.copies, material.body, material.encoder, seed, material.kept, material.progress
        )
        return tuple(text for text in made if text not in held)

    def _stage(
        self,
        name: str,
        material: Material,
        passes: Passes,
        texts: tuple[str, ...],
        projections: nn.ModuleDict,
    ) -> Phase:
        from tutelage.distillation.body_objectives import TransformerObjective, transformer_layers
        from tutelage.distillation.layer_maps import layer_map

        learner = material.encoder
        pairs = layer_map(self.layers, len(learner.layers), material.body.depth)
        wanted = transformer_layers(tuple(pair.teacher for pair in pairs))
        teacher = material.teacher_layers(wanted, passes, texts)
        heads = int(material.body.shape.num_attention_heads)
        return Phase(
            name,
            TransformerObjective(learner.body, teacher, pairs, heads, projections),
            teacher.examples(learner.examples(texts), texts),
            teacher.examples(learner.examples(material.validation.texts), material.validation.texts),
            passes.schedule(len(texts)),
            learner.optimizer,
        )

    def _projections(self, material: Material) -> nn.ModuleDict:
        """W_h and W_e where widths differ, from a seed of their own: a run that goes on has the same."""
        import torch
        from torch import nn

        from tutelage.distillation.losses import new_projection

        ours, theirs = material.encoder.body.config.hidden_size, material.body.shape.hidden_size
        if ours == theirs:
            return nn.ModuleDict()
        with torch.random.fork_rng():
            torch.manual_seed(self.general.seed)
            return nn.ModuleDict({part: new_projection(ours, theirs) for part in ("hidden", "embedding")})
