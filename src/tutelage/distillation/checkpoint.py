"""Where a killed run goes on: tensors in safetensors, the rest in JSON, nothing that runs code when read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage import storage
from tutelage.distillation.record import TrainingRecord
from tutelage.distillation.sharding import like, whole
from tutelage.errors import IntegrityError

Tensors = dict[str, Tensor]


@dataclass
class Snapshot:
    """All that a run follows from at one step: weights now, the best ones, optimiser, random numbers."""

    record: TrainingRecord
    weights: Tensors
    best: Tensors
    optimizer: Tensors  # "<number of the weight>.<name>"
    random: Tensors

    def tensors(self) -> Tensors:
        """Flat, under dotted names."""
        return {
            f"{kind}.{name}": tensor.contiguous()
            for kind in ("weights", "best", "optimizer", "random")
            for name, tensor in getattr(self, kind).items()
        }

    @classmethod
    def of(cls, record: TrainingRecord, tensors: Tensors) -> Snapshot:
        """The inverse of `tensors`."""
        kinds: dict[str, Tensors] = {kind: {} for kind in ("weights", "best", "optimizer", "random")}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            kinds[kind][rest] = tensor
        return cls(record, **kinds)


class Checkpoint:
    """A folder with the last snapshot: `step-<n>.safetensors`, which counts once `checkpoint.json` names it.

    `fingerprint` ties it to data and recipe: another's is not taken up, nor is one that is damaged. It is
    removed by whoever keeps the finished student.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self._fingerprint = folder, fingerprint

    def write(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` in place of the one before. A kill at any moment leaves one of the two whole."""
        from safetensors.torch import save

        weights = self.folder / f"step-{snapshot.record.steps}.safetensors"
        content = save({name: part.clone() for name, part in snapshot.tensors().items()})
        storage.write_bytes(weights, content, readable=True)  # mapped into memory when it is read
        about = {"record": asdict(snapshot.record), "weights": storage.hash_file(weights)}
        storage.write_json(self.folder / "checkpoint.json", {**about, "hash": self._hash(about)})
        for old in self.folder.glob("step-*.safetensors"):
            if old != weights:
                old.unlink()

    def read(self) -> Snapshot | None:
        """The snapshot, or None where there is none of this run."""
        from safetensors.torch import load_file

        about = self._read_about()
        if about is None:
            return None
        record = TrainingRecord(**about["record"])
        path = self.folder / f"step-{record.steps}.safetensors"
        if not path.exists() or storage.hash_file(path) != about["weights"]:
            return None
        return Snapshot.of(record, load_file(path))

    def _read_about(self) -> dict[str, Any] | None:
        path = self.folder / "checkpoint.json"
        if not path.exists():
            return None
        try:
            content = storage.read_json(path)
            about: dict[str, Any] = {name: content[name] for name in ("record", "weights")}
            digest = content["hash"]
        except (IntegrityError, KeyError, TypeError):
            return None
        return about if digest == self._hash(about) else None

    def _hash(self, about: dict[str, Any]) -> str:
        return storage.hash_json([self._fingerprint, about])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimiser's state as whole tensors, by the number of the weight that it belongs to.

    All processes have to ask where weights are shared out.
    """
    return {
        f"{index}.{name}": whole(torch.as_tensor(value))
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put `optimizer_tensors` back. Groups keep what they were made with; the schedule sets their rates."""
    content = optimizer.state_dict()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        weight = weights[int(index)]
        state.setdefault(int(index), {})[key] = like(weight, value) if value.shape == weight.shape else value
    optimizer.load_state_dict({**content, "state": state})


def random_tensors() -> Tensors:
    """The states of torch's generators, from which dropout and sampling follow."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(states: Tensors, process: int = 0) -> None:
    """Put `random_tensors` back, as `process` had them; the first one's where it had none."""
    own = {kind: states.get(f"{kind}.{process}", states.get(kind)) for kind in ("cpu", "cuda")}
    if own["cpu"] is not None:
        torch.set_rng_state(own["cpu"])
    if own["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"])
