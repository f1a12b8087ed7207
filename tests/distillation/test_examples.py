from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import ConfigError

torch = pytest.importorskip("torch")

from tutelage.distillation.examples import Arrays, Batches, Joined  # noqa: E402


def test_parts_of_the_same_examples_are_batched_together():
    inputs, targets = Arrays({"x": np.arange(6).reshape(3, 2)}), Arrays({"y": np.array([0.5, 1.0, 2.0])})
    joined = Joined(inputs, targets)
    found = joined.batch(np.array([2, 0]))
    assert (found["x"].tolist(), found["y"].tolist()) == ([[4, 5], [0, 1]], [2.0, 0.5])
    assert len(joined) == 3 and joined.lengths.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"\[3, 2\] examples"):
        Joined(inputs, Arrays({"y": np.zeros(2)}))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=140),
    st.integers(1, 4) | st.integers(1, 150),
    st.integers(0, 100),
)
def test_batches_cover_every_example_once_an_epoch(lengths, size, seed):
    batches = Batches(np.array(lengths), size, seed)
    assert len(batches) == batches.steps == math.ceil(len(lengths) / size)
    for batches.epoch in range(3):
        found = list(batches)
        assert sorted(np.concatenate(found)) == list(range(len(lengths)))
        assert sorted(map(len, found))[1:] == [size] * (len(batches) - 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 30), min_size=12, max_size=140),
    st.integers(12, 40),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 100),
)
def test_a_step_takes_the_same_examples_on_one_process_or_many(lengths, size, parts, processes, seed):
    """Cut into parts and shared out, the examples of each step are those of an uncut step."""

    def steps(parts, processes):
        shares = [
            list(Batches(np.array(lengths), size, seed, parts=parts, processes=processes, rank=rank))
            for rank in range(processes)
        ]
        assert all(len(share) == len(shares[0]) and all(share) for share in shares)
        return [
            sorted(
                np.concatenate([batch for share in shares for batch in share[first : first + parts]]).tolist()
            )
            for first in range(0, len(shares[0]), parts)
        ]

    many = steps(parts, processes)
    assert sorted(np.concatenate(many)) == list(range(len(lengths)))
    if len(lengths) % size == 0 or len(lengths) % size >= parts * processes:
        assert many == steps(1, 1)


def test_a_step_of_fewer_examples_than_parts_is_refused():
    with pytest.raises(ConfigError, match=r"3 examples.*2 parts.*2 processes.*accumulation"):
        Batches(np.ones(20), 3, 0, parts=2, processes=2)
