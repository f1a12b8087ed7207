from __future__ import annotations

from dataclasses import replace

import pytest

from tiny_world import save_checkpoint
from torchrun import results, torchrun
from tutelage.errors import ConfigError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from sharded_training import Training, assert_learned, sharded  # noqa: E402
from test_trainer import SCHEDULE, WALK, walk  # noqa: E402
from torch import distributed, nn  # noqa: E402
from torch.distributed.tensor import DTensor  # noqa: E402

from tutelage.distillation.objectives import Objective  # noqa: E402
from tutelage.distillation.sharding import like, load_whole, shared_out, whole  # noqa: E402

CPU = torch.device("cpu")


class Layered(nn.Module):
    def __init__(self, embedding: nn.Module | None = None) -> None:
        super().__init__()
        self.embedding = embedding or nn.Embedding(7, 4)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))
        self.head = nn.Linear(4, 2)

    def forward(self, tokens):
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden.mean(1))


class Plain(Objective):
    def forward(self, tokens):
        return {"loss": self.student(tokens).square().sum()}

    def counts(self, batch):
        return {"loss": torch.tensor(float(len(batch["tokens"])))}


class Writing(Plain):
    writes = True


@pytest.fixture
def alone():
    """A group of one process: parts are wholes, and all else is as among several."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (Plain(Layered(nn.EmbeddingBag(7, 4, sparse=True)), {"loss": 1.0}), "gradients are sparse"),
        (Writing(Layered(), {"loss": 1.0}), "writes answers"),
    ],
)
def test_what_needs_whole_weights_is_refused(objective, reason):
    with pytest.raises(ConfigError, match=rf"student\.shard is on.*{reason}.*Mend: take student\.shard out"):
        shared_out(objective, CPU)


def test_a_copy_is_shared_out_block_by_block_and_what_was_there_stays_whole(alone):
    objective, teacher = Plain(Layered(), {"loss": 1.0}), nn.Linear(2, 2)
    objective.keep_frozen(teacher)
    before = {name: weight.clone() for name, weight in objective.state_dict().items()}
    shared = shared_out(objective, CPU)
    assert shared.frozen == (teacher,)
    assert all(isinstance(weight, DTensor) for weight in shared.parameters())
    assert not any(isinstance(weight, DTensor) for weight in objective.parameters())
    blocks = {name for name, module in shared.named_modules() if hasattr(module, "unshard")}
    assert blocks == {"", "student.layers.0", "student.layers.1", "student.layers.2"}
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(shared(tokens=tokens)["loss"], objective(tokens=tokens)["loss"])
    shared(tokens=tokens)["loss"].backward()
    torch.optim.SGD(shared.parameters(), lr=0.1).step()
    assert not torch.equal(whole(shared.state_dict()["student.head.bias"]), before["student.head.bias"])
    assert all(torch.equal(weight, before[name]) for name, weight in objective.state_dict().items())
    load_whole(shared, before)
    assert all(torch.equal(whole(weight), before[name]) for name, weight in shared.state_dict().items())


def test_tensors_are_shared_out_as_a_weight_is_and_come_back_whole(alone):
    weight = next(shared_out(Plain(Layered(), {"loss": 1.0}), CPU).parameters())
    moment = torch.arange(28.0).view(7, 4)
    part = like(weight, moment)
    assert isinstance(part, DTensor) and part.placements == weight.placements
    assert torch.equal(whole(part), moment)
    assert like(moment, moment) is moment and whole(moment) is moment


# Several processes

_SHARED = """
import sys, torch
from pathlib import Path
import test_trainer as t
from torchrun import tell
walker, record = t.walk(t.Walker(), t.replace(t.WALK, batch_size=6, steps=12, checks=3), checkpoint=Path(sys.argv[1]))
assert max(map(len, walker.batches)) == 3, "each has its half of a step"
if torch.distributed.get_rank() == 0:
    tell([record.steps, record.history, float(walker.finished())])
torch.distributed.destroy_process_group()
"""


ACCELERATE = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}


@pytest.mark.long
@pytest.mark.slow
def test_a_student_shared_out_learns_what_a_whole_one_learns_and_goes_on_exactly(tmp_path):
    base = save_checkpoint(tmp_path / "base", layers=2)
    whole, killed, resumed, parts = sharded(
        tmp_path,
        base,
        Training("whole", shard=True),
        Training("killed", shard=True, dies=True),
        # The rest as `accelerate launch --use_fsdp --fsdp_version 2` would have it: that is the same.
        Training("resumed", checkpoint="killed", told=ACCELERATE),
        Training("parts", shard=True, accumulation=2),
    )
    steps, learned = whole
    assert steps == [0, SCHEDULE.steps]
    assert_learned(learned, base)
    assert killed is None
    (began, steps), again = resumed
    assert 0 < began < steps == SCHEDULE.steps, "a signal that came to one process stopped both, and was kept"
    assert all(torch.equal(learned[name], again[name]) for name in learned)
    assert_learned(parts[1], base)


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    """torchrun's way: gradients of the two halves of a step are those of the whole."""
    script = tmp_path / "shared.py"
    script.write_text(_SHARED)
    [(steps, history, weight)] = results(torchrun(script, tmp_path / "c"))
    alone, record = walk(schedule=replace(WALK, batch_size=6, steps=12, checks=3))
    assert steps == record.steps
    assert weight == pytest.approx(float(alone.finished()), abs=1e-6)
    for one, two in zip(record.history, history, strict=True):
        assert (one["step"], one["loss"]) == (two["step"], pytest.approx(two["loss"], abs=1e-6))
