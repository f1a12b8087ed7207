"""Who answers: a pure function of the rollout's state, the request's key and what the student said."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from tutelage.serving.student import Prediction


class Stage(StrEnum):
    """How far the student is trusted. In `off` it isn't asked, in `shadow` it is asked and not heard."""

    OFF = "off"
    SHADOW = "shadow"
    CANARY = "canary"
    CASCADE = "cascade"
    FULL = "full"

    @property
    def live(self) -> bool:
        """Whether the student answers anything."""
        return self in (Stage.CANARY, Stage.CASCADE, Stage.FULL)


class By(StrEnum):
    """Who gave an answer."""

    STUDENT = "student"
    TEACHER = "teacher"
    PERSON = "person"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What holds now: the stage, the share of keys in `canary`, and the threshold from which on the
    student may answer in `canary` and `cascade` (None: it never may). `cause` is told with each
    answer where rights took the student off."""

    stage: Stage = Stage.SHADOW
    share: float = 0.0
    threshold: float | None = None
    revision: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, and why, where it isn't as usual."""

    by: By
    reason: str = ""


def chosen(key: str, share: float) -> bool:
    """Whether a key is among a share of all keys: always the same ones, and of a larger share these too."""
    digest = hashlib.sha256(b"canary\0" + key.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def route(rollout: Rollout, key: str, said: Prediction | None, *, foreign: bool = False) -> Route:
    """Who answers the request of `key`, of which the student said `said` (None: it can't).

    `foreign` tells that the input is unlike all that the student was certified on.
    """
    stage = rollout.stage
    if not stage.live:
        return Route(By.TEACHER, rollout.cause)
    if stage is Stage.CANARY and not chosen(key, rollout.share):
        return Route(By.TEACHER, "not in the canary's share")
    if said is None:
        return Route(By.TEACHER, "student unavailable")
    if foreign:
        return Route(By.TEACHER, "out of scope")
    if stage is Stage.FULL:
        return Route(By.STUDENT)
    if rollout.threshold is None or not said.confidence >= rollout.threshold:
        return Route(By.TEACHER, "below threshold")
    return Route(By.STUDENT)
