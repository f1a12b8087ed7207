"""Errors cross between processes with all that they tell."""

from __future__ import annotations

import pickle

import pytest

from tutelage import errors
from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable, TutelageError
from tutelage.scale.carried import Carried


def _tree(kind: type[TutelageError]) -> list[type[TutelageError]]:
    return [kind, *(below for one in kind.__subclasses__() for below in _tree(one))]


@pytest.mark.parametrize("kind", [one for one in _tree(TutelageError) if hasattr(errors, one.__name__)])
def test_every_error_of_the_tree_is_the_same_afterwards(kind):
    error = (
        kind("ray", "scale", "engine: ray") if kind is errors.MissingExtraError else kind("3 of 2 are gone")
    )
    carried = pickle.loads(pickle.dumps(Carried.of(error))).error()
    assert type(carried) is kind
    assert str(carried) == str(error)
    assert vars(carried) == vars(error)


def test_what_a_fault_cost_and_left_goes_along():
    error = TeacherUnavailable("429", 7.5, True, spent=0.25, unaccounted=0.5, fault="429")
    error.kept = {"a": ("one", "two")}
    carried = pickle.loads(pickle.dumps(Carried.of(error))).error()
    assert isinstance(carried, TeacherUnavailable)
    assert (carried.retry_after, carried.billed, carried.fault) == (7.5, True, "429")
    assert (carried.spent, carried.unaccounted) == (0.25, 0.5)
    assert carried.kept == {"a": ["one", "two"]}


def test_of_a_class_from_elsewhere_the_nearest_of_the_tree_is_kept():
    class Locked(TeacherRefusesAccess):
        pass

    assert type(Carried.of(Locked("no key")).error()) is TeacherRefusesAccess
