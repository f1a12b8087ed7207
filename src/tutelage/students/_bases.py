"""The models that students who write start from: whole, cut to fewer layers, or of a shape of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tutelage.checkpoints import quieten_loading, resolve_weights
from tutelage.config import EMBEDDED_WRITER, StudentConfig
from tutelage.errors import ConfigError
from tutelage.generation import LanguageModel
from tutelage.students.architecture import spaced_layers

# Where layers stand in the names of weights, and the configuration's key that counts them.
_STACKS = {
    "causal": (
        (r"model\.layers\.", "num_hidden_layers"),  # Llama and its kin
        (r"transformer\.h\.", "num_hidden_layers"),  # GPT-2
        (r"gpt_neox\.layers\.", "num_hidden_layers"),
        (r"model\.decoder\.layers\.", "num_hidden_layers"),  # OPT
    ),
    "seq2seq": (
        (r"encoder\.block\.", "num_layers"),  # T5
        (r"decoder\.block\.", "num_decoder_layers"),
        (r"model\.encoder\.layers\.", "encoder_layers"),  # BART
        (r"model\.decoder\.layers\.", "decoder_layers"),
    ),
}
# What a shape is called in configurations that differ from Llama's names, beside what transformers maps.
_FEED_FORWARD = ("intermediate_size", "d_ff", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim")
_HEADS = ("num_attention_heads", "num_key_value_heads", "encoder_attention_heads", "decoder_attention_heads")
_DEPTHS = ("num_hidden_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")


def initial_model(config: StudentConfig, folder: Path) -> LanguageModel:
    """The model that `config` asks for, float32, with its tokenizer; random weights follow from torch's seed.

    Relative paths start at `folder`. Raises ConfigError where the base is of another family, or has fewer
    layers than asked for, or layers that aren't known.
    """
    from transformers import AutoConfig, AutoTokenizer

    quieten_loading()
    name = config.base or EMBEDDED_WRITER
    weights = resolve_weights(name, folder, "student.base", needs_weights=config.hidden_size is None)
    shape = AutoConfig.from_pretrained(weights.checkpoint, **weights.source)
    if (right := _family_of(shape)) != config.family:
        raise ConfigError(
            f"student.base {name!r} is a model of family {right}, and student.family is {config.family}. "
            f"Mend: student.family {right}, or another base"
        )
    if config.hidden_size is not None:
        model = _auto_class(config.family).from_config(_own_shape(config, shape), **_options())
    else:
        # The configuration is given since to read it again takes seconds out of a GGUF file.
        model = _auto_class(config.family).from_pretrained(
            weights.checkpoint, config=shape, **weights.options, **_dtype()
        )
        if config.layers is not None:
            model = _cut(model, config.family, config.layers, name)
    tokenizer = AutoTokenizer.from_pretrained(weights.checkpoint, **weights.source)
    return LanguageModel(model, tokenizer)


def _family_of(shape: Any) -> str:
    """The family of a configuration. Encoders load as causal models too, but see what comes next."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if shape.is_encoder_decoder:
        return "seq2seq"
    is_masked = shape.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "encoder" if is_masked and not getattr(shape, "is_decoder", False) else "causal"


def _auto_class(family: str) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM if family == "seq2seq" else AutoModelForCausalLM


def _dtype() -> dict[str, Any]:
    return {"dtype": torch.float32}  # in which students learn


def _options() -> dict[str, Any]:
    return {**_dtype(), "trust_remote_code": False}


def _own_shape(config: StudentConfig, shape: Any) -> Any:
    """The base's configuration in the student's sizes: kind and vocabulary stay."""
    shape.hidden_size = config.hidden_size
    for names, value in ((_FEED_FORWARD, config.intermediate_size), (_HEADS, config.heads)):
        for name in names:
            if hasattr(shape, name):
                setattr(shape, name, value)
    if hasattr(shape, "head_dim") and config.hidden_size and config.heads:
        shape.head_dim = config.hidden_size // config.heads
    if config.layers is not None:
        _set_depth(shape, {name: config.layers for name in _DEPTHS}, range(config.layers))
    return shape


def _set_depth(shape: Any, depths: Mapping[str, int], kept: Any) -> None:
    """Set how many layers there are; keep of what is listed a layer each what belongs to those kept."""
    total = shape.num_hidden_layers
    for name, depth in depths.items():
        if hasattr(shape, name):
            setattr(shape, name, depth)
    for name, value in list(vars(shape).items()):
        if isinstance(value, list) and len(value) == total and name in {"layer_types", "no_rope_layers"}:
            setattr(shape, name, [value[index % total] for index in kept])


def _cut(model: Any, family: str, kept: int, base: str) -> Any:
    """The model with `kept` evenly spaced layers of each stack, first and last among them.

    It is built anew and given the weights, so that whatever a layer knows of its place is right.
    """
    weights = model.state_dict()
    places: dict[str, dict[int, int]] = {}
    depths: dict[str, int] = {}
    for prefix, key in _STACKS[family]:
        numbers = {int(found[1]) for name in weights if (found := re.match(rf"{prefix}(\d+)\.", name))}
        if not numbers:
            continue
        if kept > len(numbers):
            raise ConfigError(f"student.layers is {kept}, and {base!r} has {len(numbers)}. Mend: lower it")
        chosen = spaced_layers(len(numbers), kept)
        places[prefix], depths[key] = {old: new for new, old in enumerate(chosen)}, kept
    if not places:
        raise ConfigError(
            f"student.base {base!r} is a {type(model).__name__}, whose layers Tutelage doesn't know how to "
            "take. Mend: leave student.layers out, or use a model of the kind of Llama, GPT-2, T5 or BART"
        )
    shape = model.config
    _set_depth(shape, depths, next(iter(places.values())))
    smaller = _auto_class(family).from_config(shape, **_options())
    smaller.load_state_dict(dict(_renumbered(weights, places)))
    smaller.generation_config = model.generation_config
    return smaller


def _renumbered(weights: Mapping[str, Any], places: Mapping[str, Mapping[int, int]]) -> Any:
    """Names and weights of the layers that stay, by their new numbers, and of all that is in no layer."""
    for name, weight in weights.items():
        for prefix, numbers in places.items():
            if found := re.match(rf"({prefix})(\d+)(\..*)", name):
                if int(found[2]) in numbers:
                    yield f"{found[1]}{numbers[int(found[2])]}{found[3]}", weight
                break
        else:
            yield name, weight
