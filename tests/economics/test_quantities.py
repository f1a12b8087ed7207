import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from money_world import quantities
from tutelage.economics import Ends, Origin, Quantity
from tutelage.errors import UsageError

ENDS = st.lists(st.floats(0.0, 1e9), min_size=3, max_size=3).map(sorted)


@pytest.mark.parametrize("low, likely, high", [(0.1, 0.25, 1.0), (2.0, 2.0, 5.0), (2.0, 5.0, 5.0)])
def test_draws_are_triangular(low, likely, high):
    drawn = quantities(audit=(low, likely, high)).draw(20_000, seed=1)["audit"]
    wanted = stats.triang((likely - low) / (high - low), loc=low, scale=high - low)
    assert stats.kstest(drawn, wanted.cdf).pvalue > 1e-3


@given(ENDS)
def test_draws_stay_between_the_ends(ends):
    drawn = quantities(audit=tuple(ends)).draw(50, seed=0)["audit"]
    slack = 1e-9 * ends[2]
    assert (drawn >= ends[0] - slack).all() and (drawn <= ends[2] + slack).all()


def test_one_quantitys_range_leaves_the_others_draws_alone():
    one = quantities(utilisation=(0.1, 0.2, 0.3))
    both = quantities(utilisation=(0.1, 0.2, 0.3), escalation=(0.0, 0.5, 1.0))
    assert np.array_equal(one.draw(10, seed=3)["utilisation"], both.draw(10, seed=3)["utilisation"])
    assert not np.array_equal(one.draw(10, seed=3)["utilisation"], one.draw(10, seed=4)["utilisation"])


@pytest.mark.parametrize("ends", [(2, 1, 3), (1, 3, 2), (-1, 0, 1), (0, 1, math.inf), (math.nan, 1, 2)])
def test_ends_that_do_not_rise_are_refused(ends):
    with pytest.raises(UsageError, match="speed.*Mend"):
        Quantity.of("speed", "", ends, Origin.ASSUMED, "")


def test_ends_add_multiply_and_divide_to_the_widest():
    one, other = Ends(1.0, 2.0, 4.0), Ends(2.0, 4.0, 5.0)
    assert one.plus(other) == (3.0, 6.0, 9.0)
    assert one.times(other) == (2.0, 8.0, 20.0)
    assert one.over(other) == (0.2, 0.5, 2.0)
    assert Ends.at(3.0).scaled(2.0) == (6.0, 6.0, 6.0)
