"""A static student that begins with what its teacher's body makes of words (as model2vec does)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Static(OnTheTask):
    """Words' embeddings from the body: each alone through it, PCA to the student's width, SIF weights.

    Words are those of all texts and those that are one token to the body, so that a word which the transfer
    set lacks has a meaning too. Pairs and pieces of words begin at nothing. Then soft targets, whose head is
    first fitted to these embeddings.
    """

    name: ClassVar[str] = "static"

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> Static:
        """See `SoftTargets.planned`."""
        return cls(SoftTargets.planned(config, examples, other_steps))

    def phases(self, material: Material) -> Iterator[Phase]:
        """One, from the body's words on."""
        from tutelage.distillation.word_vectors import known_words, sif_weights, word_vectors
        from tutelage.students.static import Features
        from tutelage.students.static_learner import StaticLearner

        learner = material.learner
        if not isinstance(learner, StaticLearner):
            raise ConfigError("this recipe teaches single words. Mend: student.family static")
        own = dict.fromkeys(word for text in material.unlabelled for word in Features.words(text))
        words = tuple(dict.fromkeys([*own, *known_words(material.body)]))
        vectors = word_vectors(material.body, words, learner.width)
        vectors = vectors * sif_weights(words, material.unlabelled)[:, None]
        learner.begin_with(dict(zip(words, vectors, strict=True)))
        for phase in self.task.phases(material):
            yield replace(phase, figures={"words": len(words), "words_of_texts": len(own)})
