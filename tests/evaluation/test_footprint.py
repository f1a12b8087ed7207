import os
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tutelage.errors import UsageError
from tutelage.evaluation import Footprint, measure_footprint


class Model:
    """Takes a known time for each call and text, and keeps what it was called with.

    `worked` is what its processor would have counted: 2 ms a call.
    """

    def __init__(self, call=0.0, text=0.0):
        self.call, self.text, self.batches, self.threads, self.worked = call, text, [], set(), 0.0

    def predict(self, texts):
        self.batches.append(list(texts))
        self.threads |= {pool["num_threads"] for pool in threadpool_info()}
        self.tokenizers = os.environ["TOKENIZERS_PARALLELISM"]
        self.worked += 0.002
        time.sleep(self.call + self.text * len(texts))
        return np.zeros((len(texts), 2), np.float32)


def test_latency_and_throughput_are_those_of_the_model(monkeypatch):
    model = Model(call=0.004, text=0.0001)
    monkeypatch.setattr("tutelage.evaluation.footprint.time.thread_time", lambda: model.worked)
    got = measure_footprint(
        model.predict, ["x", "y"], folder=None, parameters=7, size_mb=1.5, calls=20, seconds=0.3
    )
    assert 4.1 <= got.latency_p50_ms <= got.latency_p95_ms
    assert 0 < got.throughput <= 64 / (0.004 + 0.0064)
    assert (got.parameters, got.size_mb) == (7, 1.5)
    assert got.processor_p95_ms == pytest.approx(2.0)


def test_texts_go_in_turn_one_at_a_time_and_then_in_batches():
    model = Model()
    measure_footprint(model.predict, ["x", "y", "z"], folder=None, parameters=None, calls=30)
    singles = [batch for batch in model.batches if len(batch) == 1]
    assert len(singles) == 10 + 30
    assert singles[10:14] == [["x"], ["y"], ["z"], ["x"]]
    assert {len(batch) for batch in model.batches} == {1, 64}
    assert set(model.batches[-1]) == {"x", "y", "z"}


def test_a_slow_model_is_timed_no_longer_than_said():
    model = Model(call=0.03)
    measure_footprint(model.predict, ["x"], folder=None, parameters=None, calls=300, seconds=0.2)
    assert 1 + 5 <= len([batch for batch in model.batches if len(batch) == 1]) < 10 + 10


def test_all_runs_on_one_thread_and_is_restored(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    before = [pool["num_threads"] for pool in threadpool_info()]
    model = Model()
    measure_footprint(model.predict, ["x"], folder=None, parameters=None, calls=1)
    assert model.threads <= {1}
    assert model.tokenizers == "false"
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_torch_is_held_to_one_thread_and_given_back_even_after_an_error():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []

    def predict(texts):
        seen.append(torch.get_num_threads())
        raise ValueError

    try:
        with pytest.raises(ValueError):
            measure_footprint(predict, ["x"], folder=None, parameters=None)
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_size_is_that_of_all_files(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"0" * 1_500_000)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.onnx").write_bytes(b"0" * 500_000)
    got = measure_footprint(Model().predict, ["x"], folder=tmp_path, parameters=None, calls=1)
    assert got.size_mb == 2.0


def test_nothing_to_measure_is_refused():
    with pytest.raises(UsageError, match="no text"):
        measure_footprint(Model().predict, [], folder=None, parameters=None)
    with pytest.raises(UsageError, match="calls is 0"):
        measure_footprint(Model().predict, ["x"], folder=None, parameters=None, calls=0)


def test_what_isnt_known_is_none():
    assert Footprint() == Footprint(None, None, None, None, None, None, None)
