"""Random models that write, sure enough of themselves to be told from one another, and labels that overlap."""

from __future__ import annotations

from pathlib import Path

from tiny_world import TEXTS, save_writer

LABELS = ("billing", "billing other", "delivery", "login", "straße")
CHAT = (
    "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_sure_writer(folder: Path, kind: str, chat_template: str | None = None) -> Path:
    """A `causal` or `seq2seq` model of two layers of width 32, with room for long prompts."""
    shown = [f'{{"label": "{label}"}}' for label in LABELS]
    sure = (
        {"initializer_range": 0.4, "max_position_embeddings": 1024}
        if kind == "causal"
        else {"initializer_factor": 2.0}
    )
    return save_writer(folder, kind, chat_template=chat_template, corpus=[*TEXTS, *shown], **sure)
