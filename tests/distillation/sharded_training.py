"""Trainings whose weights two processes share out: run by torchrun as a script, and what tests make of them."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import test_trainer as world
import torch
from interrupting import Interrupting, Killed
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from torchrun import results, tell, torchrun


@dataclass(frozen=True)
class Training:
    """One of several, one after the other. Those of one `checkpoint` go on from each other."""

    name: str
    checkpoint: str = ""
    shard: bool = False
    dies: bool = False
    accumulation: int = 1
    told: dict[str, str] = field(default_factory=dict)  # by accelerate's launcher


def sharded(folder, base, *trainings):
    """Each in the same two processes: [(the steps it began and ended at, its weights)], None where it died."""
    done = torchrun(Path(__file__), folder, base, json.dumps([asdict(one) for one in trainings]))
    found = {name: (steps, load_file(folder / name)) for name, steps in results(done)}
    return [found.get(one.name) for one in trainings]


def assert_learned(weights, base):
    """That these are the weights which one process alone arrives at."""
    learner = world.without_dropout(world.encoder_on(base))
    world.taught(learner)
    assert_close(weights, learner.module.state_dict())


def assert_close(weights, others):
    for name, weight in others.items():
        # But for keys' biases, whose gradient is rounding alone: attention is the same whatever they are.
        if not name.endswith("key.bias"):
            assert torch.allclose(weights[name], weight, atol=2e-4), name


class Dying:
    """Examples in whose tenth batch the second process is told to end."""

    def __init__(self, examples, dies):
        self.examples, self.dies, self.batches, self.lengths = examples, dies, 0, examples.lengths

    def __len__(self):
        return len(self.examples)

    def batch(self, indices):
        self.batches += 1
        if self.dies and self.batches == 10 and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.examples.batch(indices)


def watch_deepspeed(parts):
    """Have it talk by gloo, not by a kernel that it would compile, and note how much this process steps."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    initialize = deepspeed.initialize

    def watched(**given):
        whole = sum(weight.numel() for weight in given["model"].parameters())
        made = initialize(**given)
        zero = made[0].optimizer
        stage3, others = "fp32_partitioned_groups_flat", "single_partition_of_fp32_groups"
        flats = getattr(zero, stage3 if hasattr(zero, stage3) else others)
        parts.append((whole, sum(flat.numel() for flat in flats)))
        return made

    deepspeed.initialize = watched


def train(folder, base, training, parts):
    """One training, in both processes."""
    os.environ.update(training.told)
    learner = world.without_dropout(world.encoder_on(base))
    schedule = replace(world.SCHEDULE, shard=training.shard, accumulation=training.accumulation)
    material = world.Material(
        world.TASK, learner, world.LEARNING, world.VALIDATION, Path(), lambda seed: learner
    )
    (phase,) = replace(world.RECIPE, schedule=schedule).phases(material)
    shown, progress = phase.objective, Interrupting()

    def optimizer(objective, rate):
        assert objective is not shown, "what learns is a copy, shared out"
        weights = [weight for weight in objective.parameters() if isinstance(weight, DTensor)]
        parts.extend((weight.numel(), weight.to_local().numel()) for weight in weights)
        return learner.optimizer(objective, rate)

    try:
        record = world.train(
            phase.objective,
            Dying(phase.learning, training.dies),
            phase.validation,
            phase.schedule,
            progress,
            "training",
            optimizer=optimizer,
            start=phase.start,
            checkpoint=folder / f"{training.checkpoint or training.name}.checkpoint",
            fingerprint="this run",
            threads=1,
        )
    except Killed:
        assert training.dies
        return
    finally:
        for name in training.told:
            del os.environ[name]
    assert not training.dies, "a signal that came to one process stops both"
    if torch.distributed.get_rank() == 0:
        save_file(learner.module.state_dict(), folder / training.name)
        tell([training.name, [progress.began[0], record.steps]])


def main(folder, base, trainings):
    """The script: both processes are here."""

    def die(number, frame):
        raise Killed

    signal.signal(signal.SIGTERM, die)
    trainings = [Training(**one) for one in json.loads(trainings)]
    parts = []
    if any("ACCELERATE_USE_DEEPSPEED" in one.told for one in trainings):
        watch_deepspeed(parts)
    for one in trainings:
        parts.clear()
        train(Path(folder), Path(base), one, parts)
        whole, own = map(sum, zip(*parts, strict=True))
        assert own < 0.6 * whole, (one.name, own, whole)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
