from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_world import signals
from tutelage.distillation import Signals, hard_labels, read_signals
from tutelage.distillation.signals import hold_back
from tutelage.records import answered_schema, dump_value
from tutelage.tasks import Classify

TASK = Classify(("a", "b", "c"))
MULTI = Classify(("a", "b", "c"), multi_label=True)


def row(text, value=None, distribution=None, gold=None, status="ok"):
    return {
        "id": text,
        "text": text,
        "source": "",
        "slice": "normal",
        "hash": text,
        "status": status,
        "value": None if value is None else dump_value(value),
        "distribution": distribution,
        "origin": "model" if distribution else "none",
        "cost": 0.0,
        "gold": None if gold is None else dump_value(gold),
    }


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=answered_schema())


def numbered(n):
    """Signals whose texts tell their rows."""
    names = np.arange(n, dtype=np.float32)[:, None].repeat(3, axis=1)
    flags = np.arange(n) % 2 == 0
    return Signals(tuple(map(str, range(n))), names, flags, ~flags, names + 0.5, flags)


def test_rows_become_arrays():
    found = read_signals(
        table(
            row("soft", "b", [0.25, 0.5, 0.25]),
            row("hard", "c"),
            row("both", "b", [0.5, 0.25, 0.25], gold="a"),
            row("gold only", status="unparseable", gold="c"),
        ),
        TASK,
    )
    assert found.texts == ("soft", "hard", "both", "gold only")
    assert found.teacher.dtype == found.gold.dtype == np.float32
    assert found.teacher.tolist() == [[0.25, 0.5, 0.25], [0, 0, 1], [0.5, 0.25, 0.25], [0, 0, 0]]
    assert found.softened.tolist() == [True, False, True, False]
    assert found.has_teacher.tolist() == [True, True, True, False]
    assert found.gold.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found.has_gold.tolist() == [False, False, True, True]
    assert found.targets.tolist() == [[0.25, 0.5, 0.25], [0, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_what_a_person_corrected_is_a_hard_label():
    corrected = row("corrected", "c") | {"origin": "human", "teacher_value": dump_value("a")}
    certain = row("certain", "b", [0.0, 1.0, 0.0]) | {"origin": "human"}
    found = read_signals(table(corrected, certain, row("soft", "b", [0.25, 0.5, 0.25])), TASK)
    assert found.teacher.tolist() == [[0, 0, 1], [0, 1, 0], [0.25, 0.5, 0.25]]
    assert found.softened.tolist() == [False, False, True]
    assert found.has_teacher.all() and not found.has_gold.any()


@pytest.mark.parametrize("status", ["unparseable", "out_of_set", "refused"])
def test_quarantined_answers_do_not_teach(status):
    found = read_signals(
        table(row("kept", "a"), row("x", status=status), row("y", "b", [0.0, 1.0, 0.0], "c", status)), TASK
    )
    assert found.texts == ("kept", "y")
    assert found.has_teacher.tolist() == [True, False]
    assert found.teacher[1].tolist() == [0, 0, 0] and not found.softened[1]
    assert found.targets[1].tolist() == [0, 0, 1]


def test_several_labels_or_none():
    found = read_signals(
        table(
            row("two", ("a", "c")),
            row("none", ()),
            row("soft", ("b",), [0.1, 0.9, 0.8], gold=()),
            row("r", ()),
        ),
        MULTI,
    )
    assert found.teacher[:2].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert found.teacher[2] == pytest.approx([0.1, 0.9, 0.8])
    assert found.has_gold.tolist() == [False, False, True, False]
    assert found.targets[2].tolist() == [0, 0, 0]


def test_an_empty_transfer_set_has_no_signals():
    found = read_signals(table(), TASK)
    assert len(found) == 0
    assert found.targets.shape == (0, 3)


# The control arm


def test_hard_labels_of_humans_are_theirs_alone():
    everything = signals()
    control = hard_labels(everything, "gold", TASK)
    chosen = np.flatnonzero(everything.has_gold)
    assert control.texts == tuple(everything.texts[index] for index in chosen)
    assert control.has_gold.all() and not control.has_teacher.any() and not control.softened.any()
    np.testing.assert_array_equal(control.targets, everything.gold[chosen])
    np.testing.assert_array_equal(control.teacher, everything.gold[chosen])


def test_hard_labels_of_the_teacher_carry_nothing_of_its_distribution():
    everything = signals()
    control = hard_labels(everything, "teacher", TASK)
    asked = everything.has_teacher
    assert control.teacher.dtype == np.float32
    np.testing.assert_array_equal(control.teacher[asked], np.eye(3)[everything.teacher[asked].argmax(1)])
    assert not control.teacher[~asked].any() and not control.softened.any()
    assert control.texts == everything.texts
    np.testing.assert_array_equal(control.has_teacher, asked)
    np.testing.assert_array_equal(control.gold, everything.gold)
    np.testing.assert_array_equal(control.has_gold, everything.has_gold)


def test_hard_labels_of_a_teacher_with_several():
    found = read_signals(table(row("x", ("b", "c"), [0.1, 0.9, 0.5]), row("y", (), [0.2, 0.3, 0.4])), MULTI)
    assert hard_labels(found, "teacher", MULTI).teacher.tolist() == [[0, 1, 1], [0, 0, 0]]


# Held back


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 50))
def test_what_is_held_back_is_a_share_and_apart(n, share, seed):
    learning, validation = hold_back(numbered(n), share, seed)
    assert len(validation) == max(1, min(n - 1, round(share * n)))
    assert len(learning) == n - len(validation)
    assert sorted(map(int, [*learning.texts, *validation.texts])) == list(range(n))
    for part in (learning, validation):
        rows = np.array(list(map(int, part.texts)))
        np.testing.assert_array_equal(part.teacher[:, 0], rows)
        np.testing.assert_array_equal(part.gold[:, 0], rows + 0.5)
        np.testing.assert_array_equal(part.softened, rows % 2 == 0)
        np.testing.assert_array_equal(part.has_teacher, rows % 2 == 1)
        np.testing.assert_array_equal(part.has_gold, rows % 2 == 0)


def test_the_split_follows_from_the_seed():
    first, again, other = (hold_back(numbered(200), 0.2, seed)[1].texts for seed in (1, 1, 2))
    assert first == again
    assert len(set(first) & set(other)) < 20
