"""Weights, gradients and the optimiser's state shared out over processes (FSDP), where one can't hold all.

A copy of what learns is shared out, by torch's `fully_shard`: each block of layers, then the rest. What was
there before stays whole in every process, and gets the weights that are kept. Tensors that leave are whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from tutelage.distillation.objectives import Objective
from tutelage.errors import ConfigError

Tensors = dict[str, Tensor]


def shared_out(
    objective: Objective, device: torch.device, wish: str = "student.shard", *, reshard: bool = True
) -> Objective:
    """A copy of `objective` of which each process holds a part; frozen modules stay, and go to `device`.

    Without `reshard` a block's weights stay whole from its forward to its backward pass. Raises ConfigError
    for a student that writes while it learns, or whose gradients are sparse.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    require_shareable(objective, wish)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    shared = copy.deepcopy(objective, {id(one): one for one in objective.lent()})
    for module in objective.frozen:
        module.to(device)
    for block in _blocks(shared):
        fully_shard(block, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(shared, mesh=mesh)
    return shared


def whole(tensor: Tensor) -> Tensor:
    """All of it, on every process; all have to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def load_whole(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights into a module, each process its part; names that are absent stay as they are."""
    state = module.state_dict()
    with torch.no_grad():
        for name, weight in weights.items():
            state[name].copy_(like(state[name], weight))


def like(part: Tensor, tensor: Tensor) -> Tensor:
    """`tensor`, shared out as `part` is."""
    if not isinstance(part, DTensor):
        return tensor
    return distribute_tensor(tensor.to(part.device), part.device_mesh, part.placements)


def require_shareable(objective: Objective, wish: str) -> None:
    """Raises ConfigError for a student that writes while it learns, or whose gradients are sparse.

    `wish` is what asked for weights to be shared out.
    """
    reason = ""
    if objective.writes:
        reason = "its student writes answers between steps"
    elif any(
        isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse for module in objective.modules()
    ):
        reason = "a static student's gradients are sparse"
    if reason:
        raise ConfigError(
            f"{wish} is on, and {reason}, for which it needs whole weights. Mend: take {wish} "
            "out; torchrun without it gives each process the whole student"
        )


def _blocks(objective: Objective) -> Iterator[nn.Module]:
    """The layers of each outermost list of layers of the student."""
    lists: tuple[Any, ...] = (nn.ModuleList, nn.ModuleDict)
    waiting: list[nn.Module] = [objective.student]
    while waiting:
        module = waiting.pop()
        for child in module.children():
            if isinstance(module, nn.ModuleList) and not isinstance(child, lists):
                yield child
            else:
                waiting.append(child)
