"""The estimate of a run: right where all is known, and an interval that covers as often as it says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tutelage.economics import Estimate, added_up, estimate
from tutelage.errors import UsageError
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

TRIALS = 200


def answered(text: str, inputs: int, outputs: int, latency: float = 0.5) -> tuple[Prompt, Answer]:
    usage = Usage(inputs, outputs, (inputs * 0.4 + outputs * 1.6) / 1e6, latency, 1)
    return Prompt(text[:8], text), Answer(AnswerStatus.OK, "a", usage=usage)


def test_what_is_a_line_of_the_length_is_estimated_exactly() -> None:
    sample = [answered("x" * size, 100 + size, 5) for size in range(10, 30)]
    remaining = [Prompt(str(size), "y" * size) for size in (1, 50, 4_000)]
    got = estimate(sample, remaining, at_once=3)
    assert got.input_tokens == pytest.approx(300 + 4_051)
    assert got.output_tokens == pytest.approx(15)
    assert got.cost == pytest.approx(((300 + 4_051) * 0.4 + 15 * 1.6) / 1e6)
    assert got.high - got.low < 1e-9
    assert got.seconds == pytest.approx(0.5)


def test_length_is_counted_in_bytes() -> None:
    sample = [answered("é" * size, 2 * size, 0) for size in range(10, 30)]
    assert estimate(sample, [Prompt("p", "x" * 200)]).input_tokens == pytest.approx(200)


def trial(seed: int, sampled: int, heavy: bool) -> tuple[Estimate, float]:
    """A run over prompts of log-normal length, its answers short, or as skewed as reasoning."""
    random = np.random.default_rng(seed)
    count = sampled + 600
    sizes = np.ceil(random.lognormal(5, 1, count)).astype(int)
    inputs = np.round(150 + sizes * 0.25 * random.normal(1, 0.05, count)).astype(int)
    outputs = np.ceil(random.lognormal(5.5, 0.7, count)) if heavy else random.poisson(8, count) + 2
    rows = [answered("x" * size, int(a), int(b)) for size, a, b in zip(sizes, inputs, outputs, strict=True)]
    remaining = [prompt for prompt, _ in rows[sampled:]]
    return estimate(rows[:sampled], remaining), sum(answer.usage.cost for _, answer in rows[sampled:])


@pytest.mark.parametrize(("sampled", "heavy"), [(20, False), (100, False), (40, True), (100, True)])
def test_the_interval_covers_as_often_as_it_says(sampled: int, heavy: bool) -> None:
    trials = [trial(seed, sampled, heavy) for seed in range(TRIALS)]
    covered = sum(got.low <= truth <= got.high for got, truth in trials) / TRIALS
    assert 0.90 <= covered <= 0.985
    bias = np.mean([got.cost / truth - 1 for got, truth in trials])
    assert abs(bias) < 0.02


def test_knowing_lengths_makes_the_interval_narrow() -> None:
    got, truth = trial(1, 100, heavy=False)
    assert (got.high - got.low) / truth < 0.05


def test_the_hard_bound_cuts_the_interval() -> None:
    sample = [answered("x" * size, 100, size * size) for size in (1, 2, 50)]
    got = estimate(sample, [Prompt("p", "x")] * 10, most=0.001)
    assert 0.0 <= got.low <= got.cost <= got.high <= 0.001 == got.most
    assert "at most $0.00" in got.describe()


@pytest.mark.parametrize("count", [0, 1])
def test_too_small_a_sample_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="Mend: ask a larger sample"):
        estimate([answered("x", 1, 1)] * count, [])


def test_nothing_remains() -> None:
    got = estimate([answered("x", 1, 1)] * 2, [])
    assert (got.cost, got.low, got.high, got.seconds) == (0.0, 0.0, 0.0, 0.0)


def test_one_length_alone_leaves_the_mean() -> None:
    sample = [answered("x", 10, outputs) for outputs in (1, 2, 3) * 4]
    assert estimate(sample, [Prompt("p", "x" * 900)] * 5).output_tokens == pytest.approx(10)


def test_it_is_told_and_kept() -> None:
    got = Estimate(12_000, 200, 4.2, 3.9, 4.56, 5e6, 1e5, 7_300.0, 40.0)
    assert Estimate(**json.loads(json.dumps(got.to_json()))) == got
    assert got.describe() == (
        "12,000 prompts will cost about $4.20 (95% interval $3.90 to $4.56, from 200 answers): "
        "5,000,000 tokens in, 100,000 out, about 2 hours; at most $40.00"
    )


def test_several_teachers_add_up() -> None:
    cheap = estimate(
        [answered("x" * n, 10 + n % 3, 5) for n in range(10, 30)], [Prompt("1", "y" * 20)], most=1.0
    )
    dear = estimate([answered("x" * n, 500 + n % 7, 5) for n in range(10, 25)], [Prompt("1", "y" * 20)] * 2)
    both = added_up([cheap, dear])
    assert (both.prompts, both.sample, both.most) == (2, 15, None)
    for name in ("cost", "low", "high", "input_tokens", "output_tokens", "seconds"):
        assert getattr(both, name) == pytest.approx(getattr(cheap, name) + getattr(dear, name))
    assert added_up([cheap, cheap]).most == 2.0
    assert "about 2 seconds" in both.describe()
    assert "seconds" not in replace(both, seconds=0.0).describe()
