"""Batches by workers of a real cluster."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")

from doubling import Doubling

from tutelage.config import EngineConfig
from tutelage.errors import DataError
from tutelage.progress import Silent
from tutelage.scale import LOCAL, open_engine


def batches(count):
    return [list(range(100 * n, 100 * n + n % 4 + 1)) for n in range(1, count)]


@pytest.fixture
def engine(nodes):
    with open_engine(EngineConfig(type="ray", address=nodes.address), Silent()) as engine:
        yield engine


@pytest.mark.long
def test_results_come_in_order_and_are_those_of_the_local_engine(engine):
    assert list(engine.map_batches(Doubling(), batches(30))) == list(
        LOCAL.map_batches(Doubling(), batches(30), most=1)
    )
    assert list(engine.map_batches(Doubling(), [])) == []


@pytest.mark.long
def test_an_error_of_the_work_is_raised_here(engine):
    with pytest.raises(DataError, match="13 is no number"):
        list(engine.map_batches(Doubling(), [[1], [13], [2]]))


@pytest.mark.long
def test_a_batch_whose_worker_dies_is_done_again(engine, tmp_path):
    found = list(engine.map_batches(Doubling(tmp_path, dies_at=500), batches(12)))
    assert (tmp_path / "died").exists()
    assert found == [[2 * number for number in batch] for batch in batches(12)]
