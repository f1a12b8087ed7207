"""Whether a student in another form still says what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.errors import DataError
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.records import Value
from tutelage.tasks import LabelTask

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Parity:
    """Two forms on the same `n` texts: how often they decide alike, how often each agrees with a reference.

    `drift` is the largest difference of any probability. Shares are in [0, 1].
    """

    n: int
    agreement: float
    before: float
    after: float
    drift: float


def compare_forms(
    task: LabelTask, before: Probabilities, after: Probabilities, references: Sequence[Value]
) -> Parity:
    """Compare probabilities of two forms, float32 [n, labels], beside what a reference says of each text.

    Raises DataError where shapes differ, there is no text, or a form gives no numbers.
    """
    if before.shape != after.shape or len(before) != len(references) or not len(references):
        raise DataError(
            f"forms of shape {before.shape} and {after.shape} beside {len(references)} references. "
            "Mend: let both predict the same texts, one at least"
        )
    if not np.isfinite(after).all():
        raise DataError(
            f"the exported form gives no number for {int((~np.isfinite(after)).any(axis=1).sum())} of "
            f"{len(after)} texts. Mend: export float32 only, and look for overflow in the weights"
        )
    first, second = task.decide(before), task.decide(after)
    return Parity(
        n=len(references),
        agreement=_share(task, first, second),
        before=_share(task, first, references),
        after=_share(task, second, references),
        drift=float(np.abs(before - after).max()),
    )


def _share(task: LabelTask, values: Sequence[Value], others: Sequence[Value]) -> float:
    return float(np.mean([task.compare(a, b).agree for a, b in zip(values, others, strict=True)]))


def parity_decision(form: str, parity: Parity, min_agreement: float, max_drop: float) -> Decision:
    """The gate `export`: fails where the form decides otherwise too often, or is right less often.

    Both are of the texts at hand, as they are: the forms are deterministic, and whoever serves one wants to
    know that it does as measured.
    """
    loss = parity.before - parity.after
    return Decision.of(
        "export",
        [
            Evidence(
                f"{form}: same decisions",
                Verdict.PASS if parity.agreement >= min_agreement else Verdict.FAIL,
                f"{form} decides as the trained student on {parity.agreement:.2%} of {parity.n:,} texts; "
                f"at least {min_agreement:.2%} is asked (export.min_agreement).",
                parity.agreement,
                limit=min_agreement,
                n=parity.n,
            ),
            Evidence(
                f"{form}: agreement with the teacher",
                Verdict.PASS if loss <= max_drop else Verdict.FAIL,
                f"{form} agrees with the teacher on {parity.after:.2%}, the trained student on "
                f"{parity.before:.2%}; a loss of {max_drop:.2%} is acceptable (export.max_drop).",
                -loss,
                limit=-max_drop,
                n=parity.n,
            ),
        ],
    )
