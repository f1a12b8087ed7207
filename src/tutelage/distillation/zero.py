"""DeepSpeed's ZeRO, stages 1 to 3: optimiser's state, gradients, weights shared out over processes.

The engine takes each backward pass, clips and steps, as `accelerate launch --use_deepspeed` was asked to. All
else stays the trainer's. DeepSpeed's own checkpoints are pickles; here weights and state leave whole, by its
public functions, so that a checkpoint is that of an unshared run, and one can go on from the other's.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.distillation.objectives import Objective
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.sharding import load_whole, require_shareable
from tutelage.errors import ConfigError
from tutelage.extras import require_extra

Tensors = dict[str, Tensor]
_OURS = ("optimizer", "scheduler", "fp16", "bf16", "amp")


class Zero:
    """A copy of an objective in DeepSpeed's hands, and the engine that steps it."""

    def __init__(
        self,
        objective: Objective,
        make_optimizer: Callable[[Objective, float], torch.optim.Optimizer],
        schedule: Schedule,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device,
        bfloat16: bool,
        wish: str,
    ) -> None:
        """Share out a copy that begins with `weights`, where given; frozen modules stay, and go to `device`.

        Raises ConfigError for a student that can't be shared out, MissingExtraError without DeepSpeed.
        """
        require_extra("deepspeed", wish)
        require_shareable(objective, wish)
        config = _config(schedule, bfloat16)
        import deepspeed

        warnings.filterwarnings(
            "ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning
        )  # its own
        self.objective = copy.deepcopy(objective, {id(one): one for one in objective.lent()}).to(device)
        load_whole(self.objective, weights)
        optimizer = make_optimizer(self.objective, schedule.learning_rate)
        groups = [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
        self.engine, *_ = deepspeed.initialize(model=self.objective, optimizer=optimizer, config=config)
        self.optimizer = ZeroOptimizer(self.engine, groups)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """Gradients of a part of a step; with the last one they are reduced."""
        self.engine.set_gradient_accumulation_boundary(is_last)
        self.engine.backward(loss, scale_wrt_gas=False)

    def learned(self) -> Tensors:
        """What learns, whole, by name. All processes have to ask."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: safe_get_full_fp32_param(weight)
            for name, weight in self.objective.named_parameters()
            if weight.requires_grad
        }

    def close(self) -> None:
        """Give up what the engine holds; the copy can't be used after it."""
        self.engine.destroy()


class ZeroOptimizer(torch.optim.Optimizer):
    """A DeepSpeed engine's optimiser as one of the weights that it was made for, numbered as ever.

    Groups are those of the optimiser given to the engine: rates set here are the ones that it steps with.
    """

    def __init__(self, engine: Any, groups: list[dict[str, Any]]) -> None:
        self._engine = engine
        super().__init__(groups, {})

    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Clip gradients and update weights. Takes no closure."""
        if closure is not None:
            raise TypeError("DeepSpeed's optimiser takes no closure")
        for own, inner in zip(self.param_groups, self._inner.param_groups, strict=True):
            inner["lr"] = own["lr"]
        self._engine.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The engine does so at each step."""

    def state_dict(self) -> dict[str, Any]:
        """Whole tensors by the number of their weight. All processes have to ask."""
        from deepspeed.utils import safe_get_full_optimizer_state

        self._link()
        found = [self._inner.state[flat] for flat in self._flats() if flat in self._inner.state]
        kinds = found[0] if found else {}
        scalars = {name: value.clone() for name, value in kinds.items() if value.ndim == 0}
        state = {
            number: scalars
            | {name: safe_get_full_optimizer_state(weight, name) for name in kinds if name not in scalars}
            for number, weight in enumerate(self._weights())
        }
        return {"state": state if found else {}, "param_groups": [{"lr": g["lr"]} for g in self.param_groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`; rates aren't taken up."""
        states: dict[int, Tensors] = state_dict["state"]
        if not states:
            return
        kinds = {name: value for state in states.values() for name, value in state.items()}
        shaped = {name for state in states.values() for name, value in state.items() if value.ndim}
        for flat in self._flats():
            self._inner.state[flat] = {
                name: torch.zeros_like(flat) if name in shaped else value.clone().to(flat.device)
                for name, value in kinds.items()
            }
        self._link()
        for number, weight in enumerate(self._weights()):
            for name in shaped & states.get(number, {}).keys():
                _set_state(weight, name, states[number][name].to(self._engine.device))

    @property
    def _inner(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = self._engine.optimizer.optimizer
        return inner

    def _flats(self) -> list[Tensor]:
        """The parts of this process, that the optimiser made for the engine steps."""
        zero = self._engine.optimizer
        names = ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups")  # of stage 3, of 1 and 2
        (flats,) = [list(getattr(zero, name)) for name in names if hasattr(zero, name)]
        return flats

    def _link(self) -> None:
        """Have stages 1 and 2 find each weight's part of the state.

        They do so themselves within the first step, once the first group has a state: for other groups that
        is too early (0.19), and for a run that goes on it is too late.
        """
        zero = self._engine.optimizer
        if hasattr(zero, "_hp_optimizer_states_linked"):
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()

    def _weights(self) -> Iterator[nn.Parameter]:
        for group in self.param_groups:
            yield from group["params"]


def _set_state(weight: nn.Parameter, name: str, value: Tensor) -> None:
    """Of a whole tensor, each process its part."""
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    if not hasattr(weight, "ds_tensor"):
        safe_set_full_optimizer_state(weight, value, name)
        return
    # Stage 3 pads a weight so that all parts are equally large; its setter of whole ones can't (0.19).
    size = weight.ds_tensor.numel()
    padding = size * torch.distributed.get_world_size() - value.numel()
    start = size * torch.distributed.get_rank()
    padded = nn.functional.pad(value.flatten(), (0, padding))
    safe_set_local_optimizer_state(weight, padded.narrow(0, start, size), name)


def _config(schedule: Schedule, bfloat16: bool) -> dict[str, Any]:
    """What accelerate's launcher was told, with the recipe's own batches, clipping and precision."""
    from accelerate.utils import DeepSpeedPlugin

    try:
        told: dict[str, Any] = copy.deepcopy(DeepSpeedPlugin().deepspeed_config)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"DeepSpeed's options can't be read: {error}. "
            "Mend: accelerate launch --use_deepspeed --zero_stage 3"
        ) from error
    taken = [name for name in _OURS if _is_set(told.get(name))]
    if taken:
        raise ConfigError(
            f"DeepSpeed's config has {', '.join(taken)}, which are the recipe's. Mend: take them out; "
            "student.learning_rate and student.precision say what they would"
        )
    zero = {name: value for name, value in told["zero_optimization"].items() if value != "auto"}
    if zero.get("stage") not in (1, 2, 3):
        raise ConfigError(
            f"DeepSpeed was asked for ZeRO stage {zero.get('stage')}, which shares nothing out. "
            "Mend: --zero_stage 1, 2 or 3, or torchrun without DeepSpeed"
        )
    processes = torch.distributed.get_world_size()
    return {name: value for name, value in told.items() if value != "auto" and name != "train_batch_size"} | {
        "zero_optimization": zero,
        # Only for DeepSpeed's own counting: parts needn't be equally large.
        "train_micro_batch_size_per_gpu": -(-schedule.batch_size // (schedule.accumulation * processes)),
        "gradient_accumulation_steps": schedule.accumulation,
        "gradient_clipping": schedule.clip,
        "torch_autocast": {"enabled": bfloat16, "dtype": "bfloat16"},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def _is_set(section: Any) -> bool:
    return section.get("enabled", True) is True if isinstance(section, dict) else bool(section)
