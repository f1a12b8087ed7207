"""What a body computes on the way to its last layer, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from tutelage.distillation.taps import Taps
from tutelage.students.architecture import architecture_of

PROJECTIONS = ("query", "key", "value")


@dataclass(frozen=True)
class Layers:
    """Of one batch. Layers are counted as in `layer_maps`: 0 are the embeddings.

    `mask`: bool [batch, tokens], true for real tokens. `states`: [batch, tokens, width] by layer.
    `projections`: the outputs of query, key and value by layer and name. `bias`: what MPNet adds to attention
    scores, else None. `last`: the last layer's states, whatever was asked for; None if read from a cache.
    """

    mask: Tensor
    states: Mapping[int, Tensor]
    projections: Mapping[int, Mapping[str, Tensor]]
    bias: Tensor | None = None
    last: Tensor | None = None


class Reader:
    """Runs a body and takes the states and projections of the layers that are asked for.

    Raises ConfigError for bodies whose layers nobody knows.
    """

    def __init__(
        self,
        body: nn.Module,
        states: Iterable[int] = (),
        projections: Iterable[int] = (),
        whose: str = "the model",
    ) -> None:
        self.architecture = architecture_of(body, whose)
        self.states, self.projections = tuple(states), tuple(projections)
        self._body = body
        names = [self._name_of(layer) for layer in self.states]
        for layer in self.projections:
            names += [getattr(self.architecture.layers[layer - 1], one) for one in PROJECTIONS]
        if self.architecture.position_bias is not None:
            names.append(self.architecture.position_bias)
        self._taps = Taps(body, names)

    def _name_of(self, layer: int) -> str:
        return self.architecture.layers[layer - 1].output if layer else self.architecture.embeddings

    def __call__(self, batch: Mapping[str, Tensor]) -> Layers:
        """Of a batch's `input_ids` and `attention_mask`."""
        with self._taps as taps:
            mask = batch["attention_mask"]
            last = self._body(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
            return Layers(
                mask.bool(),
                {layer: taps[self._name_of(layer)] for layer in self.states},
                {
                    layer: {
                        name: taps[getattr(self.architecture.layers[layer - 1], name)] for name in PROJECTIONS
                    }
                    for layer in self.projections
                },
                None if self.architecture.position_bias is None else taps[self.architecture.position_bias],
                last,
            )
