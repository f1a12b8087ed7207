"""What a phase of training reads: examples by index, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tutelage.errors import ConfigError
from tutelage.students.protocol import Examples

_POOL = 32  # batches whose examples are sorted by length together: little padding, order still random


@dataclass(frozen=True)
class Arrays:
    """Examples that are rows of arrays, under their names."""

    arrays: Mapping[str, npt.NDArray[Any]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """All alike."""
        return np.ones(len(self), np.int64)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        return {name: torch.from_numpy(array[indices]) for name, array in self.arrays.items()}


class Joined:
    """The same examples from several sides (inputs here, targets there): their batches in one.

    Lengths are the first's. Raises ValueError where the parts aren't equally many.
    """

    def __init__(self, *parts: Examples) -> None:
        counts = [len(part) for part in parts]
        if len(set(counts)) != 1:
            raise ValueError(f"parts of {counts} examples don't belong together")
        self._parts = parts
        self.lengths = parts[0].lengths

    def __len__(self) -> int:
        return len(self._parts[0])

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        return {name: tensor for part in self._parts for name, tensor in part.batch(indices).items()}


class Batches:
    """The batches of one process for each epoch, in an order that follows from seed and epoch alone.

    A step takes `size` examples of similar length, whatever machine takes it: they are cut into `parts`
    batches for each of `processes`, and this yields those of process `rank`. A last step too small to be
    cut joins the one before it. Raises ConfigError where a step has fewer examples than parts.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.int64],
        size: int,
        seed: int,
        *,
        parts: int = 1,
        processes: int = 1,
        rank: int = 0,
    ) -> None:
        if min(size, len(lengths)) < parts * processes:
            raise ConfigError(
                f"a step of {min(size, len(lengths))} examples can't be cut into {parts} parts for each of "
                f"{processes} processes. Mend: raise student.batch_size or lower student.accumulation"
            )
        self.epoch = 0
        self._lengths, self._size, self._seed = lengths, size, seed
        self._parts, self._processes, self._rank = parts, processes, rank

    @property
    def steps(self) -> int:
        """Of one epoch."""
        whole, rest = divmod(len(self._lengths), self._size)
        return max(1, whole + (rest >= self._parts * self._processes))

    def __len__(self) -> int:
        return self.steps * self._parts

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            cuts = np.array_split(step, self._parts * self._processes)
            for cut in cuts[self._rank :: self._processes]:
                yield cut.tolist()

    def _steps(self) -> list[npt.NDArray[np.int64]]:
        generator = np.random.default_rng([self._seed, self.epoch])
        order = generator.permutation(len(self._lengths))
        steps: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), self._size * _POOL):
            pool = order[start : start + self._size * _POOL]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            steps += [pool[first : first + self._size] for first in range(0, len(pool), self._size)]
        if len(steps) > self.steps:
            *steps, before, rest = steps
            steps.append(np.concatenate([before, rest]))
        return [steps[index] for index in generator.permutation(len(steps))]
