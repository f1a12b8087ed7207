"""Where the parts of transformer encoders are: the names of modules in the families that Tutelage knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from tutelage.errors import ConfigError


@dataclass(frozen=True)
class LayerNames:
    """Dotted names of one layer's modules. Outputs are [batch, tokens, width]; a layer's may be in a tuple.

    `attention` is the self-attention, whose second output are probabilities where the model runs with
    `attn_implementation="eager"`; `query`, `key` and `value` are its projections, which run whatever the
    implementation.
    """

    output: str
    attention: str
    query: str
    key: str
    value: str


@dataclass(frozen=True)
class Architecture:
    """Dotted names of a body's modules, from the module that was asked about.

    `embeddings` gives what the first layer reads; `stack` is the list of `layers`. `position_bias` gives what
    is added to all attention scores, [tokens, tokens, heads], None where nothing is (all but MPNet).
    """

    embeddings: str
    stack: str
    layers: tuple[LayerNames, ...]
    heads: int
    position_bias: str | None = None


@dataclass(frozen=True)
class _Family:
    stack: str
    attention: str
    projections: tuple[str, str, str]


# The first whose modules are all there.
_FAMILIES = (
    _Family("encoder.layer", "attention.self", ("query", "key", "value")),  # BERT, RoBERTa, ELECTRA
    _Family("encoder.layer", "attention.attn", ("q", "k", "v")),  # MPNet
    _Family("transformer.layer", "attention", ("q_lin", "k_lin", "v_lin")),  # DistilBERT
    _Family("encoder.layer", "attention.self", ("query_proj", "key_proj", "value_proj")),  # DeBERTa-v2
)
_EMBEDDINGS = ("embeddings_project", "embeddings")  # ELECTRA may widen its embeddings
_POSITION_BIAS = "encoder.relative_attention_bias"


def architecture_of(model: nn.Module, whose: str = "the model") -> Architecture:
    """Names in the first encoder body in `model`: itself, or one inside a task's model or a wrapper.

    `whose` begins the message of the ConfigError that models of other families raise.
    """
    for name, body in model.named_modules():
        for family in _FAMILIES:
            layers = _get(body, family.stack)
            if isinstance(layers, nn.ModuleList) and _fits(layers, family):
                return _named(body, f"{name}." if name else "", family, len(layers))
    raise ConfigError(
        f"{whose} is a {type(model).__name__}, whose layers Tutelage doesn't know "
        "how to take. Mend: use a BERT, DistilBERT, RoBERTa, MiniLM, MPNet or ELECTRA encoder"
    )


def keep_layers(body: nn.Module, kept: list[int], whose: str = "the model") -> None:
    """Drop all layers but those at `kept`, in that order, and set the configuration's number of them.

    Raises ConfigError for models of other families.
    """
    stack, _, name = architecture_of(body, whose).stack.rpartition(".")
    owner = body.get_submodule(stack)
    layers = getattr(owner, name)
    setattr(owner, name, nn.ModuleList([layers[index] for index in kept]))
    body.config.num_hidden_layers = len(kept)


def spaced_layers(total: int, kept: int) -> list[int]:
    """Indices of `kept` layers out of `total`, evenly spaced, the first and the last among them.

    6 of 12 are DistilBERT's 0, 2, 4, 7, 9, 11 (Sanh et al. 2019, scripts/extract_distilbert.py). One layer
    alone is the first: it reads the embeddings as they are.
    """
    if kept == 1:
        return [0]
    return [round(index * (total - 1) / (kept - 1)) for index in range(kept)]


def _named(body: nn.Module, prefix: str, family: _Family, count: int) -> Architecture:
    stack = prefix + family.stack
    layers = []
    for index in range(count):
        attention = f"{stack}.{index}.{family.attention}"
        query, key, value = (f"{attention}.{name}" for name in family.projections)
        layers.append(LayerNames(f"{stack}.{index}", attention, query, key, value))
    embeddings = next(name for name in _EMBEDDINGS if hasattr(body, name))
    bias = prefix + _POSITION_BIAS if _get(body, _POSITION_BIAS) is not None else None
    heads: int = body.config.num_attention_heads
    return Architecture(prefix + embeddings, stack, tuple(layers), heads, bias)


def _fits(layers: nn.ModuleList, family: _Family) -> bool:
    attention = [_get(layer, family.attention) for layer in layers]
    return all(_get(one, name) is not None for one in attention for name in family.projections)


def _get(module: Any, path: str) -> Any:
    for step in path.split("."):
        module = getattr(module, step, None)
    return module
