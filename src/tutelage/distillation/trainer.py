"""The trainer: transformers' Trainer on an objective, for every family and recipe.

Devices, processes, precision and sharding are accelerate's; batches, checks, checkpoints and the end of a run
are decided here, so that they are the same whatever it runs on.
"""

from __future__ import annotations

import itertools
import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerState

from tutelage.distillation.checkpoint import (
    Checkpoint,
    Snapshot,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
)
from tutelage.distillation.examples import Batches
from tutelage.distillation.launch import Sharing, sharing_asked_for
from tutelage.distillation.memory import kept_between_steps
from tutelage.distillation.objectives import Objective
from tutelage.distillation.record import TrainingRecord
from tutelage.distillation.schedule import Precision, Schedule
from tutelage.distillation.sharding import load_whole, shared_out, whole
from tutelage.distillation.zero import Zero
from tutelage.errors import TutelageError, UsageError
from tutelage.progress import Progress, Silent, Tracker
from tutelage.students.optimizers import adamw
from tutelage.students.protocol import Examples

_SAVE_SECONDS = 600.0  # a run killed between checks loses no more than this
Optimizers = Callable[[Objective, float], torch.optim.Optimizer]


def train(
    objective: Objective,
    learning: Examples,
    validation: Examples,
    schedule: Schedule,
    progress: Progress,
    description: str,
    *,
    optimizer: Optimizers = adamw,
    start: Callable[[], None] = lambda: None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    threads: int | None = None,
) -> TrainingRecord:
    """Run to the last step, or until validation hasn't got better for `schedule.patience` checks.

    The objective is left with the best weights seen, evaluating. `start` is called before the first step of a
    run that doesn't go on from a checkpoint. SIGTERM and Ctrl-C leave a checkpoint of the step they came in.
    Raises TutelageError where the loss is not finite, ConfigError where a step can't be cut into its parts,
    UsageError within `torch.autocast`.
    """
    _refuse_autocast()
    with ExitStack() as stack:
        sharing = stack.enter_context(sharing_asked_for(schedule.shard))
        stack.enter_context(_threads(threads))
        stack.enter_context(kept_between_steps())
        folder = checkpoint or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tutelage-")))
        kept = Checkpoint(folder, fingerprint)
        snapshot = kept.read() if checkpoint else None
        if snapshot is None:
            start()
        trainer = _Trainer(
            objective,
            learning,
            validation,
            schedule,
            optimizer,
            kept if checkpoint else None,
            snapshot,
            _arguments(schedule, folder),
            sharing,
        )
        main = progress if trainer.is_world_process_zero() else Silent()
        with main.track(description, schedule.steps, "steps", done=trainer.record.steps) as tracker:
            return trainer.run(tracker)


