"""The `encoder` student: a transformer encoder, mean pooling, a linear head."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tutelage import storage
from tutelage.checkpoints import quieten_loading, resolve_checkpoint
from tutelage.config import EMBEDDED_ENCODER, StudentConfig
from tutelage.errors import IntegrityError
from tutelage.heads import regress
from tutelage.students.architecture import LayerNames, architecture_of
from tutelage.students.bodies import (
    cut_body,
    load_body,
    load_shape,
    load_tokenizer,
    longest_input,
    new_body,
    shaped_body,
)
from tutelage.students.protocol import read_student_file, refuse_one_text, write_student_file
from tutelage.tasks import LabelTask

_WEIGHTS = "model.safetensors"
_HEAD_RATE = 7.0  # of the body's learning rate: the head starts from nothing
_WEIGHT_DECAY = 0.01
_PREDICT_BATCH = 64
_WARM_UP_TEXTS = 4_000
_WARM_UP_STRENGTH = 10.0


class EncoderNetwork(nn.Module):
    """Body, mean over tokens that aren't padding, L2 norm, linear head: logits float32 [batch, labels]."""

    def __init__(self, body: nn.Module, labels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.config.hidden_size, labels)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """`input_ids` and `attention_mask`: int64 [batch, tokens]."""
        logits: torch.Tensor = self.head(self.embed(input_ids, attention_mask)).float()
        return logits

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """What the head reads: [batch, width], each of length 1."""
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return pooled(hidden, attention_mask)


