"""A certificate: the threshold from which on a student may answer, and the bounds on its errors there.

`learn_then_test` finds one; this is what is kept of it, and what a server reads. It needs neither numpy nor
scipy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.errors import GateRefused, IntegrityError, UsageError

_FORMAT = 1


class Reference(StrEnum):
    """Whose answer counts as right.

    Against `EXCESS` the student is wrong where it differs from gold and the teacher doesn't: that is what is
    lost by not asking the teacher, and the share of errors rises by no more than it.
    """

    GOLD = "gold"
    TEACHER = "teacher"
    EXCESS = "excess"


class Among(StrEnum):
    """What errors are counted among: all requests, or those that the student answers itself."""

    ALL = "all"
    ANSWERED = "answered"


_ERRORS = {
    Reference.GOLD: "errors against gold",
    Reference.TEACHER: "disagreement with the teacher",
    Reference.EXCESS: "errors that the teacher doesn't make",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """The most errors that are acceptable: a share `limit` of some requests, against a reference.

    With a `slice` it is of that slice's requests alone.
    """

    limit: float
    reference: Reference = Reference.GOLD
    among: Among = Among.ANSWERED
    slice: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.limit < 1:
            raise UsageError(
                f"a bound of {self.limit:g} is not between 0 and 1. Mend: give a share such as 0.02"
            )

    def describe(self) -> str:
        """What it bounds, in a few words."""
        among = "of what is answered" if self.among is Among.ANSWERED else "of all requests"
        where = f" of slice {self.slice}" if self.slice is not None else ""
        return f"{_ERRORS[self.reference]}, {among}{where}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A bound with what was seen of it at the threshold: `wrong` of `n` requests, and the exact p-value."""

    bound: Bound
    n: int
    wrong: int
    p_value: float
    upper: float  # exact upper limit of the share at the certificate's confidence, of this claim alone


@dataclass(frozen=True, slots=True)
class Certificate:
    """With confidence 1 − `delta` all `claims` hold together for a student that answers from `threshold` on.

    `answered_share` is the share of calibration prompts that it answered. `student` names the form that was
    tested: the hash of its `student.json`, which names the hashes of its other files. `issued` and `expires`
    are in seconds since 1970. `scope` is the hash of the guard against foreign prompts with which it was
    tested, empty where there was none. `tested` says on what, by whom and by which version; `assumptions`
    what has to be so for the claims to hold, in words.
    """

    threshold: float
    delta: float
    claims: tuple[Claim, ...]
    answered_share: float
    student: str
    issued: float
    expires: float
    scope: str = ""
    tested: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    def refusal(self, student: str, scope: str = "", at: float | None = None) -> str | None:
        """Why it allows a student nothing, or None where it holds. Never raises.

        `student` and `scope` are the hashes of what is to answer, `at` seconds since 1970 (now where absent).
        """
        if student != self.student:
            return (
                f"the certificate is of the student {self.student[:12]}, and this one is {student[:12]}. "
                "Mend: run `tutelage certify` for this one"
            )
        if scope != self.scope:
            return (
                f"the certificate was issued {_guarded_by(self.scope)}, and this student would answer "
                f"{_guarded_by(scope)}. Mend: run `tutelage certify` again"
            )
        if (time.time() if at is None else at) >= self.expires:
            day = datetime.fromtimestamp(self.expires, UTC).date()
            return f"the certificate expired on {day}. Mend: run `tutelage certify`, best on new prompts"
        return None

    def require(self, student: str, scope: str = "", at: float | None = None) -> None:
        """Raise GateRefused where it doesn't hold; see `refusal`."""
        if reason := self.refusal(student, scope, at):
            raise GateRefused(reason)

    def to_json(self) -> dict[str, Any]:
        """What its file says; `read_certificate` is the inverse."""
        content = asdict(self)
        content["issued"], content["expires"] = _written(self.issued), _written(self.expires)
        return {"format": _FORMAT, "certified": True, **content}


def _guarded_by(scope: str) -> str:
    return f"behind the guard {scope[:12]}" if scope else "without a guard against foreign prompts"


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def read_certificate(path: Path) -> Certificate | None:
    """The certificate in a file; None where there is no file, or the last trial certified nothing.

    Raises IntegrityError where the file isn't one. Whether it holds for a student, `refusal` says.
    """
    if not path.is_file():
        return None
    content = storage.read_json(path)
    try:
        return _read(content) if content["certified"] else None
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise IntegrityError(
            f"{path} is no certificate: {type(error).__name__}: {error}. Mend: run `tutelage certify` again"
        ) from error


def _read(content: Mapping[str, Any]) -> Certificate:
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {content['format']!r}, and this version reads {_FORMAT}")
    found = Certificate(
        threshold=float(content["threshold"]),
        delta=float(content["delta"]),
        claims=tuple(map(_read_claim, content["claims"])),
        answered_share=float(content["answered_share"]),
        student=str(content["student"]),
        issued=datetime.fromisoformat(content["issued"]).timestamp(),
        expires=datetime.fromisoformat(content["expires"]).timestamp(),
        scope=str(content["scope"]),
        tested=dict(content["tested"]),
        assumptions=tuple(map(str, content["assumptions"])),
    )
    # Not with `<` alone: NaN would pass it, and no threshold is above NaN.
    if not (0 <= found.threshold <= 1 and 0 < found.delta < 1 and 0 <= found.answered_share <= 1):
        raise ValueError("threshold, delta and answered_share have to be shares")
    if not (found.claims and found.student and found.issued < found.expires):
        raise ValueError("it names no claim, no student, or no time to hold")
    return found


def _read_claim(content: Mapping[str, Any]) -> Claim:
    bound = content["bound"]
    return Claim(
        Bound(float(bound["limit"]), Reference(bound["reference"]), Among(bound["among"]), bound["slice"]),
        int(content["n"]),
        int(content["wrong"]),
        float(content["p_value"]),
        float(content["upper"]),
    )
