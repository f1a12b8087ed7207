"""What a body computes on the way to its last layer, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tutelage.distillation.taps import Taps
from tutelage.students.architecture import architecture_of

QUERY_KEY = ("query", "key")
QUERY_KEY_VALUE = ("query", "key", "value")


@dataclass(frozen=True)
class Wanted:
    """Which parts of a body: `states` of these layers, and the outputs of these `projections` of `of_layers`.

    Layers are counted as in `layer_maps`: 0 are the embeddings. Each part is as wide as the body.
    """

    states: tuple[int, ...] = ()
    of_layers: tuple[int, ...] = ()
    projections: tuple[str, ...] = QUERY_KEY_VALUE

    def __len__(self) -> int:
        return len(self.states) + len(self.of_layers) * len(self.projections)


@dataclass(frozen=True)
class Layers:
    """Of one batch: what was wanted.

    `mask`: bool [batch, tokens], true for real tokens. `states`: [batch, tokens, width] by layer;
    `projections` likewise, by layer and name. `bias`: what MPNet adds to attention scores, else None. `last`:
    the last layer's states, whatever was wanted; None if read from what was kept.
    """

    mask: Tensor
    states: Mapping[int, Tensor]
    projections: Mapping[int, dict[str, Tensor]] = field(default_factory=dict)
    bias: Tensor | None = None
    last: Tensor | None = None

    def packed(self) -> Tensor:
        """All that was wanted side by side, [batch, tokens, parts × width]."""
        parts = list(self.states.values())
        for projections in self.projections.values():
            parts += projections.values()
        return torch.cat(parts, dim=-1)

    @classmethod
    def unpacked(cls, packed: Tensor, wanted: Wanted, mask: Tensor, bias: Tensor | None = None) -> Layers:
        """The inverse of `packed`; `bias`, which is no token's, as it is here."""
        parts = iter(packed.chunk(len(wanted), dim=-1))
        states = {layer: next(parts) for layer in wanted.states}
        projections = {
            layer: {name: next(parts) for name in wanted.projections} for layer in wanted.of_layers
        }
        return cls(mask, states, projections, bias)


class Reader:
    """Runs a body and takes what is wanted of its layers. Raises ConfigError for bodies that nobody knows."""

    def __init__(self, body: nn.Module, wanted: Wanted) -> None:
        self.body, self.wanted = body, wanted
        self.architecture = architecture_of(body)
        names = [self._name_of(layer) for layer in wanted.states]
        names += [
            getattr(self.architecture.layers[layer - 1], name)
            for layer in wanted.of_layers
            for name in wanted.projections
        ]
        if self.architecture.position_bias is not None:
            names.append(self.architecture.position_bias)
        self._taps = Taps(body, names)

    def _name_of(self, layer: int) -> str:
        return self.architecture.layers[layer - 1].output if layer else self.architecture.embeddings

    def __call__(self, batch: Mapping[str, Tensor]) -> Layers:
        """Of a batch's `input_ids` and `attention_mask`, int64 [batch, tokens]."""
        bias, layers = self.architecture.position_bias, self.architecture.layers
        with self._taps as taps:
            mask = batch["attention_mask"]
            last = self.body(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
            return Layers(
                mask.bool(),
                {layer: taps[self._name_of(layer)] for layer in self.wanted.states},
                {
                    layer: {name: taps[getattr(layers[layer - 1], name)] for name in self.wanted.projections}
                    for layer in self.wanted.of_layers
                },
                None if bias is None else taps[bias],
                last,
            )
