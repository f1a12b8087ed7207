"""A teacher's encoder, whose layers teach: where its weights are, loaded when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.checkpoints import quieten_loading, resolve_checkpoint
from tutelage.config import BODY_RECIPES, StudentConfig
from tutelage.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from tutelage.students.encoder import EncoderLearner

Answering = Callable[[Sequence[str]], "npt.NDArray[np.float32]"]
_COMPARED = 200  # texts that both tokenizers split


@dataclass(frozen=True)
class TeacherBody:
    """A checkpoint, under the name that the configuration gives it. Loaded when asked for."""

    name: str
    checkpoint: str

    @classmethod
    def at(cls, name: str, folder: Path) -> TeacherBody:
        """Raises what `resolve_checkpoint` raises."""
        return cls(name, resolve_checkpoint(name, folder))

    @cached_property
    def revision(self) -> str:
        """A hash of its weights where they are a folder on disk, else the hub name."""
        local = Path(self.checkpoint)
        return storage.hash_path(local) if local.is_dir() else self.checkpoint

    @cached_property
    def shape(self) -> Any:
        """Its configuration; loads no weights."""
        from tutelage.students.bodies import load_shape

        return load_shape(self.checkpoint)

    @property
    def depth(self) -> int:
        """Its layers."""
        return int(self.shape.num_hidden_layers)

    def load(self) -> nn.Module:
        """All its layers, without pooler and head."""
        from tutelage.students.bodies import load_body

        quieten_loading()
        body: nn.Module = load_body(self.checkpoint)
        return body

    def load_mlm_head(self) -> nn.Module | None:
        """See `students.bodies.load_mlm_head`."""
        from tutelage.students.bodies import load_mlm_head

        quieten_loading()
        return load_mlm_head(self.checkpoint)

    def require_same_tokens(self, learner: EncoderLearner, texts: Sequence[str]) -> None:
        """Raise ConfigError where the student's tokenizer splits texts otherwise, or into too many tokens."""
        from tutelage.students.bodies import load_tokenizer, longest_input

        ours, theirs = learner.tokenizer, load_tokenizer(self.checkpoint)
        mend = (
            "Mend: leave student.base out, so that the student takes the teacher's; or name in "
            "student.body.teacher a model with the student's tokenizer"
        )
        if ours.get_vocab() != theirs.get_vocab():
            differing = sorted(set(ours.get_vocab().items()) ^ set(theirs.get_vocab().items()))
            raise ConfigError(
                f"the tokenizers of the student and of {self.name!r} number {len(differing):,} tokens "
                f"differently, {differing[0][0]!r} among them; layers can't be compared. {mend}"
            )
        shown = list(texts[:_COMPARED])
        pairs = zip(shown, ours(shown)["input_ids"], theirs(shown)["input_ids"], strict=True)
        if other := next((text for text, one, two in pairs if one != two), None):
            raise ConfigError(
                f"the tokenizers of the student and of {self.name!r} split {other[:60]!r} differently; "
                f"layers can't be compared. {mend}"
            )
        if learner.max_tokens > (longest := longest_input(self.shape)):
            raise ConfigError(
                f"student.max_tokens is {learner.max_tokens}, and {self.name!r} reads {longest} at most. "
                "Mend: lower it"
            )


@dataclass(frozen=True)
class LayerTeaching:
    """What recipes that teach layers have beside the signals.

    `own` names the model that gave the answers, where its layers can be read; `unlabelled` are more texts of
    the kind; `kept` is the folder where what a teacher computes is kept, so that it runs once. Without, it
    runs with every batch. `answers` gives the teacher's distributions of texts, where it runs here.
    """

    own: str | None = None
    unlabelled: Sequence[str] = ()
    kept: Path | None = None
    answers: Answering | None = None

    def bodies(
        self, config: StudentConfig, folder: Path
    ) -> tuple[TeacherBody, TeacherBody | None] | tuple[None, None]:
        """The body whose layers teach, and the answering model's where that is another one.

        The first is the one that the configuration names, else `own`. None for recipes that want none. Raises
        ConfigError where one is wanted and there is none.
        """
        if config.plan not in BODY_RECIPES:
            return None, None
        named = config.body.teacher if config.body else None
        if named is None and self.own is None:
            raise ConfigError(
                f"student.recipe {config.plan} learns from a teacher's layers, and this teacher shows none: "
                "teacher.type encoder and transformers have weights here. Mend: name in student.body.teacher "
                "a checkpoint whose layers teach, e.g. the model that the student is to be a smaller one of; "
                "or student.recipe soft-targets"
            )
        body = TeacherBody.at(str(named or self.own), folder)
        own = None if self.own is None else TeacherBody.at(self.own, folder)
        return body, None if own == body or own is None or own.checkpoint == body.checkpoint else own


NO_LAYERS = LayerTeaching()