class _Trainer(transformers.Trainer):
    """One phase of training."""

    def __init__(
        self,
        objective: Objective,
        learning: Examples,
        validation: Examples,
        schedule: Schedule,
        optimizer: Optimizers,
        checkpoint: Checkpoint | None,
        snapshot: Snapshot | None,
        arguments: TrainingArguments,
        sharing: Sharing,
    ) -> None:
        self._whole, self._zero = objective, None
        if sharing.by == "fsdp" and arguments.world_size > 1:
            objective = shared_out(objective, arguments.device, sharing.wish, reshard=sharing.reshard)
        elif sharing.by == "deepspeed":
            self._zero = Zero(
                objective,
                optimizer,
                schedule,
                snapshot.weights if snapshot else {},
                device=arguments.device,
                bfloat16=arguments.bf16,
                wish=sharing.wish,
            )
            objective = self._zero.objective
        if objective is not self._whole:
            _needs_no_wrapping(objective)
        self._objective, self._learning, self._validation = objective, learning, validation
        self._schedule, self._make_optimizer = schedule, optimizer
        self._checkpoint, self._snapshot = checkpoint, snapshot
        self.record = snapshot.record if snapshot else TrainingRecord()
        self._best: dict[str, Tensor] = snapshot.best if snapshot else {}
        self._seconds_before, self._started = self.record.seconds, time.perf_counter()
        self._steps = _Steps(self)
        self.optimizer: Any
        self.lr_scheduler: Any
        super().__init__(objective, arguments, callbacks=[self._steps])
        self.remove_callback(PrinterCallback)
        self.loss_is_scaled_for_ga = True
        self._learning_weights = [weight for weight in objective.parameters() if weight.requires_grad]

    def run(self, tracker: Tracker) -> TrainingRecord:
        """See `train`."""
        self._steps.tracker = tracker
        if not self._is_finished():
            with _stopping_at_signals(self._steps):
                self.train(resume_from_checkpoint=self._resume_folder())
        self._whole.load_state_dict(self._best, strict=False)
        self._whole.eval()
        if self._zero is not None:
            self._zero.close()
        self.record.stopped_early = self.record.steps < self._schedule.steps
        self.record.seconds = self._seconds()
        return self.record

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _is_finished(self) -> bool:
        return self.record.steps >= self._schedule.steps or self.has_stalled()

    def has_stalled(self) -> bool:
        """Whether the last `patience` checks were no better than the best one."""
        since = [check for check in self.record.history if check["step"] > self.record.best_step]
        return len(since) >= self._schedule.patience

    # What transformers' Trainer asks for

    def get_train_dataloader(self) -> DataLoader:
        """Batches of this process; the order of an epoch is set where it begins."""
        self.batches = Batches(
            self._learning.lengths,
            self._schedule.batch_size,
            self._schedule.seed,
            parts=self._schedule.accumulation,
            processes=self.args.world_size,
            rank=self.args.process_index,
        )
        return DataLoader(_Indexed(self._learning), batch_sampler=self.batches, collate_fn=_as_it_is)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The objective's own, each group's rate its peak."""
        if self._zero is not None:
            self.optimizer = self._zero.optimizer
        elif self.optimizer is None:
            self.optimizer = self._make_optimizer(model or self._objective, self._schedule.learning_rate)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up and decay of all groups alike.

        accelerate's wrapper of the optimiser is taken off: it is for scaled gradients, which there are none
        of, and looks for a package at every step.
        """
        self.optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._schedule.rate)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        """A step's batches as the objective wants them, and over how much each part of the loss goes."""
        first = self.record.steps * self._schedule.accumulation
        batches = [
            self._objective.prepared(batch, (first + part) * self.args.world_size + self.args.process_index)
            for part, batch in enumerate(itertools.islice(epoch_iterator, num_batches))
        ]
        return batches, self._counted([self._objective.counts(batch) for batch in batches], device)

    def _counted(self, counts: list[dict[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
        """Over all batches of a step, on all processes."""
        total = {name: sum(count[name].to(device) for count in counts) for name in counts[0]}
        return {name: self.accelerator.reduce(count) for name, count in total.items()}

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The weighted sum of the parts' means, scaled up since gradients of processes are averaged."""
        sums = model(**inputs)
        loss = self._mean(sums, num_items_in_batch) * self.accelerator.num_processes
        return (loss, sums) if return_outputs else loss

    def _mean(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Any:
        return sum(
            weight * sums[name] / counts[name].clamp_min(1.0)
            for name, weight in self._objective.weights.items()
        )

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """A part of a step; its loss is the step's where there is one part.

        Without scaled losses and sharded weights that is all there is to it. transformers' own looks for
        packages at every step, which takes longer than a step of a static student.
        """
        model.train()
        loss: Tensor = self.compute_loss(
            model, self._prepare_inputs(inputs), num_items_in_batch=num_items_in_batch
        )
        if self._zero is None:
            loss.backward()
        else:
            self._zero.backward(loss, is_last=self.accelerator.sync_gradients)
        self._steps.loss += float(loss.detach())
        return loss.detach()

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Each part's gradients are reduced at once: whole ones would be what there is no room for."""
        yield

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        """DeepSpeed's engine where it has what learns."""
        return super()._wrap_model(model, training, dataloader) if self._zero is None else self._zero.engine

    def _sync_replicated_trainable_parameters(self, model: Any) -> None:
        """There are none: all that learns is shared out."""

    def _clip_grad_norm(self, model: Any) -> Any:
        """Of dense gradients: a sparse one has no norm that torch could take. DeepSpeed clips in its step."""
        if self._zero is not None:
            return torch.zeros(())
        dense = [weight for weight in self._learning_weights if weight.grad is not None]
        dense = [weight for weight in dense if not weight.grad.is_sparse]
        return whole(torch.nn.utils.clip_grad_norm_(dense, self.args.max_grad_norm))

    @torch.no_grad()
    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """A check on validation: the mean of each part and measure, on all processes together."""
        self.model_wrapped.eval()
        device = self.args.device
        sums: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        for indices, share in self._validation_batches():
            batch = self._prepare_inputs(self._validation.batch(indices))
            found = self.model_wrapped(**batch)
            for name, count in self._objective.counts(batch).items():
                sums[name] = sums.get(name, 0.0) + share * found[name].float()
                counts[name] = counts.get(name, 0.0) + share * count.to(device)
        sums, counts = (
            {name: self.accelerator.reduce(part) for name, part in of.items()} for of in (sums, counts)
        )
        means = {name: float(sums[name] / counts[name].clamp_min(1.0)) for name in sums}
        check = {
            "step": self.record.steps,
            "training_loss": float(np.mean(self.record.pending)) if self.record.pending else math.nan,
            "loss": float(self._mean(sums, counts)),
            **(means if len(self._objective.weights) > 1 else {}),
            **{name: mean for name, mean in means.items() if name not in self._objective.weights},
        }
        self._require_finite(check["loss"])
        self._keep(check)
        self.record.pending = []
        self.control.should_evaluate = False
        return {}

    def _validation_batches(self) -> Iterator[tuple[npt.NDArray[np.int64], float]]:
        """Those of this process, and 1; all processes have equally many, the last of some counting 0."""
        size = 4 * self._schedule.batch_size
        order = np.argsort(self._validation.lengths, kind="stable")
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        world, rank = self.args.world_size, self.args.process_index
        for first in range(0, len(batches), world):
            own = first + rank
            yield (batches[own], 1.0) if own < len(batches) else (batches[first], 0.0)

    def _keep(self, check: dict[str, float]) -> None:
        merit = self._objective.merit
        best = max(self.record.history, key=merit, default=None)
        self.record.history.append(check)
        if best is None or merit(check) >= merit(best):
            self.record.best_step = self.record.steps
            self._best = {name: weight.clone() for name, weight in self._learned().items()}

    def _learned(self) -> dict[str, Tensor]:
        """What learns, by name, on the device where it is. All processes have to ask."""
        if self._zero is not None:
            return self._zero.learned()
        names = {name for name, weight in self._objective.named_parameters() if weight.requires_grad}
        return {
            name: whole(weight.detach())
            for name, weight in self._objective.state_dict().items()
            if name in names
        }

    def agreed(self, *wishes: bool) -> list[bool]:
        """Whether any process wishes each: what all have to do together, none may do alone."""
        if self.args.world_size == 1:
            return list(wishes)
        counts = self.accelerator.reduce(torch.tensor(wishes, device=self.args.device).float())
        return [bool(count) for count in counts.tolist()]

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TutelageError(
                f"the loss is {loss} at step {self.record.steps}. Mend: lower student.learning_rate "
                f"(it is {self._schedule.learning_rate:g})"
            )

    def end_step(self, loss: float) -> None:
        """A step is done: its loss is finite, or the run ends here."""
        self.record.steps += 1
        self.record.pending.append(loss)
        self._require_finite(loss)

    # Checkpoints

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self._checkpoint is None:
            return
        learned, optimizer, random = self._learned(), optimizer_tensors(self.optimizer), self._random()
        if not self.is_world_process_zero():
            return
        self.record.seconds = self._seconds()
        self._checkpoint.write(Snapshot(self.record, learned, self._best, optimizer, random))

    def _random(self) -> dict[str, Tensor]:
        """Of all processes, those of later ones under "<kind>.<number>". All have to ask."""
        own = random_tensors()
        if self.args.world_size == 1:
            return own
        found: dict[str, Tensor] = {}
        for kind, state in own.items():
            every = self.accelerator.gather(state[None].to(self.args.device)).cpu()
            found |= {f"{kind}.{number}" if number else kind: one for number, one in enumerate(every)}
        return found

    def _resume_folder(self) -> str | None:
        """The folder from which transformers' Trainer reads at which step it goes on."""
        if self._snapshot is None or self._checkpoint is None:
            return None
        state = TrainerState(
            global_step=self.record.steps,
            max_steps=self._schedule.steps,
            train_batch_size=self.args.train_batch_size,
        )
        state.compute_steps(self.args, self._schedule.steps)
        if self.is_world_process_zero():
            state.save_to_json(str(self._checkpoint.folder / "trainer_state.json"))
        self.accelerator.wait_for_everyone()
        return str(self._checkpoint.folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._snapshot is not None and self._zero is None:  # whose weights began with them
            load_whole(self._objective, self._snapshot.weights)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self._snapshot is None:
            return
        restore_optimizer(self.optimizer, self._snapshot.optimizer)
        step = self.record.steps
        self.lr_scheduler.last_epoch = step
        for group, peak in zip(self.optimizer.param_groups, self.lr_scheduler.base_lrs, strict=True):
            group["lr"] = peak * self._schedule.rate(step)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._snapshot is not None:
            restore_random(self._snapshot.random, self.args.process_index)


class _Steps(TrainerCallback):
    """What happens at the end of each step: progress, checks, checkpoints, the end."""

    def __init__(self, trainer: _Trainer) -> None:
        self._trainer = trainer
        self.tracker: Tracker = Silent()
        self.loss = 0.0
        self.signal: signal.Signals | None = None
        self._saved = time.perf_counter()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._trainer.batches.epoch = self._trainer.record.steps // self._trainer.batches.steps

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        trainer = self._trainer
        trainer.end_step(self.loss)
        self.loss = 0.0
        is_last = trainer.record.steps >= trainer._schedule.steps
        if is_last or trainer.record.steps % trainer._schedule.check_every == 0:
            control.should_evaluate = control.should_save = True
        is_stopped, is_due = trainer.agreed(
            self.signal is not None, time.perf_counter() - self._saved > _SAVE_SECONDS
        )
        if is_stopped and self.signal is None:  # it came to another process
            self.signal = signal.SIGTERM
        control.should_save = control.should_save or is_stopped or is_due
        control.should_training_stop = is_last or is_stopped
        if not control.should_evaluate:
            self._advance()

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        trainer = self._trainer
        self._saved = time.perf_counter()
        control.should_training_stop = control.should_training_stop or trainer.has_stalled()
        if trainer.record.history and trainer.record.history[-1]["step"] == trainer.record.steps:
            self._advance()

    def _advance(self) -> None:
        history = self._trainer.record.history
        self.tracker.advance(1, self._trainer._objective.note(history[-1]) if history else "")


class _Indexed(Dataset):
    """Examples as torch wants them: a batch at once."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return self._examples.batch(np.asarray(indices, np.int64))


def _as_it_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch


def _arguments(schedule: Schedule, folder: Path) -> TrainingArguments:
    """What transformers' Trainer is told: to run the steps, and to log, check and keep nothing of its own."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=schedule.steps,
        per_device_train_batch_size=schedule.batch_size,
        gradient_accumulation_steps=schedule.accumulation,
        max_grad_norm=schedule.clip,
        seed=schedule.seed,
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        bf16=_has_bfloat16(schedule.precision),
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs are for torchrun; else they'd share one process
    return arguments


def _refuse_autocast() -> None:
    """Within a caller's autocast each weight would be cast once, before the first step, and never learn."""
    kinds = [kind for kind in ("cuda", "cpu", "mps") if torch.is_autocast_enabled(kind)]
    if kinds:
        raise UsageError(
            f"training was called within torch.autocast({kinds[0]!r}), which keeps weights as they were "
            "first cast: none would learn. Mend: call it outside; `student.precision` sets that of the steps"
        )


def _needs_no_wrapping(objective: Objective) -> None:
    """Tell transformers' Trainer that its model is shared out already."""
    objective.is_distributed_loading_by_transformers = True
    objective._is_fsdp_managed_module = True


def _has_bfloat16(precision: Precision) -> bool:
    if precision == "auto":
        return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported())
    return precision == "bfloat16"


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stopping_at_signals(steps: _Steps) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run after the step they come in; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in watched}

    def stop(number: int, frame: Any) -> None:
        steps.signal = signal.Signals(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in watched:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
    if steps.signal is not None:
        signal.raise_signal(steps.signal)
