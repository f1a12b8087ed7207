"""What passes through a model's modules, taken by name while it runs, the model unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Literal

from torch import Tensor, nn

from tutelage.errors import ConfigError

# What DistributedDataParallel, torch.compile, FSDP and checkpoint wrappers put into the names below them.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_NEAREST = 3


@dataclass(frozen=True)
class Tap:
    """Where to take a tensor: a submodule's dotted name, at its output or input.

    `item` says which, where the module gives or takes several: attention modules of transformers give
    (context, probabilities), the latter None unless the model runs with `attn_implementation="eager"`.
    """

    name: str
    at: Literal["output", "input"] = "output"
    item: int = 0


class Taps:
    """Holds what the tapped modules of `module` gave (or took) in the last forward pass.

        with Taps(model, ["encoder.layer.3", Tap("encoder.layer.3", "input")]) as taps:
            model(**batch)
            hidden = taps["encoder.layer.3"]

    Tensors are the model's own, with their graph if there is one. Each forward pass forgets those before it;
    leaving the context forgets all and removes the hooks, whatever happened inside. Names are those of the
    bare model: wrappers of DDP, FSDP and torch.compile on the way don't count. A compiled model must be
    entered before its first call, since torch.compile doesn't look for hooks afterwards. What runs inside
    gradient checkpoints has a graph with `use_reentrant=False` alone.

    Raises ConfigError for a name that no module has, and names the nearest.
    """

    def __init__(self, module: nn.Module, names: Iterable[str | Tap]) -> None:
        self._root = module
        self._taps = [Tap(name) if isinstance(name, str) else name for name in names]
        self._modules = {tap: _find(module, tap.name) for tap in self._taps}
        self._taken: dict[Tap, Tensor] = {}
        self._repeated: set[Tap] = set()
        self._handles: list[Any] = []
        self._phase: Literal["unseen", "running", "over"] = "unseen"

    def __enter__(self) -> Taps:
        self._handles = [self._root.register_forward_pre_hook(self._begin)]
        for tap, module in self._modules.items():
            register = module.register_forward_hook
            if tap.at == "input":
                register = module.register_forward_pre_hook
            self._handles.append(register(self._taking(tap), with_kwargs=True))
        # After the taps, of which one may be on the root itself.
        self._handles.append(self._root.register_forward_hook(self._end, always_call=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.clear()

    def __getitem__(self, name: str | Tap) -> Tensor:
        """What the last forward pass gave there.

        Raises KeyError for what isn't tapped, ConfigError where the module gave no tensor or didn't run.
        """
        tap = Tap(name) if isinstance(name, str) else name
        if tap not in self._modules:
            raise KeyError(f"{tap} isn't tapped")
        if tap not in self._taken:
            raise ConfigError(
                f"{tap.name!r} didn't run in the last forward pass. Mend: call the model inside the context, "
                "a compiled one for the first time; or tap a module that its forward pass calls"
            )
        if tap in self._repeated:
            raise ConfigError(
                f"{tap.name!r} ran more than once in the last forward pass, and which is meant isn't known. "
                "Mend: tap the modules that call it"
            )
        return self._taken[tap]

    def clear(self) -> None:
        """Forget what was taken, to free it before the next forward pass."""
        self._taken.clear()
        self._repeated.clear()

    def _begin(self, module: nn.Module, arguments: Any) -> None:
        self.clear()
        self._phase = "running"

    def _end(self, module: nn.Module, arguments: Any, result: Any) -> None:
        # What runs from here to the next pass is a recomputation for gradient checkpoints, in backward.
        self._phase = "over"

    def _taking(self, tap: Tap) -> Callable[..., None]:
        def take(module: nn.Module, arguments: Any, keywords: Any, result: Any = None) -> None:
            if self._phase == "over":
                return
            if self._phase == "running" and tap in self._taken:
                self._repeated.add(tap)
            passed = result if tap.at == "output" else (*arguments, *keywords.values())
            self._taken[tap] = _tensor_of(passed, tap)

        return take


def _tensor_of(passed: Any, tap: Tap) -> Tensor:
    if isinstance(passed, dict):  # a ModelOutput of transformers, too
        passed = tuple(passed.values())
    items = passed if isinstance(passed, tuple | list) else (passed,)
    item = items[tap.item] if tap.item < len(items) else None
    if not isinstance(item, Tensor):
        found = ", ".join(type(one).__name__ for one in items)
        hint = 'attn_implementation="eager", where these are attention probabilities; or another item'
        raise ConfigError(
            f"item {tap.item} of the {tap.at} of {tap.name!r} is no tensor: it has ({found}). Mend: {hint}"
        )
    return item


def _find(root: nn.Module, name: str) -> nn.Module:
    modules = dict(root.named_modules(remove_duplicate=False))
    if name in modules:
        return modules[name]
    bare = {_bare(full): module for full, module in modules.items()}
    if _bare(name) in bare:
        return bare[_bare(name)]
    nearest = get_close_matches(_bare(name), [known for known in bare if known], n=_NEAREST, cutoff=0.0)
    raise ConfigError(
        f"{type(root).__name__} has no module {name!r}. Mend: the nearest are {', '.join(map(repr, nearest))}"
    )


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
