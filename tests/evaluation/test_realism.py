from __future__ import annotations

import numpy as np
import pytest

from tutelage.evaluation.realism import measure_realism


def _points(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
    points[:, 0] += shift
    return points


def test_what_is_alike_cant_be_told_and_what_strays_can():
    real, shown = _points(800, 0), np.zeros(800, bool)
    alike = measure_realism(_points(200, 1), real, shown)
    assert alike["classifier"]["low"] < 0.5 < alike["classifier"]["high"]
    assert alike["nearest"]["low"] < 0.5 < alike["nearest"]["high"]
    far = measure_realism(_points(200, 1, 3.0), real, shown)
    assert far["classifier"]["low"] > 0.9
    assert far["nearest"]["nearer"] < 0.2
    assert (far["n"], far["n_real"], far["matched"]) == (200, 800, None)


def test_copies_are_nearer_than_real_ones():
    real = _points(800, 0)
    shown = np.arange(800) < 200
    copies = real[:200] + 0.01 * _points(200, 2)
    assert measure_realism(copies, real, shown)["nearest"]["nearer"] > 0.95


def test_within_their_groups_prompts_of_the_thin_are_alike_though_the_traffic_isnt():
    rare, common = _points(100, 0, 4.0), _points(900, 1)
    real, shown = np.concatenate([rare, common]), np.zeros(1000, bool)
    groups = (["rare"] * 80, ["rare"] * 100 + ["common"] * 900)
    found = measure_realism(_points(80, 2, 4.0), real, shown, groups=groups)
    assert found["classifier"]["low"] > 0.7
    assert found["matched"]["low"] < 0.5 < found["matched"]["high"]
    assert found["matched"]["n_written"] == found["matched"]["n_real"] == 40


@pytest.mark.parametrize("n", [1, 9])
def test_of_too_few_nothing_is_said(n):
    real = _points(100, 0)
    found = measure_realism(_points(n, 1), real, np.zeros(100, bool), groups=(["a"] * n, ["b"] * 100))
    assert found["nearest"] is found["classifier"] is found["matched"] is None
    shown = measure_realism(_points(50, 1), real, np.ones(100, bool))
    assert shown["classifier"] is None