def pooled(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean over tokens that aren't padding, of length 1: states [batch, tokens, width] to [batch, width]."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1.0)
    return nn.functional.normalize(mean, dim=-1)


class TokenExamples:
    """Token ids of texts, padded batch by batch to that batch's longest."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> None:
        self.ids: list[list[int]] = (
            tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"] if texts else []
        )
        self.lengths = np.fromiter(map(len, self.ids), np.int64, len(self.ids))
        self._padding = tokenizer.pad_token_id or 0

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask`: int64 [n, tokens]."""
        lengths = torch.from_numpy(self.lengths[indices])
        ids = torch.full((len(indices), int(lengths.max())), self._padding)
        for row, index in zip(ids, indices, strict=True):
            row[: self.lengths[index]] = torch.tensor(self.ids[index])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        return {"input_ids": ids, "attention_mask": mask}


class EncoderStudent:
    """A trained encoder student."""

    family = "encoder"

    def __init__(
        self,
        labels: Sequence[str],
        multi_label: bool,
        network: EncoderNetwork,
        tokenizer: Any,
        max_tokens: int,
    ) -> None:
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self._network: EncoderNetwork = network.eval()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    @property
    def network(self) -> EncoderNetwork:
        """What predicts, in evaluation mode."""
        return self._network

    @property
    def tokenizer(self) -> Any:
        """What makes token ids of texts."""
        return self._tokenizer

    @property
    def max_tokens(self) -> int:
        """Of a text; the rest is cut."""
        return self._max_tokens

    @property
    def parameters(self) -> int:
        """Weights, embeddings included."""
        return sum(weight.numel() for weight in self._network.parameters())

    @torch.inference_mode()
    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Student.predict`. Batches are sorted by length."""
        refuse_one_text(texts)
        tokens = TokenExamples(self._tokenizer, texts, self._max_tokens)
        order = np.argsort(-tokens.lengths, kind="stable")
        device = next(self._network.parameters()).device
        result = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        for start in range(0, len(order), _PREDICT_BATCH):
            indices = order[start : start + _PREDICT_BATCH]
            logits = self._network(**_on(device, tokens.batch(indices)))
            odds = torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=-1)
            result[indices] = odds.cpu().numpy()
        return result

    def tempered(self, temperature: float) -> EncoderStudent:
        """See `Student.tempered`; the temperature is folded into the head."""
        network = copy.deepcopy(self._network)
        with torch.no_grad():
            for weight in network.head.parameters():
                weight.div_(temperature)
        return EncoderStudent(self.labels, self.multi_label, network, self._tokenizer, self._max_tokens)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        from safetensors.torch import save

        weights = {name: weight.contiguous().cpu() for name, weight in self._network.state_dict().items()}
        storage.write_bytes(folder / _WEIGHTS, save(weights))
        self._network.body.config.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        write_student_file(
            folder,
            {
                "family": self.family,
                "labels": self.labels,
                "multi_label": self.multi_label,
                "max_tokens": self._max_tokens,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> EncoderStudent:
        """Load what `save` wrote. Raises IntegrityError where parts don't fit each other."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        about = read_student_file(folder)
        network = EncoderNetwork(new_body(load_shape(str(folder))), len(about["labels"]))
        try:
            network.load_state_dict(load_file(folder / _WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise IntegrityError(f"{folder / _WEIGHTS} is damaged: {error}. Mend: train again") from error
        tokenizer = load_tokenizer(str(folder))
        return cls(about["labels"], about["multi_label"], network, tokenizer, about["max_tokens"])


class EncoderLearner:
    """See `Learner`. Token embeddings taken from a base are frozen: moving 30,000 rows for the few that a
    batch holds costs much and gains nothing measurable.

    `is_random` where its weights are, of its own shape, until something has taught them.
    """

    threads: int | None = None

    def __init__(self, config: StudentConfig, task: LabelTask, folder: Path) -> None:
        quieten_loading()
        checkpoint = resolve_checkpoint(config.base or EMBEDDED_ENCODER, folder)
        self._task = task
        self.max_tokens = min(config.max_tokens, longest_input(load_shape(checkpoint)))
        self.tokenizer = load_tokenizer(checkpoint)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(config.seed)
        is_whole = config.plan == "prune-recover"
        self.is_random = config.hidden_size is not None and not is_whole
        body = (
            load_body(checkpoint)
            if is_whole
            else (shaped_body if self.is_random else cut_body)(config, checkpoint)
        )
        self.module: nn.Module = EncoderNetwork(body, len(task.labels)).to(self._device)
        if not self.is_random:
            for weight in body.get_input_embeddings().parameters():
                weight.requires_grad_(False)

    @property
    def body(self) -> Any:
        """The module without its head."""
        return self.module.body

    @property
    def layers(self) -> tuple[LayerNames, ...]:
        """The body's layers."""
        return architecture_of(self.body).layers

    def replace_body(self, body: nn.Module, width: torch.Tensor) -> None:
        """Take a smaller body, all of which learns, and the head's weights for what is left of its `width`.

        `width`: int64, indices into the old one.
        """
        head = self.module.head
        network = EncoderNetwork(body, head.out_features)
        with torch.no_grad():
            network.head.weight.copy_(head.weight[:, width])
            network.head.bias.copy_(head.bias)
        self.module = network.to(self._device)

    def examples(self, texts: Sequence[str]) -> TokenExamples:
        """Token ids of each text."""
        return TokenExamples(self.tokenizer, texts, self.max_tokens)

    def warm_up(self, examples: TokenExamples, targets: npt.NDArray[np.float32]) -> None:
        """Fit the head on the embeddings as they are, so that the first steps don't spoil them.

        Linear probing, then fine-tuning: Kumar et al. 2022. Some thousand texts are enough for it. Where
        embeddings are random, nothing is done.
        """
        if self.is_random:
            return
        count = min(len(targets), _WARM_UP_TEXTS)
        chosen = np.sort(np.random.default_rng(0).permutation(len(targets))[:count])
        chosen = chosen[np.argsort(examples.lengths[chosen], kind="stable")]
        self.module.eval()
        with torch.no_grad():
            batches = [
                self.module.embed(**_on(self._device, examples.batch(chosen[start : start + _PREDICT_BATCH])))
                for start in range(0, count, _PREDICT_BATCH)
            ]
        embeddings = torch.cat(batches).float().cpu().numpy()
        head = regress(embeddings, targets[chosen], _WARM_UP_STRENGTH, self._task.multi_label)
        with torch.no_grad():
            self.module.head.weight.copy_(torch.from_numpy(head.weight))
            self.module.head.bias.copy_(torch.from_numpy(head.bias))

    def optimizer(self, objective: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        """AdamW; biases and norms don't decay, the head learns faster."""
        decayed: list[torch.Tensor] = []
        plain: list[torch.Tensor] = []
        head: list[torch.Tensor] = []
        student = getattr(objective, "student", objective)  # a copy of ours where it is shared out
        heads = {id(weight) for weight in student.head.parameters()} if hasattr(student, "head") else set()
        for weight in objective.parameters():
            if weight.requires_grad:
                group = head if id(weight) in heads else decayed if weight.ndim > 1 else plain
                group.append(weight)
        groups = [
            {"params": decayed, "lr": learning_rate, "weight_decay": _WEIGHT_DECAY},
            {"params": plain, "lr": learning_rate, "weight_decay": 0.0},
            {"params": head, "lr": _HEAD_RATE * learning_rate, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)

    def finished(self) -> EncoderStudent:
        """A copy of the network as it stands, on the CPU."""
        network: EncoderNetwork = copy.deepcopy(self.module).cpu()
        return EncoderStudent(
            self._task.labels, self._task.multi_label, network, self.tokenizer, self.max_tokens
        )


def _on(device: torch.device, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: part.to(device) for name, part in batch.items()}
