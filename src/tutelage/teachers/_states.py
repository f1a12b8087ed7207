"""Hidden states of models of transformers, of whichever kind: what teachers that run here reveal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.checkpoints import Weights
from tutelage.errors import ConfigError
from tutelage.signals import Manifest, Vocabulary

KINDS = ("embeddings", "hidden_states")


@dataclass(frozen=True)
class Origin:
    """Where a teacher's signals come from.

    `shown` is all that shapes what the model reads beside the prompt's text, `pooling` how embeddings are
    made of tokens. `templated` tells that the text goes through the chat template.
    """

    teacher: str
    model: str
    weights: Weights
    shown: Sequence[object]
    pooling: str = "mean"
    templated: bool = False

    def manifest(self, kind: str, wanted: Sequence[int]) -> Manifest:
        """Of hidden states of the layers `wanted`, or of embeddings; loads no weights. See `layers_of`."""
        shape, vocabulary = self._shape, self.vocabulary
        layers = layers_of(kind, wanted, shape, self.model)
        return Manifest(
            kind=kind,
            teacher=self.teacher,
            model=self.model,
            revision=self.revision,
            tokenizer=vocabulary.tokenizer,
            task=storage.hash_json(list(self.shown)),
            layers=layers,
            pooling=self.pooling if kind == "embeddings" else "",
            dtype="float16",
            width=int(shape.hidden_size) * len(layers),
            vocabulary=vocabulary.size,
            template=vocabulary.template if self.templated else "",
        )

    @cached_property
    def revision(self) -> str:
        """A hash of the weights, which may take seconds."""
        return self.weights.hash

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's. Out of a GGUF file it takes seconds."""
        from transformers import AutoTokenizer

        return Vocabulary.of(AutoTokenizer.from_pretrained(self.weights.checkpoint, **self.weights.source))

    @cached_property
    def _shape(self) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self.weights.checkpoint, **self.weights.source)


def layers_of(kind: str, wanted: Sequence[int], shape: Any, model: str) -> tuple[int, ...]:
    """The layers that a kind of signal is made of, counted from the embeddings' 0; of embeddings the last.

    `wanted` is `labelling.hidden_layers`, `shape` the configuration of the model. Raises ConfigError for a
    layer that it doesn't have, ValueError for a kind that isn't in `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"a model that runs here reveals {' and '.join(KINDS)}, not {kind!r}")
    count = int(shape.num_hidden_layers)
    if kind == "embeddings":
        return (count,)
    if beyond := [layer for layer in wanted if not -count - 1 <= layer <= count]:
        raise ConfigError(
            f"labelling.hidden_layers has {', '.join(map(str, beyond))}, and the model {model!r} has the "
            f"layers 0 (its embeddings) to {count}, the last of which is also -1. Mend: name some of those"
        )
    return tuple(layer % (count + 1) for layer in wanted)


def hidden_states(
    model: Any, rows: Sequence[Sequence[int]], layers: Sequence[int], batch_size: int
) -> list[npt.NDArray[np.float32]]:
    """For each row of token ids the states of `layers` side by side, float32 [tokens, layers × width].

    Of models of two parts the encoder's; a head on top isn't run.
    """
    import torch

    reader = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    found: dict[int, npt.NDArray[np.float32]] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            ids = torch.zeros(len(chosen), len(rows[chosen[0]]), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for place, index in enumerate(chosen):
                ids[place, : len(rows[index])] = torch.tensor(rows[index])
                mask[place, : len(rows[index])] = 1
            states = reader(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                output_hidden_states=True,
            ).hidden_states
            taken = torch.cat([states[layer].float() for layer in layers], dim=-1).cpu().numpy()
            for place, index in enumerate(chosen):
                found[index] = taken[place, : len(rows[index])]
    return [found[index] for index in range(len(rows))]


def pooled(states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean over tokens as one row, float32 [1, width]."""
    mean: npt.NDArray[np.float32] = states.mean(axis=0, keepdims=True)
    return mean


def halved(states: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """In float16, as signals are kept; what is beyond its range, as some models' few largest, at its end."""
    limit = float(np.finfo(np.float16).max)
    return np.clip(states, -limit, limit).astype(np.float16)
