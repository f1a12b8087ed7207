"""A teacher that knows which of three subjects a word belongs to, and a student who is told of a few words.

The teacher's embeddings and first layer are random and stay so: what it knows is in its upper layers. A student
that is told the labels of one word a subject can't know of the others; one that has learned on texts alone what
the teacher's layers make of each word can.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tiny_world import PAIRS, TASK, TEXTS, TRUTH, _shape, _tokenizer
from tutelage.distillation import Signals

LAYERS = 4
TOLD = tuple(
    index for index, (text, _) in enumerate(PAIRS) if {"invoice", "parcel", "password"} & set(text.split())
)
UNTOLD = tuple(index for index in range(len(PAIRS)) if index not in TOLD)


def few(teacher=TRUTH) -> Signals:
    """The texts that are told of, with the teacher's distribution."""
    n = len(TOLD)
    none = np.zeros((n, len(TASK.labels)), np.float32)
    texts = tuple(TEXTS[index] for index in TOLD)
    return Signals(
        texts,
        teacher[list(TOLD)].astype(np.float32),
        np.ones(n, bool),
        np.ones(n, bool),
        none,
        np.zeros(n, bool),
    )


def save_teacher(folder: Path, *, mlm: bool = True) -> Path:
    """A BERT that was taught the words, with an MLM head or without one."""
    import torch
    from transformers import BertForMaskedLM

    torch.manual_seed(11)
    tokenizer = _tokenizer("bert")
    shape = _shape(
        "bert", LAYERS, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.1
    )
    model = BertForMaskedLM(shape)
    body = model.bert
    for part in (body.embeddings, body.encoder.layer[0]):
        part.requires_grad_(False)
    head = torch.nn.Linear(shape.hidden_size, len(TASK.labels))
    batch = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    mask = inputs["attention_mask"].bool()
    learning = [weight for weight in [*body.parameters(), *head.parameters()] if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=3e-3)
    truth = torch.from_numpy(TRUTH)
    for _ in range(40):
        states = body(**inputs).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        loss = torch.nn.functional.cross_entropy(head(pooled), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (model if mlm else body).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_shuffled(teacher: Path, folder: Path) -> Path:
    """The same teacher, but that it takes each word for another one, drawn at random."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(teacher, folder)
    weights = load_file(folder / "model.safetensors")
    order = torch.randperm(_shape("bert", 1).vocab_size, generator=torch.Generator().manual_seed(0))
    for name, weight in weights.items():
        if name.endswith("embeddings.word_embeddings.weight"):
            weights[name] = weight[order].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def right(student) -> float:
    """Share of the texts right whose words it was not told of."""
    found = student.predict([TEXTS[index] for index in UNTOLD]).argmax(1)
    return float((found == TRUTH[list(UNTOLD)].argmax(1)).mean())
