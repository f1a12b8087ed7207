"""A static student that begins with what its teacher's body makes of words (as model2vec does)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Static:
    """Words' embeddings from the body: each alone through it, PCA to the student's width, SIF weights.

    Words are those of all texts and those that are one token to the body, so that a word which the transfer
    set lacks has a meaning too. Pairs and pieces of words begin at nothing. Then soft targets, whose head is
    first fitted to these embeddings.
    """

    task: SoftTargets

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> Static:
        """See `SoftTargets.planned`."""
        return cls(SoftTargets.planned(config, examples, other_steps))

    @property
    def members(self) -> int:
        """See `Recipe`."""
        return self.task.members

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return self.task.steps

    def seeded(self, seed: int) -> Static:
        """See `Recipe`."""
        return replace(self, task=self.task.seeded(seed))

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

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "static", **asdict(self)}
