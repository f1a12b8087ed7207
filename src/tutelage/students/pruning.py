"""Encoder bodies made smaller by what their parts do on texts (Muralidharan et al. 2024, Minitron)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ConfigError
from tutelage.students.bodies import new_body

MOST_OF_A_ROUND = 1 / 3
_STEPS = 40  # in which a way to the target is tried
_NORMS = ("embeddings.LayerNorm", "attention.output.LayerNorm", "output.LayerNorm")


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a BERT-like body; its width is `heads` × `head_size`."""

    layers: int
    heads: int
    head_size: int
    intermediate_size: int

    @property
    def hidden_size(self) -> int:
        """The width of its states."""
        return self.heads * self.head_size

    def parameters(self, rows: int) -> int:
        """Weights of a body with that many rows of embeddings, of tokens, positions and types together."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
        return rows * width + 2 * width + self.layers * layer


@dataclass(frozen=True)
class Importance:
    """How much each part does on texts; the larger the more. Sums over tokens that aren't padding.

    `hidden` [width]: absolute outputs of all norms. `layers` [layers]: 1 - cosine of what goes in and comes
    out. For each layer `neurons` [inner]: absolute activations; `heads` [heads]: lengths of their outputs;
    `keys` and `values` [heads, head size]: products of absolute queries and keys, absolute outputs.
    """

    hidden: Tensor
    layers: Tensor
    neurons: tuple[Tensor, ...]
    heads: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


def shape_of(body: Any) -> Shape:
    """Raises ConfigError where the body isn't laid out as BERT's and RoBERTa's are."""
    names = {name for name, _ in body.named_modules()}
    if not {"encoder.layer.0.attention.self.query", "encoder.layer.0.intermediate.dense"} <= names:
        raise ConfigError(
            f"student.base is a {type(body).__name__}, whose parts recipe prune-recover doesn't know. "
            "Mend: take a BERT, RoBERTa or MiniLM encoder"
        )
    config = body.config
    heads = config.num_attention_heads
    return Shape(config.num_hidden_layers, heads, config.hidden_size // heads, config.intermediate_size)


def next_shape(now: Shape, target: Shape, rows: int) -> Shape:
    """As far on the way from `now` to `target` as costs at most a third of the parameters.

    Where the least step costs more, that one: whichever part it may be of, the cheapest.
    """
    least = (1 - MOST_OF_A_ROUND) * now.parameters(rows)
    start, end = astuple(now), astuple(target)
    for step in range(_STEPS, 0, -1):
        share = step / _STEPS
        tried = Shape(*(round(a + share * (b - a)) for a, b in zip(start, end, strict=True)))
        if tried != now and tried.parameters(rows) >= least:
            return tried
    single = [
        Shape(*(value - (place == index) for place, value in enumerate(start)))
        for index in range(len(start))
        if start[index] > end[index]
    ]
    return max(single, key=lambda shape: shape.parameters(rows))


@torch.no_grad()
def importance_of(body: Any, batches: Iterable[Mapping[str, Tensor]]) -> Importance:
    """Run the body over the batches, evaluating, and sum up what its parts do."""
    body.eval()
    shape, sums = shape_of(body), _Sums()
    with sums.watching(body, shape):
        for batch in batches:
            sums.mask = batch["attention_mask"].bool()
            body(**batch)
    every = range(shape.layers)
    return Importance(
        sums.of["hidden"],
        torch.stack([sums.of[f"layer {i}"] for i in every]),
        tuple(sums.of[f"neurons {i}"] for i in every),
        tuple(sums.of[f"heads {i}"] for i in every),
        tuple(sums.of[f"query {i}"] * sums.of[f"key {i}"] for i in every),
        tuple(sums.of[f"values {i}"] for i in every),
    )


class _Sums:
    """What hooks add up, by name."""

    def __init__(self) -> None:
        self.of: dict[str, Tensor] = {}
        self.mask: Any = None

    @contextmanager
    def watching(self, body: Any, shape: Shape) -> Iterator[None]:
        hooks = [
            module.register_forward_hook(lambda _, given, out: self._add("hidden", self._real(out).abs()))
            for name, module in body.named_modules()
            if name.endswith(_NORMS)
        ]
        for index, layer in enumerate(body.encoder.layer):
            hooks += self._of_layer(index, layer, shape)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _of_layer(self, index: int, layer: Any, shape: Shape) -> list[Any]:
        def split(states: Tensor) -> Tensor:
            return self._real(states).unflatten(-1, (shape.heads, shape.head_size))

        def attended(_: Any, given: Any, out: Any) -> None:
            outputs = split(out[0])
            self._add(f"heads {index}", outputs.norm(dim=-1))
            self._add(f"values {index}", outputs.abs())

        def whole(_: Any, given: Any, out: Any) -> None:
            before, after = self._real(given[0]), self._real(out if isinstance(out, Tensor) else out[0])
            self._add(f"layer {index}", 1 - torch.cosine_similarity(before, after, dim=-1))

        def projected(part: str) -> Any:
            return lambda _, given, out: self._add(f"{part} {index}", split(out).abs())

        own = layer.attention.self
        return [
            layer.register_forward_hook(whole),
            own.register_forward_hook(attended),
            own.query.register_forward_hook(projected("query")),
            own.key.register_forward_hook(projected("key")),
            layer.intermediate.register_forward_hook(
                lambda _, given, out: self._add(f"neurons {index}", self._real(out).abs())
            ),
        ]

    def _real(self, states: Tensor) -> Tensor:
        return states[self.mask]

    def _add(self, name: str, tokens: Tensor) -> None:
        self.of[name] = self.of.get(name, 0.0) + tokens.double().sum(0).cpu()


def pruned(body: Any, target: Shape, importance: Importance) -> tuple[Any, Tensor]:
    """A body of the target's shape with the most important parts, in their order; and the width's, int64.

    Queries are scaled so that scores over fewer dimensions are divided as before.
    """
    now = shape_of(body)
    config = copy.deepcopy(body.config)
    config.num_hidden_layers, config.hidden_size = target.layers, target.hidden_size
    config.num_attention_heads, config.intermediate_size = target.heads, target.intermediate_size
    width = _most(importance.hidden, target.hidden_size)
    weights = {name: weight.detach().cpu() for name, weight in body.state_dict().items()}
    made = {
        name: weight[..., width]
        for name, weight in weights.items()
        if name.startswith("embeddings.") and weight.is_floating_point()
    }
    for new, old in enumerate(_most(importance.layers, target.layers).tolist()):
        begin = f"encoder.layer.{old}."
        layer = {name.removeprefix(begin): w for name, w in weights.items() if name.startswith(begin)}
        cut = _cut_layer(layer, now, target, width, importance, old)
        made |= {f"encoder.layer.{new}.{name}": weight for name, weight in cut.items()}
    smaller = new_body(config)
    missing = smaller.load_state_dict(
        {name: weight.clone() for name, weight in made.items()}, strict=False
    ).missing_keys
    if any("position_ids" not in name and "token_type_ids" not in name for name in missing):
        raise ConfigError(
            f"student.base is a {type(body).__name__} with parts that recipe prune-recover doesn't know: "
            f"{missing[0]}. Mend: take a BERT, RoBERTa or MiniLM encoder"
        )
    return smaller.eval().to(next(body.parameters()).device), width


def _cut_layer(
    layer: Mapping[str, Tensor], now: Shape, target: Shape, width: Tensor, importance: Importance, index: int
) -> dict[str, Tensor]:
    heads = _most(importance.heads[index], target.heads)
    keys, values = (
        _rows(part[index], heads, now.head_size, target.head_size)
        for part in (importance.keys, importance.values)
    )
    inner = _most(importance.neurons[index], target.intermediate_size)
    scale = (target.head_size / now.head_size) ** 0.5
    rows = {"query": keys, "key": keys, "value": values}
    made = {}
    for name, weight in layer.items():
        part = name.split(".")[-2]
        if part in rows:
            cut = weight[rows[part]]
            cut = cut[:, width] if cut.ndim > 1 else cut
            made[name] = cut * scale if part == "query" else cut
        elif name.startswith("intermediate."):
            made[name] = weight[inner][:, width] if weight.ndim > 1 else weight[inner]
        elif weight.ndim > 1:
            made[name] = weight[width][:, values if name.startswith("attention.") else inner]
        else:
            made[name] = weight[width]
    return made


def _most(importance: Tensor, count: int) -> Tensor:
    """Indices of the `count` most important ones, ascending."""
    return importance.argsort(descending=True, stable=True)[:count].sort().values


def _rows(importance: Tensor, heads: Tensor, size: int, kept: int) -> Tensor:
    """Rows of a projection: of the `heads`, the `kept` most important dimensions of each."""
    return torch.cat([head * size + _most(importance[head], kept) for head in heads.tolist()])


def keep_tokens(body: Any, kept: Sequence[int]) -> None:
    """Drop all rows of token embeddings but those of the ids `kept`, in that order."""
    old = body.get_input_embeddings()
    padding = None if old.padding_idx is None else list(kept).index(old.padding_idx)
    new = nn.Embedding(
        len(kept), old.embedding_dim, padding_idx=padding, device=old.weight.device, dtype=old.weight.dtype
    )
    with torch.no_grad():
        new.weight.copy_(old.weight[torch.tensor(kept)])
    new.weight.requires_grad_(old.weight.requires_grad)
    body.set_input_embeddings(new)
    body.config.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if getattr(body.config, name, None) in kept:
            setattr(body.config, name, list(kept).index(getattr(body.config, name)))


def told(shape: Shape) -> dict[str, float]:
    """For run.json."""
    return {**asdict(shape), "hidden_size": shape.hidden_size}
