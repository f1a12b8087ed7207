from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from tutelage.students.optimizers import RowAdam  # noqa: E402

ROWS, WIDTH = 7, 3


def _steps(optimizer_of, read):
    """Weights after a step for each list of rows; rows read twice have the sum of both gradients."""
    torch.manual_seed(0)
    table = torch.nn.Embedding(ROWS, WIDTH, sparse=True)
    optimizer = optimizer_of(table.weight)
    for number, rows in enumerate(read):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
        optimizer.zero_grad()
        (table(torch.tensor(rows, dtype=torch.int64)).square() * (1 + number)).sum().backward()
        optimizer.step()
    return table.weight.detach()


@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=6), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_its_steps_are_those_of_torchs_sparse_adam(read):
    ours = _steps(lambda weight: RowAdam(weight, 0.1), read)
    theirs = _steps(lambda weight: torch.optim.SparseAdam([weight], lr=0.1), read)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_that_were_not_read_stay_as_they_are():
    before = _steps(lambda weight: RowAdam(weight, 0.1), [])
    after = _steps(lambda weight: RowAdam(weight, 0.1), [[2, 2], [4]])
    assert (before != after).any(1).nonzero().flatten().tolist() == [2, 4]


def test_a_weight_without_a_gradient_has_no_step():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = RowAdam(weight, 0.1)
    optimizer.step()
    assert torch.equal(weight, torch.ones(2, 2)) and not optimizer.state
    with pytest.raises(TypeError, match="no closure"):
        optimizer.step(lambda: 0.0)
