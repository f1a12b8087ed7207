"""What is still to be paid, from what was paid so far."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.economics import LEAST_SAMPLE, Estimate, added_up, estimate
from tutelage.labelling import Share


def estimate_of(shares: Sequence[Share], at_once: float, least: int = LEAST_SAMPLE) -> Estimate | None:
    """What all teachers together will take for what is left to ask them, `at_once` calls at a time.

    None where nothing is left, or a teacher has given fewer than `least` answers to reckon from.
    """
    open_ = [share for share in shares if share.left]
    if not open_ or any(len(share.answers) < least for share in open_):
        return None
    return added_up(
        [estimate(share.answers, share.left, most=share.most, at_once=at_once) for share in open_]
    )
