"""How weights are shared out over processes: by `student.shard`, or as `accelerate launch` was asked to.

accelerate's plugins wrap a model out of sight of best weights and whole checkpoints. So they are hidden from
it while training, and what was asked of them is done by the same libraries in `sharding` and `zero`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError

_FSDP, _DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"


@dataclass(frozen=True)
class Sharing:
    """Which library shares weights out, if any, and whose wish that was, as a refusal names it."""

    by: Literal["none", "fsdp", "deepspeed"] = "none"
    wish: str = "student.shard"
    reshard: bool = True  # whether FSDP gives weights up between a block's forward and backward pass


@contextmanager
def sharing_asked_for(shard: bool) -> Iterator[Sharing]:
    """What `student.shard` (`shard`) or accelerate's launcher asks for; within it accelerate sees no plugin.

    Raises ConfigError for wishes of accelerate's launcher that can't be met.
    """
    sharing = _sharing(shard)
    hidden = {name: os.environ.pop(name) for name in (_FSDP, _DEEPSPEED) if name in os.environ}
    try:
        yield sharing
    finally:
        os.environ.update(hidden)


def _sharing(shard: bool) -> Sharing:
    if _is_on(_DEEPSPEED):
        return Sharing("deepspeed", "accelerate's --use_deepspeed")
    if _is_on(_FSDP):
        return _fsdp()
    return Sharing("fsdp") if shard else Sharing()


def _fsdp() -> Sharing:
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ConfigError(
            f"accelerate was asked for FSDP {version}, which keeps no names of weights. "
            "Mend: accelerate launch --use_fsdp --fsdp_version 2, or torchrun with student.shard"
        )
    for flag in ("offload_params", "activation_checkpointing"):
        if _is_on(f"FSDP_{flag.upper()}"):
            raise ConfigError(
                f"accelerate was asked for --fsdp_{flag}, which training doesn't do. Mend: leave it out, or "
                "accelerate launch --use_deepspeed --zero_stage 3 --offload_optimizer_device cpu"
            )
    # Else transformers would load all but the first process's students without weights.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    return Sharing("fsdp", "accelerate's --use_fsdp", reshard)


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
