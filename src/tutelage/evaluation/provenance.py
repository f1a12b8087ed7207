"""Where a student comes from: all that its model card and its bill of materials tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.rights import Duties

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the student: its path in the programme's folder, size in bytes, SHA-256 (64 hex digits)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of examples: what it is for, how many, where from (a file's name), and the hash of its file here.

    `source_hash` is that of the file that it was read from, empty where that isn't on this disk.
    """

    name: str
    purpose: str
    rows: int
    sha256: str
    source: str = ""
    source_hash: str = ""


@dataclass(frozen=True)
class Provenance:
    """What is told of a student. It holds no prompt, no answer and no secret.

    `teacher` is answers/teacher.json, `run` the run record, `metrics` and `decision` the evaluation's.
    `created` is an ISO time in UTC, `libraries` are versions by the package's name; `base` is the model that
    the student was initialised from, None where its weights were random. `duties` has the name that it goes
    by, and what it owes as of now.
    """

    created: str
    version: str
    task: str
    teacher: Json
    run: Json
    metrics: Json
    decision: Json
    base: str | None
    data: Sequence[DataSet]
    files: Sequence[File]
    duties: Duties
    libraries: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the student is called."""
        return self.duties.name

    @property
    def rights(self) -> Json:
        """The decision by which the teacher's answers were allowed to teach."""
        found: Json = self.teacher["rights"]
        return found

    def teachers(self) -> Iterator[tuple[str, Json]]:
        """The rights decision's facts on each teacher: by its part in an ensemble, else under `teacher`."""
        members = self.rights.get("members")
        if members:
            yield from members.items()
        else:
            yield "teacher", self.rights

    def hyperparameters(self) -> dict[str, str]:
        """Of the recipe and the student, by dotted name; what isn't set is left out."""
        recipe = self.run["student"]["recipe"]
        found = {f"recipe.{name}": value for name, value in _flat(recipe)}
        return found | {f"student.{name}": value for name, value in _flat(self.run["config"])}

    def figures(self) -> Iterator[Figure]:
        """What was measured of the student on sealed gold."""
        student = self.metrics["arms"]["student"]
        yield from _figure("accuracy", student["accuracy"])
        yield from _figure("macro-F1", student["macro_f1"])
        for name, found in sorted(student["slices"].items()):
            yield from _figure("accuracy", found, name)
        ends = {"estimate": student["ece"], "low": student.get("ece_low"), "high": student.get("ece_high")}
        yield from _figure("expected calibration error", ends)
        for name, found in (student.get("measures") or {}).items():
            yield from _figure(name, found)
        yield from _figure("agreement with the teacher", student["agreement_with_teacher"])
        for compared in self.metrics["comparisons"]:
            if compared["a"] == "student":
                yield from _figure(f"accuracy difference to the {compared['b']}", compared["difference"])


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its 95% interval's ends, None where it has none; `slice` is empty for all of gold."""

    name: str
    value: float
    low: float | None
    high: float | None
    slice: str = ""


def _figure(name: str, found: Json | None, slice_: str = "") -> Iterator[Figure]:
    if found is not None and found["estimate"] is not None:
        yield Figure(name, found["estimate"], found.get("low"), found.get("high"), slice_)


def _flat(content: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", str(value)
