"""DistilBERT (Sanh et al. 2019): alternate layers of the teacher, taught on text alone, then the task."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.schedule import Passes
from tutelage.distillation.teacher_body import TeacherBody
from tutelage.errors import ConfigError
from tutelage.students.protocol import Examples

if TYPE_CHECKING:
    from tutelage.distillation.teacher_layers import TeacherLayers
    from tutelage.students.encoder import EncoderLearner

# The released code's, but for the steps: theirs are 3 epochs over Wikipedia and books.
_PASSES = Passes(learning_rate=5e-4, batch_size=32, epochs=3, least_steps=300, most_steps=50_000, warmup=0.05)


@dataclass(frozen=True, slots=True)
class DistilBert(OnTheTask):
    """The triple loss on text, then soft targets.

    Weights and temperature are those of the released training (5, 2 and 1; 2). The student is made of evenly
    spaced layers, 0, 2, 4, 7, 9 and 11 of 12, by its learner.
    """

    name: ClassVar[str] = "distilbert"

    body: Passes
    temperature: float = 2.0
    soft_weight: float = 5.0
    mlm_weight: float = 2.0
    cosine_weight: float = 1.0

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> DistilBert:
        """For a student of this shape; see `SoftTargets.planned`."""
        return cls(SoftTargets.planned(config, examples, other_steps), _PASSES.configured(config))

    def phases(self, material: Material) -> Iterator[Phase]:
        """Two: the language as the teacher sees it, then the task."""
        from tutelage.distillation.body_objectives import LanguageObjective
        from tutelage.students.bodies import tie

        learner, teacher = material.encoder, material.body
        _require_width(learner, teacher)
        head = teacher.load_mlm_head()
        layers = self._layers(material, head is not None)
        yield Phase(
            "language",
            LanguageObjective(
                learner.body,
                layers,
                (len(learner.layers), teacher.depth),
                None if head is None else (tie(copy.deepcopy(head), learner.body), head),
                self._weights(head is not None),
                self.temperature,
            ),
            self._examples(material, layers, material.unlabelled, head is not None),
            self._examples(material, layers, material.validation.texts, head is not None),
            self.body.schedule(len(material.unlabelled)),
            learner.optimizer,
            note=""
            if head
            else f"{teacher.name} has no MLM head: its last states teach, no token is guessed",
        )
        yield from self.task.phases(material)

    def _weights(self, has_head: bool) -> dict[str, float]:
        cosine = {"cosine": self.cosine_weight}
        return {"soft": self.soft_weight, "mlm": self.mlm_weight, **cosine} if has_head else cosine

    def _layers(self, material: Material, is_masked: bool) -> TeacherLayers:
        """The teacher's last states: of masked texts with every batch anew, as masks are."""
        from tutelage.distillation.reading import Reader, Wanted
        from tutelage.distillation.teacher_layers import Online

        wanted = Wanted(states=(material.body.depth,))
        if is_masked:
            return Online(Reader(material.body.load(), wanted))
        return material.teacher_layers(wanted, self.body, material.unlabelled)

    def _examples(
        self, material: Material, layers: TeacherLayers, texts: Sequence[str], has_head: bool
    ) -> Examples:
        from tutelage.distillation.masking import Masked

        learner = material.encoder
        tokens = learner.examples(texts)
        if not has_head:
            return layers.examples(tokens, texts)
        return Masked(tokens, learner.tokenizer, material.body.shape.vocab_size, self.body.seed)


def _require_width(learner: EncoderLearner, teacher: TeacherBody) -> None:
    ours, theirs = learner.body.config.hidden_size, teacher.shape.hidden_size
    if ours != theirs:
        raise ConfigError(
            f"the student is {ours} wide and {teacher.name!r} {theirs}; distilbert makes the student of the "
            "teacher's own layers. Mend: leave student.base out, or use recipe tinybert or minilm"
        )
