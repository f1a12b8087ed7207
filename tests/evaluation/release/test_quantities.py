from __future__ import annotations

import pytest

from tutelage.evaluation.release.quantities import PairedDifference, Share


def test_scaled_counts_never_exceed_the_examples_also_where_all_are_discordant():
    for n in range(1, 41):
        for only_a in range(n + 1):
            for examples in (n + 1, 2 * n, 3 * n + 1, 7 * n):
                found = PairedDifference(only_a, n - only_a, n).scaled(examples)
                assert min(found.only_a, found.only_b) >= 0
                assert found.only_a + found.only_b <= found.n == examples
                assert found.estimate == pytest.approx((2 * only_a - n) / n)
                share = Share(only_a, n).scaled(examples)
                assert 0 <= share.successes <= examples and share.estimate == pytest.approx(only_a / n)
