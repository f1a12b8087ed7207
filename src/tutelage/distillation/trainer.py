"""The trainer: steps, validation, early stopping, checkpoints, for every family and recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tutelage import storage
from tutelage.distillation.losses import mixed_loss
from tutelage.distillation.recipes import Recipe
from tutelage.distillation.signals import Signals
from tutelage.errors import IntegrityError, TutelageError
from tutelage.progress import Progress
from tutelage.students import Learner

_POOL = 32  # batches whose texts are sorted by length together: little padding, order still random
_CLIP = 1.0


@dataclass
class TrainingRecord:
    """What happened. `history` has a line for each check: step, losses, agreement on validation."""

    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains one learner on one set of signals.

    `checkpoint` is a folder in which a run that was killed finds its last check and goes on; it is removed by
    whoever keeps the finished student. `fingerprint` ties it to data and recipe: another's is not taken up.
    """

    def __init__(
        self,
        learner: Learner,
        learning: Signals,
        validation: Signals,
        recipe: Recipe,
        *,
        multi_label: bool,
        checkpoint: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self._learner, self._recipe, self._multi_label = learner, recipe, multi_label
        self._learning, self._validation = learning, validation
        self._checkpoint, self._fingerprint = checkpoint, fingerprint
        self._optimizers = learner.optimizers(recipe.learning_rate)
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._optimizers]
        self._weights = [weight for weight in learner.module.parameters() if weight.requires_grad]
        self._best: dict[str, torch.Tensor] = {}
        self.record = TrainingRecord()

    def train(self, progress: Progress, description: str) -> TrainingRecord:
        """Run to the last step, or until validation hasn't got better for `patience` checks.

        The learner is left with the best weights seen. Raises TutelageError where the loss is not finite.
        """
        with _threads(self._learner.threads):
            return self._train(progress, description)

    def _train(self, progress: Progress, description: str) -> TrainingRecord:
        started = time.perf_counter()
        learning = self._learner.encode(self._learning.texts)
        held_back = self._learner.encode(self._validation.texts)
        if not self._resume():
            self._learner.warm_up(learning, self._learning.targets)
        done_before = self.record.seconds
        every = max(1, self._recipe.steps // self._recipe.checks)
        losses: list[float] = []
        with progress.track(description, self._recipe.steps, "steps", done=self.record.steps) as tracker:
            for indices in self._batches(self._learner.lengths(learning)):
                if self._has_stalled():
                    break
                losses.append(self._step(learning, indices))
                if self.record.steps % every == 0 or self.record.steps == self._recipe.steps:
                    self._check(held_back, float(np.mean(losses)))
                    losses.clear()
                    self.record.seconds = done_before + time.perf_counter() - started
                    self._save()
                tracker.advance(1, self._note())
        self.record.stopped_early = self.record.steps < self._recipe.steps
        self._learner.module.load_state_dict(self._best, strict=False)
        self._learner.module.eval()
        self.record.seconds = done_before + time.perf_counter() - started
        return self.record

    def _batches(self, lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        """The batches from the step where the record stands; the order follows from seed and epoch alone."""
        size, count = self._recipe.batch_size, len(lengths)
        per_epoch = math.ceil(count / size)
        while self.record.steps < self._recipe.steps:
            epoch, position = divmod(self.record.steps, per_epoch)
            generator = np.random.default_rng([self._recipe.seed, epoch])
            order = generator.permutation(count)
            batches: list[npt.NDArray[np.int64]] = []
            for start in range(0, count, size * _POOL):
                pool = order[start : start + size * _POOL]
                pool = pool[np.argsort(lengths[pool], kind="stable")]
                batches += [pool[first : first + size] for first in range(0, len(pool), size)]
            for index in generator.permutation(len(batches))[position:]:
                if self.record.steps >= self._recipe.steps:
                    return
                yield batches[index]

    def _step(self, encoded: Any, indices: npt.NDArray[np.int64]) -> float:
        self._set_rate()
        self._learner.module.train()
        loss = self._loss(self._learner.logits(encoded, indices), self._learning, indices).mean()
        value = float(loss.detach())
        self._require_finite(value, self.record.steps + 1)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        dense = [weight for weight in self._weights if weight.grad is not None and not weight.grad.is_sparse]
        torch.nn.utils.clip_grad_norm_(dense, _CLIP)
        for optimizer in self._optimizers:
            optimizer.step()
        self.record.steps += 1
        return value

    def _require_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TutelageError(
                f"the loss is {loss} at step {step}. Mend: lower student.learning_rate "
                f"(it is {self._recipe.learning_rate:g})"
            )

    def _set_rate(self) -> None:
        step, total = self.record.steps, self._recipe.steps
        warm = max(1, round(self._recipe.warmup * total))
        factor = min((step + 1) / warm, max(0.0, (total - step) / max(1, total - warm)), 1.0)
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def _loss(self, logits: torch.Tensor, signals: Signals, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        def rows(array: npt.NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(array[indices]).to(logits.device)

        return mixed_loss(
            logits,
            rows(signals.teacher),
            rows(signals.softened),
            rows(signals.has_teacher),
            rows(signals.gold),
            rows(signals.has_gold),
            temperature=self._recipe.temperature,
            hard_weight=self._recipe.hard_weight,
            multi_label=self._multi_label,
        )

    @torch.no_grad()
    def _check(self, encoded: Any, training_loss: float) -> None:
        self._learner.module.eval()
        size = 4 * self._recipe.batch_size
        order = np.argsort(self._learner.lengths(encoded), kind="stable")
        right, loss = 0.0, 0.0
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            logits = self._learner.logits(encoded, indices)
            loss += float(self._loss(logits, self._validation, indices).sum())
            right += self._agreements(logits.cpu(), torch.from_numpy(self._validation.targets[indices]))
        self._require_finite(loss, self.record.steps)
        check = {
            "step": self.record.steps,
            "training_loss": training_loss,
            "agreement": right / len(order),
            "loss": loss / len(order),
        }
        best = max(self.record.history, key=_merit, default=None)
        self.record.history.append(check)
        if best is None or _merit(check) >= _merit(best):
            self.record.best_step = self.record.steps
            trained = {
                name for name, weight in self._learner.module.named_parameters() if weight.requires_grad
            }
            self._best = {
                name: weight.detach().clone()
                for name, weight in self._learner.module.state_dict().items()
                if name in trained
            }

    def _agreements(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        if self._multi_label:
            return float(((logits >= 0) == (targets >= 0.5)).all(-1).sum())
        return float((logits.argmax(-1) == targets.argmax(-1)).sum())

    def _has_stalled(self) -> bool:
        since = [check for check in self.record.history if check["step"] > self.record.best_step]
        return len(since) >= self._recipe.patience

    def _note(self) -> str:
        history = self.record.history
        return f"agrees {history[-1]['agreement']:.1%}" if history else ""

    # A checkpoint is tensors in safetensors and the rest in JSON: nothing that could run code when read.

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        from safetensors.torch import save

        tensors = {f"best.{name}": weight for name, weight in self._best.items()}
        tensors |= {f"now.{name}": self._learner.module.state_dict()[name] for name in self._best}
        for number, optimizer in enumerate(self._optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{number}.{index}.{name}"] = torch.as_tensor(value)
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        content = save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})
        weights = self._checkpoint / f"step-{self.record.steps}.safetensors"
        storage.write_bytes(weights, content)
        about = {"record": asdict(self.record), "weights": storage.hash_file(weights)}
        content = {**about, "hash": storage.hash_json([self._fingerprint, about])}
        storage.write_json(self._checkpoint / "checkpoint.json", content)
        for old in self._checkpoint.glob("step-*.safetensors"):
            if old != weights:
                old.unlink()

    def _resume(self) -> bool:
        about = self._read_checkpoint()
        if about is None or self._checkpoint is None:
            return False
        from safetensors.torch import load_file

        record = TrainingRecord(**about["record"])
        path = self._checkpoint / f"step-{record.steps}.safetensors"
        if not path.exists() or storage.hash_file(path) != about["weights"]:
            return False
        tensors = load_file(path)
        self.record = record
        self._best = {name[5:]: value for name, value in tensors.items() if name.startswith("best.")}
        now = {name[4:]: value for name, value in tensors.items() if name.startswith("now.")}
        self._learner.module.load_state_dict(now, strict=False)
        for number, optimizer in enumerate(self._optimizers):
            state = optimizer.state_dict()
            for name, value in tensors.items():
                kind, _, rest = name.partition(".")
                if kind == "optimizer" and rest.startswith(f"{number}."):
                    _, index, key = rest.split(".")
                    # SparseAdam counts its steps in a plain int and adds to it in place.
                    plain = key == "step" and isinstance(optimizer, torch.optim.SparseAdam)
                    state["state"].setdefault(int(index), {})[key] = int(value) if plain else value
            optimizer.load_state_dict(state)
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return True

    def _read_checkpoint(self) -> dict[str, Any] | None:
        if self._checkpoint is None or not (self._checkpoint / "checkpoint.json").exists():
            return None
        try:
            content = storage.read_json(self._checkpoint / "checkpoint.json")
            about: dict[str, Any] = {name: content[name] for name in ("record", "weights")}
            digest = content["hash"]
        except (IntegrityError, KeyError, TypeError):
            return None
        return about if digest == storage.hash_json([self._fingerprint, about]) else None


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _merit(check: dict[str, float]) -> tuple[float, float]:
    return (check["agreement"], -check["loss"])
