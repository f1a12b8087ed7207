"""An encoder pruned by importance, round by round, each recovered from the unpruned one (Minitron)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.signals import Signals
from tutelage.errors import ConfigError

if TYPE_CHECKING:
    from tutelage.students.encoder import EncoderLearner
    from tutelage.students.protocol import Student
    from tutelage.students.pruning import Shape

_SAMPLE = 1_024  # texts on which importance is measured, as many as the paper's
_BATCH = 32


@dataclass(frozen=True, slots=True)
class PruneRecover(OnTheTask):
    """Muralidharan et al. 2024 for encoders that answer with labels.

    The vocabulary is cut to what the prompts use. The whole base learns the task; then rounds, each of which
    prunes at most a third of the parameters by importance (activations; for depth 1 - cosine of a layer's
    input and output, the block influence of Men et al. 2024) and learns the unpruned one's distribution on
    all prompts, human labels mixed in as soft targets do. A target of None stays the base's. Without
    `recover` it is pruned first and learns the task's answers alone, in as many steps.
    """

    name: ClassVar[str] = "prune-recover"

    layers: int | None
    hidden_size: int | None
    heads: int | None
    intermediate_size: int | None
    vocabulary: bool
    recover: bool

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> PruneRecover:
        """See `SoftTargets.planned`."""
        return cls(
            SoftTargets.planned(config, examples, other_steps),
            config.layers,
            config.hidden_size,
            config.heads,
            config.intermediate_size,
            vocabulary=config.cuts_vocabulary,
            recover=config.prune is None or config.prune.recover,
        )

    def phases(self, material: Material) -> Iterator[Phase]:
        """The task, then a round after the other; the learner is the same, its network ever smaller."""
        from tutelage.students.pruning import told

        learner = material.encoder
        rounds = self._rounds(learner)
        if self.vocabulary:
            rounds = self._cut_vocabulary(material) or rounds
        if not self.recover:
            for shape in rounds:
                _prune(learner, shape, material)
            (phase,) = self.task.phases(material)
            steps = phase.schedule.steps * (1 + len(rounds))
            figures = told(rounds[-1]) if rounds else {}
            yield replace(phase, schedule=replace(phase.schedule, steps=steps), figures=figures)
            return
        yield from self.task.phases(material)
        unpruned = learner.finished()
        taught = replace(material, learning=_taught_by(unpruned, material))
        for number, shape in enumerate(rounds):
            before = unpruned.parameters if not number else learner.finished().parameters
            _prune(learner, shape, material)
            after = learner.finished().parameters
            (phase,) = self.task.phases(taught)
            yield replace(
                phase,
                name=f"round {number + 1}",
                start=lambda: None,
                figures={**told(shape), "pruned_share": 1 - after / before},
            )

    def _rounds(self, learner: EncoderLearner) -> list[Shape]:
        """Shapes from the base's to the target, the last. Raises ConfigError where that is no smaller one."""
        from tutelage.students.pruning import next_shape, shape_of

        shape = shape_of(learner.body)
        target = self._target(shape)
        rounds = []
        while shape != target:
            shape = next_shape(shape, target, _embedding_rows(learner))
            rounds.append(shape)
        return rounds

    def _target(self, base: Shape) -> Shape:
        from tutelage.students.pruning import Shape

        heads = self.heads or base.heads
        width = self.hidden_size or heads * base.head_size
        target = Shape(
            self.layers or base.layers,
            heads,
            width // heads,
            self.intermediate_size or base.intermediate_size,
        )
        if width % heads:
            raise ConfigError(f"student.hidden_size {width} is no multiple of its {heads} heads")
        for name in ("layers", "heads", "head_size", "intermediate_size"):
            if getattr(target, name) > getattr(base, name):
                raise ConfigError(
                    f"recipe prune-recover makes students smaller, and {name} would be "
                    f"{getattr(target, name)} where the base has {getattr(base, name)}. Mend: lower "
                    f"student.{'hidden_size' if name == 'head_size' else name}"
                )
        return target

    def _cut_vocabulary(self, material: Material) -> list[Shape]:
        """The rounds with the tokens left that any prompt uses; none of the prompts reads another row."""
        from tutelage.students.pruning import keep_tokens
        from tutelage.students.vocabulary import cut_tokenizer, used_tokens

        learner = material.encoder
        texts = [*material.unlabelled, *material.validation.texts]
        kept = used_tokens(learner.tokenizer, texts, learner.max_tokens)
        before = learner.body.config.vocab_size
        keep_tokens(learner.body, kept)
        learner.tokenizer = cut_tokenizer(learner.tokenizer, kept)
        material.progress.note(f"{len(kept):,} of {before:,} tokens are used by the prompts and kept")
        return self._rounds(learner)


def _embedding_rows(learner: EncoderLearner) -> int:
    return sum(
        weight.shape[0] for name, weight in learner.body.embeddings.named_parameters() if weight.ndim > 1
    )


def _prune(learner: EncoderLearner, shape: Shape, material: Material) -> None:
    """The learner's network with its most important parts alone, all of which learn."""
    from tutelage.students.pruning import importance_of, pruned

    texts = material.unlabelled
    chosen = np.sort(np.random.default_rng(0).permutation(len(texts))[:_SAMPLE])
    examples = learner.examples([texts[index] for index in chosen])
    device = next(learner.module.parameters()).device
    batches = (
        {name: part.to(device) for name, part in examples.batch(rows).items()}
        for rows in np.array_split(np.arange(len(examples)), max(1, len(examples) // _BATCH))
    )
    body, width = pruned(learner.body, shape, importance_of(learner.body, batches))
    learner.replace_body(body, width)


def _taught_by(student: Student, material: Material) -> Signals:
    """All prompts with the student's distributions; human labels where the transfer set has them."""
    known = material.learning
    more = [text for text in material.unlabelled if text not in set(known.texts)]
    texts = (*known.texts, *more)
    every = np.ones(len(texts), bool)
    none = np.zeros((len(more), known.gold.shape[1]), np.float32)
    return Signals(
        texts,
        student.predict(texts),
        every,
        every.copy(),
        np.concatenate([known.gold, none]),
        np.concatenate([known.has_gold, np.zeros(len(more), bool)]),
    )
