"""A teacher that writes, whose weights score tokens beside a student: loaded when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.checkpoints import Weights, resolve_weights
from tutelage.errors import ConfigError
from tutelage.generation import LanguageModel
from tutelage.signals import Vocabulary, require_same_vocabulary, token_manifest

if TYPE_CHECKING:
    from torch import nn

    from tutelage.students.writing_learner import WritingLearner


@dataclass(frozen=True)
class TokenTeacher:
    """A model under the name that the configuration gives it."""

    name: str
    weights: Weights

    @classmethod
    def at(cls, name: str, folder: Path) -> TokenTeacher:
        """Raises what `resolve_weights` raises."""
        return cls(name, resolve_weights(name, folder, "teacher.model").pinned())

    @cached_property
    def revision(self) -> str:
        """A hash of its weights, which may take seconds."""
        return self.weights.hash

    def load(self, learner: WritingLearner, base: str) -> nn.Module:
        """The model, for a student made from `base`.

        Raises ConfigError where the student counts in other tokens, is asked by another template, or is of
        another kind.
        """
        ours = learner.codec.model
        loaded = LanguageModel.load(self.weights, "", "auto")
        theirs, own = Vocabulary.of(loaded.tokenizer), Vocabulary.of(ours.tokenizer)
        if learner.codec.form.template == "own":  # then nobody's chat template is used
            own = replace(own, template=theirs.template)
        manifest = token_manifest("local", self.name, self.revision, "", 0, theirs)
        require_same_vocabulary(manifest, own, base)
        if loaded.seq2seq != ours.seq2seq:
            kinds = {True: "seq2seq", False: "causal"}
            raise ConfigError(
                f"the teacher {self.name!r} is a {kinds[loaded.seq2seq]} model, and the student made from "
                f"{base!r} a {kinds[ours.seq2seq]} one, which reads prompts otherwise. Mend: student.family "
                f"{kinds[loaded.seq2seq]}, or student.recipe sequence"
            )
        model: nn.Module = loaded.model
        return model
