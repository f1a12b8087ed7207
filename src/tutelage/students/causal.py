"""The `causal` student while it learns: a decoder that continues its prompt with the answer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec

from torch import nn

from tutelage.config import LoraConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.students._tokens import CausalExamples, Pair, padding_of
from tutelage.students.writing_learner import WritingLearner


class CausalLearner(WritingLearner):
    """See `WritingLearner`. With `student.lora` only low-rank adapters learn (Hu et al. 2022), and they're
    merged into the weights of the student that it becomes."""

    def _prepared(self, model: nn.Module) -> nn.Module:
        return model if self._config.lora is None else _adapted(model, self._config.lora)

    def _merged(self, module: nn.Module) -> nn.Module:
        if self._config.lora is None:
            return module
        merged: nn.Module = module.merge_and_unload()
        return merged

    def batched(self, pairs: Sequence[Pair]) -> CausalExamples:
        """See `WritingLearner.batched`."""
        return CausalExamples(pairs, padding_of(self.codec.model))


def _adapted(model: nn.Module, lora: LoraConfig) -> nn.Module:
    if find_spec("peft") is None:
        raise MissingExtraError("peft", "lora", "student.lora")
    from peft import LoraConfig as Adapters
    from peft import get_peft_model

    adapters = Adapters(
        r=lora.rank,
        lora_alpha=lora.alpha or 2 * lora.rank,
        target_modules=list(lora.targets) if lora.targets else "all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of names that peft has yet to follow
            adapted: nn.Module = get_peft_model(model, adapters)
    except ValueError as error:
        raise ConfigError(
            f"student.lora.targets {lora.targets}: {error}. Mend: name linear layers"
        ) from error
    return adapted
