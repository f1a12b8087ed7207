"""Optimisers for objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

_WEIGHT_DECAY = 0.01
_BETAS = (0.9, 0.98)


def adamw(module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW over what learns in `module`; biases and norms don't decay."""
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [weight for weight in learning if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=_BETAS, fused=True)


class RowAdam(torch.optim.Optimizer):
    """Adam of the rows that have a gradient, for one weight [rows, ...] whose gradient is sparse.

    Other rows keep weights and moments as they are. Its steps are `torch.optim.SparseAdam`'s but for
    rounding; that one looks its rows up anew for each moment, which is most of what it does.
    """

    def __init__(
        self, weight: nn.Parameter, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__([weight], {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Kingma and Ba 2015, algorithm 1, of these rows. Takes no closure."""
        if closure is not None:
            raise TypeError("RowAdam takes no closure")
        (group,) = self.param_groups
        (weight,) = group["params"]
        if weight.grad is None:
            return
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        step, (first, second) = float(state["step"]), group["betas"]
        gradient = weight.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - first)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(second)
        square.addcmul_(values, values, value=1 - second)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        rate = group["lr"] * math.sqrt(1 - second**step) / (1 - first**step)
        weight.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-rate)


class Several(torch.optim.Optimizer):
    """Optimisers side by side, each with weights of its own, as one.

    Sparse gradients want an optimiser that takes no others. Weights are numbered through.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        super().__init__([group for one in optimizers for group in one.param_groups], {})
        # The very groups of the parts, so that a rate set here is one set there.
        self.param_groups = [group for one in optimizers for group in one.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:
        """A step of each. Takes no closure."""
        if closure is not None:
            raise TypeError("optimisers side by side take no closure")
        for one in self._optimizers:
            one.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of each."""
        for one in self._optimizers:
            one.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Of all, weights numbered through."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        first = 0
        for one in self._optimizers:
            content = one.state_dict()
            state |= {first + index: part for index, part in content["state"].items()}
            for group in content["param_groups"]:
                groups.append({**group, "params": [first + index for index in group["params"]]})
            first += _weights(content["param_groups"])
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        first, groups = 0, list(state_dict["param_groups"])
        for one in self._optimizers:
            own = groups[: len(one.param_groups)]
            del groups[: len(one.param_groups)]
            count = _weights(own)
            state = {
                index - first: part
                for index, part in state_dict["state"].items()
                if first <= index < first + count
            }
            numbered = [{**group, "params": [index - first for index in group["params"]]} for group in own]
            one.load_state_dict({"state": state, "param_groups": numbered})
            first += count
        self.param_groups = [group for one in self._optimizers for group in one.param_groups]


def _weights(groups: Iterable[dict[str, Any]]) -> int:
    return sum(len(group["params"]) for group in groups)
