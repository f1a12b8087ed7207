from __future__ import annotations

import os
from functools import partial
from operator import floordiv

import pytest

from tutelage.data.processes import ProcessDied, map_batches


def test_results_come_in_order_from_other_processes():
    assert list(map_batches(partial(floordiv, 1_000), range(1, 40), most=2)) == [
        1_000 // n for n in range(1, 40)
    ]


def test_what_the_work_raises_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(map_batches(partial(floordiv, 1), [*range(1, 20), 0], most=2))


def test_a_process_that_dies_is_told():
    with pytest.raises(ProcessDied, match="ended with 7"):
        list(map_batches(os._exit, [7] * 20, most=2))
