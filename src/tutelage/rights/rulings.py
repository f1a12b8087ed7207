"""What persons decided on entries of the registry, kept beside the journal that tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tutelage import storage
from tutelage.errors import IntegrityError
from tutelage.rights.registry import Distribution, StudentKind

Ruled = Literal["allowed", "denied", "conditional"]


class Ruling(BaseModel):
    """One person's decision on one use of one entry: from `decided` on, and no longer than `until`.

    `clauses` are the hashes of the clause that it was made knowing: the entry's then (empty text where the
    registry had none), and those that answers at hand had been given under. What is `conditional` is allowed
    as long as the `conditions` are kept, which nobody but people can see to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    ruled: Ruled
    student_kind: StudentKind
    distribution: Distribution
    name: str = Field(min_length=2)
    reason: str = Field(min_length=10)
    conditions: tuple[str, ...] = ()
    clauses: tuple[str, ...]
    decided: date
    until: date

    @model_validator(mode="after")
    def _sound(self) -> Ruling:
        if self.until <= self.decided:
            raise ValueError(f"until {self.until} is not after the day of the decision, {self.decided}")
        if (self.ruled == "conditional") != bool(self.conditions):
            raise ValueError("conditions belong to a decision that is conditional, and only to one")
        return self

    @property
    def id(self) -> str:
        """The first 12 digits of a hash of all that it says: a changed one is another."""
        return storage.hash_json(self.model_dump(mode="json"))[:12]

    @property
    def permits(self) -> bool:
        """Whether it says yes, at least under conditions."""
        return self.ruled != "denied"


_LIST = TypeAdapter(list[Ruling])


def read_rulings(path: Path) -> tuple[Ruling, ...]:
    """The rulings in the order in which they were made; none where there is no file.

    Raises IntegrityError where the file was changed by hand.
    """
    if not path.exists():
        return ()
    content = storage.read_json(path)
    mend = "Mend: restore it, or delete it and record what holds with `tutelage rights decide`"
    try:
        rulings = _LIST.validate_python([one["ruling"] for one in content])
        ids = [one["id"] for one in content]
    except (ValidationError, TypeError, KeyError) as error:
        raise IntegrityError(f"{path} is damaged: {error}. {mend}") from error
    for id, ruling in zip(ids, rulings, strict=True):
        if ruling.id != id:
            raise IntegrityError(
                f"{path}: the ruling {id} on {ruling.entry!r} was changed after it was recorded. {mend}"
            )
    return tuple(rulings)


def add_ruling(path: Path, ruling: Ruling) -> None:
    """Keep one more."""
    kept = [*read_rulings(path), ruling]
    storage.write_json(path, [{"id": one.id, "ruling": one.model_dump(mode="json")} for one in kept])


def ruling_on(rulings: Sequence[Ruling], entry: str, student_kind: str, distribution: str) -> Ruling | None:
    """The last one on this use, whether or not it still holds: a later one takes an earlier one's place."""
    found: Iterable[Ruling] = reversed(rulings)
    return next(
        (
            one
            for one in found
            if (one.entry, one.student_kind, one.distribution) == (entry, student_kind, distribution)
        ),
        None,
    )
