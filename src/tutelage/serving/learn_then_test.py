"""Finding the threshold above which a student may answer, with bounds on its errors there.

The method is Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021): every threshold of a list is
the null hypothesis that its errors exceed a bound, tested exactly on a calibration part, from the strictest
threshold on. What is tested is fixed before an error is seen, so the list must come from elsewhere:
`threshold_list` makes it of the student's confidence on prompts without labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.errors import DataError, UsageError
from tutelage.serving.certificate import Among, Bound, Claim, Reference

Confidences = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CalibrationPart:
    """What a student said of prompts with known answers, none of which it learned from or was chosen on.

    `confidence` is float64 [n], NaN where it stated none or must not answer (out of scope): there it never
    answers. `wrong` has bool [n] for each reference, `slices` a name for each prompt. Raises DataError where
    the lengths differ or there is none.
    """

    confidence: Confidences
    wrong: Mapping[Reference, Flags]
    slices: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.confidence), *map(len, self.wrong.values())}
        if self.slices:
            lengths.add(len(self.slices))
        if len(lengths) > 1 or not self.wrong or 0 in lengths:
            raise DataError(
                f"a calibration part has columns of {', '.join(map(str, sorted(lengths)))} rows. "
                "Mend: give confidence, errors and slices of the same prompts, of one at least"
            )


@dataclass(frozen=True, slots=True)
class Certified:
    """A threshold at which all bounds hold together with probability 1 − δ.

    `answered` of `n` calibration prompts lie at or above it.
    """

    threshold: float
    delta: float
    answered: int
    n: int
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class NotCertified:
    """No threshold of the list holds the bounds: at the one that came nearest, `claims` show by how much.

    `needed` is the number of calibration prompts with which that one would have passed had their share of
    errors been the same; None where it is above the bound.
    """

    threshold: float
    delta: float
    claims: tuple[Claim, ...]
    needed: int | None = None


def fewest(bound: Bound, delta: float, errors: int = 0) -> int:
    """The smallest number of requests at which so many errors still hold a bound at confidence 1 − δ."""
    from scipy.special import bdtr

    low, high = errors + 1, errors + 1
    while bdtr(errors, high, bound.limit) > delta:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if bdtr(errors, middle, bound.limit) > delta else (low, middle)
    return low


def threshold_list(
    confidence: Confidences,
    rows: Mapping[str | None, int],
    bounds: Sequence[Bound],
    delta: float,
    steps: int = 100,
) -> Confidences:
    """Thresholds to be tested, strictest first: float64 [at most `steps`], descending, without repeats.

    `confidence` (float64, NaN where it has none) is of prompts outside the calibration part: the thresholds
    are its quantiles. `rows` counts the calibration part's prompts, by slice where a bound is about one, and
    in all under None. The strictest threshold answers so many that a few errors among them don't yet break a
    bound, since the test of a fixed sequence ends at the first that fails.

    Raises DataError where no prompt has a confidence, UsageError for a slice of which `rows` has none.
    """
    for bound in bounds:
        if not rows.get(bound.slice):
            raise _without_slice(bound)
    stated = np.sort(confidence[~np.isnan(confidence)])
    if not len(stated):
        raise DataError(
            "no prompt has a stated confidence, so no threshold can be named. Mend: a student that states one"
        )
    first = max(
        (fewest(b, delta, _SPARE) / rows[b.slice] for b in bounds if b.among is Among.ANSWERED), default=0.0
    )
    least = min(max(first, 1 / steps), 1.0)
    shares = np.linspace(least, len(stated) / len(confidence), steps)
    kept = np.clip(np.ceil(shares * len(confidence)).astype(int), 1, len(stated))
    return np.unique(stated[len(stated) - kept])[::-1]


_SPARE = 2  # errors that the strictest threshold bears


def certify(
    part: CalibrationPart, bounds: Sequence[Bound], thresholds: Confidences, delta: float = 0.05
) -> Certified | NotCertified:
    """The laxest threshold at which all `bounds` hold, with probability at least 1 − `delta` that they do.

    `thresholds` must not depend on the part (see `threshold_list`); they are tested from the first on, and
    the test stops at the first that fails, so none needs a correction for the others (fixed sequence testing;
    Maurer, Hothorn and Lehmacher 1995). A threshold passes where every bound does (an intersection-union
    test, which needs none either). A bound's p-value is exact: the probability of so few errors, were their
    share just the limit. The prompts are taken as drawn independently from the requests to come.

    Raises UsageError for a reference or slice that the part lacks, and for a `delta` outside (0, 1).
    """
    _check(part, bounds, delta)
    passed: tuple[float, tuple[Claim, ...]] | None = None
    for threshold, claims in _claims(part, bounds, thresholds, delta):
        if max(claim.p_value for claim in claims) > delta:
            if passed is None:
                return NotCertified(threshold, delta, claims, _needed(claims, len(part.confidence), delta))
            break
        passed = threshold, claims
    if passed is None:
        raise UsageError("no threshold to test. Mend: give threshold_list some prompts")
    threshold, claims = passed
    return Certified(
        threshold, delta, int((part.confidence >= threshold).sum()), len(part.confidence), claims
    )


def _check(part: CalibrationPart, bounds: Sequence[Bound], delta: float) -> None:
    if not 0 < delta < 1:
        raise UsageError(f"delta {delta:g} is not between 0 and 1. Mend: give e.g. 0.05")
    if not bounds:
        raise UsageError("a certificate without a bound says nothing. Mend: give one at least")
    for bound in bounds:
        if bound.reference not in part.wrong:
            raise UsageError(
                f"the calibration part has no errors against {bound.reference}, which a bound is about. "
                f"Mend: give them, or leave the bound out"
            )
        if bound.slice is not None and bound.slice not in part.slices:
            raise _without_slice(bound)


def _without_slice(bound: Bound) -> UsageError:
    return UsageError(
        f"the calibration part has no prompt of slice {bound.slice!r}, which a bound is about. "
        "Mend: add some, or leave the bound out"
    )


def _claims(
    part: CalibrationPart, bounds: Sequence[Bound], thresholds: Confidences, delta: float
) -> Iterator[tuple[float, tuple[Claim, ...]]]:
    slices = np.array(part.slices)
    everywhere = np.ones(len(part.confidence), bool)
    members = [everywhere if bound.slice is None else slices == bound.slice for bound in bounds]
    for threshold in thresholds.tolist():
        answered = part.confidence >= threshold  # NaN never is
        yield (
            threshold,
            tuple(
                _claim(bound, answered & member, part.wrong[bound.reference], int(member.sum()), delta)
                for bound, member in zip(bounds, members, strict=True)
            ),
        )


def _claim(bound: Bound, answered: Flags, wrong: Flags, requests: int, delta: float) -> Claim:
    from scipy.special import bdtr, betaincinv

    n = requests if bound.among is Among.ALL else int(answered.sum())
    errors = int((answered & wrong).sum())
    p_value = float(bdtr(errors, n, bound.limit)) if n else 1.0
    upper = 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, 1 - delta))
    return Claim(bound, n, errors, p_value, upper)


def _needed(claims: Sequence[Claim], rows: int, delta: float) -> int | None:
    """Of how many calibration prompts every claim would pass at the same share of errors."""
    most = rows
    for claim in claims:
        if claim.p_value <= delta:
            continue
        if not claim.n or claim.wrong / claim.n >= claim.bound.limit:
            return None
        most = max(most, math.ceil(rows * _enough(claim, delta) / claim.n))
    return most


def _enough(claim: Claim, delta: float) -> int:
    """Requests, of those that the claim is about."""
    from scipy.special import bdtr

    n, share = claim.n, claim.wrong / claim.n
    while bdtr(math.ceil(share * n), n, claim.bound.limit) > delta:
        n += max(n // 50, 1)
    return n
