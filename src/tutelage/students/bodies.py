"""Encoder bodies of transformers: whole, cut, or of a shape of their own; and their MLM heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tutelage.config import EMBEDDED_ENCODER, StudentConfig
from tutelage.errors import ConfigError
from tutelage.students.architecture import architecture_of, keep_layers, spaced_layers

DEFAULT_LAYERS = 3
_SAFELY = {"trust_remote_code": False}  # absent, transformers would ask on a terminal whether to run it
_OFFSET_POSITIONS = frozenset({"roberta", "mpnet", "xlm-roberta", "camembert"})
_NO_LIMIT = 1_000_000


def load_shape(checkpoint: str) -> Any:
    """Its configuration, a `PretrainedConfig`."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(checkpoint, **_SAFELY)


def load_tokenizer(checkpoint: str) -> Any:
    """Its tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint, **_SAFELY)


def load_body(checkpoint: str) -> Any:
    """The whole body with its weights, float32, without pooler and without the head of any task."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(checkpoint, use_safetensors=True, **body_options(load_shape(checkpoint)))


def cut_body(config: StudentConfig, checkpoint: str) -> Any:
    """Evenly spaced layers of the base. Raises ConfigError where it has fewer than asked for."""
    body = load_body(checkpoint)
    base = config.base or EMBEDDED_ENCODER
    total = len(architecture_of(body, f"student.base {base!r}").layers)
    kept = config.layers or DEFAULT_LAYERS
    if kept > total:
        raise ConfigError(f"student.layers is {kept}, and {base!r} has {total}")
    keep_layers(body, spaced_layers(total, kept))
    return body


def shaped_body(config: StudentConfig, checkpoint: str) -> Any:
    """A body of the configuration's own shape and the base's kind: all but its embeddings is random.

    These are the base's on their principal axes, where the student isn't wider, so that tokens which few or
    none of its texts hold mean something to it as well. A wider student's are random too.
    """
    shape = load_shape(checkpoint)
    shape.num_hidden_layers = config.layers or DEFAULT_LAYERS
    shape.hidden_size = config.hidden_size
    shape.num_attention_heads = config.heads
    # DistilBERT's own name, or BERT's.
    name = "hidden_dim" if hasattr(shape, "hidden_dim") else "intermediate_size"
    setattr(shape, name, config.intermediate_size)
    body = new_body(shape)
    _take_embeddings(body, load_body(checkpoint))
    return body


@torch.no_grad()
def _take_embeddings(body: Any, base: Any) -> None:
    """Those of tokens, positions and segments alike, on the axes that keep most of the tokens' second moment.

    Others, such as MPNet's biases by distance, stay as they are.
    """
    tokens = base.get_input_embeddings().weight
    width = body.get_input_embeddings().weight.shape[1]
    if width > tokens.shape[1]:
        return
    axes = principal_axes(tokens, width)
    theirs = dict(base.named_parameters())
    for name, module in body.named_modules():
        if not isinstance(module, nn.Embedding):
            continue
        rows = theirs[f"{name}.weight"]
        if rows.shape[1] == len(axes) and module.weight.shape == (len(rows), width):
            module.weight.copy_(rows if width == len(axes) else rows @ axes)


def principal_axes(rows: torch.Tensor, width: int) -> torch.Tensor:
    """Of rows [n, wider], about zero: orthonormal columns [wider, width], the largest moments first."""
    moment = rows.double().T @ rows.double()
    return torch.linalg.eigh(moment).eigenvectors[:, -width:].flip(1).to(rows.dtype)  # ascending


def new_body(shape: Any) -> Any:
    """A body of that configuration, its weights random."""
    from transformers import AutoModel

    return AutoModel.from_config(shape, **body_options(shape))


def longest_input(shape: Any) -> int:
    """The most tokens that a model of this configuration has positions for.

    RoBERTa and MPNet count positions from the padding index + 1, so that two are lost.
    """
    positions: int = getattr(shape, "max_position_embeddings", None) or _NO_LIMIT
    return positions - 2 if shape.model_type in _OFFSET_POSITIONS else positions


def body_options(shape: Any) -> dict[str, Any]:
    """Full precision, in which students learn; and no pooler, whose weights no loss would reach."""
    options: dict[str, Any] = {"dtype": torch.float32, **_SAFELY}
    if shape.model_type in {"bert", *_OFFSET_POSITIONS}:
        options["add_pooling_layer"] = False
    return options


def load_mlm_head(checkpoint: str) -> nn.Module | None:
    """From hidden states [..., width] to logits [..., vocabulary]; None where the checkpoint has none.

    Sentence encoders and classifiers have lost theirs.
    """
    from transformers import AutoModelForMaskedLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    if type(load_shape(checkpoint)) not in MODEL_FOR_MASKED_LM_MAPPING:
        return None
    model, found = AutoModelForMaskedLM.from_pretrained(
        checkpoint, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **_SAFELY
    )
    prefix = f"{model.base_model_prefix}."
    if any(not name.startswith(prefix) for name in found["missing_keys"]):
        return None
    return _head_of(model)


def _head_of(model: Any) -> nn.Module | None:
    if hasattr(model, "vocab_transform"):  # DistilBERT
        return nn.Sequential(
            model.vocab_transform, model.activation, model.vocab_layer_norm, model.vocab_projector
        )
    if hasattr(model, "generator_predictions"):  # ELECTRA's generator
        return nn.Sequential(model.generator_predictions, model.generator_lm_head)
    heads = [getattr(model, name) for name in ("cls", "lm_head") if hasattr(model, name)]
    return heads[0] if heads else None


def tie(head: nn.Module, body: Any) -> nn.Module:
    """The head with the body's embeddings as its last weights, where these were the same ones before.

    They are one parameter then, as in the model that both are of, and learn or not together.
    """
    embeddings = body.get_input_embeddings().weight
    for module in head.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.shape == embeddings.shape and torch.equal(weight, embeddings):
            module.weight = embeddings
    return head
