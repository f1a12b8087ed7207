from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import StudentConfig
from tutelage.distillation.recipes import SoftTargets

LIMITS = {"encoder": (2.2, 32, 300, 20_000), "static": (11, 64, 1_000, 50_000)}


def recipe(examples=5_000, family="encoder", other_steps=0, **config):
    return SoftTargets.planned(StudentConfig(family=family, **config), examples, other_steps)


@pytest.mark.parametrize("family", sorted(LIMITS))
def test_a_small_set_gets_more_passes_and_a_large_one_fewer(family):
    epochs, batch, least, most = LIMITS[family]
    assert recipe(20, family).steps == least
    assert recipe(10_000_000, family).steps == most
    middle = int((least + most) * batch / (2 * epochs))
    assert recipe(middle, family).steps == round(epochs * math.ceil(middle / batch))


@given(
    st.sampled_from(sorted(LIMITS)),
    st.integers(10, 100_000),
    st.integers(1, 40),
    st.integers(1, 512) | st.none(),
)
def test_epochs_asked_for_are_neither_raised_nor_cut(family, examples, epochs, batch):
    found = recipe(examples, family, epochs=epochs, batch_size=batch)
    assert found.schedule.batch_size == (batch or LIMITS[family][1])
    assert found.steps == epochs * math.ceil(examples / found.schedule.batch_size)


@given(st.sampled_from(sorted(LIMITS)), st.integers(10, 10_000_000))
def test_steps_never_fall_as_examples_grow(family, examples):
    assert recipe(examples, family).steps <= recipe(examples + 1_000, family).steps


@pytest.mark.parametrize("family", sorted(LIMITS))
def test_a_control_on_few_labels_does_not_want_for_steps(family):
    least = LIMITS[family][2]
    few = recipe(20, family, epochs=1).steps
    assert few < least // 2
    assert recipe(20, family, epochs=1, other_steps=10 * least).steps == least
    assert recipe(20, family, epochs=1, other_steps=least // 2).steps == least // 2, (
        "no more than the student"
    )
    assert recipe(20, family, epochs=1, other_steps=1).steps == few, "no fewer than were asked for"
    assert recipe(20, family, other_steps=10 * least).steps == recipe(20, family).steps == least


def test_what_the_file_says_wins_also_where_it_is_zero():
    found = recipe(temperature=4.0, hard_weight=0.0, learning_rate=1e-5, seed=7)
    assert (
        found.temperature,
        found.hard_weight,
        found.schedule.learning_rate,
        found.schedule.seed,
    ) == (4.0, 0.0, 1e-5, 7)


def test_what_the_file_leaves_open_is_the_familys():
    static, encoder = recipe(family="static"), recipe(family="encoder")
    assert static.schedule.learning_rate > encoder.schedule.learning_rate
    assert (static.schedule.warmup, encoder.schedule.warmup) == (0.0, 0.1)
    assert 0.0 < static.hard_weight < 1.0
    assert 0 < static.schedule.patience < static.schedule.checks
