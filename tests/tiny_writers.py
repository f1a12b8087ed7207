"""Tiny random checkpoints of models that write, over the words of the support inbox."""

from __future__ import annotations

from tiny_world import TEXTS

LABELS = ("billing", "billing other", "delivery", "login", "straße")
CHAT = (
    "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _tokenizer(folder, chat_template=None):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer()
    shown = [f'{{"label": "{label}"}}' for label in LABELS]
    made.train_from_iterator([*TEXTS, *shown], vocab_size=400, special_tokens=["<pad>", "</s>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, pad_token="<pad>", eos_token="</s>")
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_writer(folder, kind, chat_template=None):
    """A random `causal` or `seq2seq` model with its tokenizer; returns the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, T5Config

    size = _tokenizer(folder, chat_template)
    ends = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": size}
    torch.manual_seed(3)
    if kind == "causal":
        shape = LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=1024, initializer_range=0.4, bos_token_id=None, **ends,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_config(shape)
    else:
        shape = T5Config(
            d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4, decoder_start_token_id=0,
            initializer_factor=3.0, **ends,
        )  # fmt: skip
        model = AutoModelForSeq2SeqLM.from_config(shape)
    model.save_pretrained(folder)
    return folder
