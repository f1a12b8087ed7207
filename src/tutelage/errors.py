"""Every error that Tutelage raises on purpose, in one tree.

    TutelageError
    ├── UsageError                the caller's to mend: a value, a file, a missing extra
    │   ├── ConfigError           tutelage.yaml says something it can't
    │   ├── DataError             a file as a whole can't be read (bad rows are rejected, not raised)
    │   ├── MissingExtraError     an optional part of Tutelage isn't installed
    │   └── ProgrammeBusyError    another process works in this programme folder
    ├── GateRefused               a gate said no; carries its Decision's text
    ├── IntegrityError            something on disk is not what was written (seal, journal, weights)
    ├── UnsafeModelError          a model file of a kind that Tutelage doesn't open
    ├── StudentUnavailable        the student can't answer now: it is down, too slow, or says no probabilities
    ├── ProcessDied               a child process ended before its work did
    ├── BudgetExhausted           the next call could pass the budget; progress is kept
    └── TeacherError              the teacher's side
        ├── TeacherUnavailable    try again: rate limit, overload, time-out; may say after how long
        ├── TeacherRefusesAccess  401, 402, 403, unknown model: no use in trying again
        ├── BatchForgotten        the provider has a batch, or its results, no longer
        └── AwaitingPeople        prompts wait for people; goes on once they have answered

A message says what was wrong (value and limit), where, and the mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TutelageError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(TutelageError):
    """Something the caller can mend."""

    exit_code = 2


class ConfigError(UsageError):
    """`tutelage.yaml` (or an override) is not valid."""


class DataError(UsageError):
    """A source can't be read at all; names the file, the line where known, and the fix."""


class MissingExtraError(UsageError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which isn't installed. "
            f"Mend: pip install 'tutelage[{extra}]'"
        )


class ProgrammeBusyError(UsageError):
    """Another process holds the programme folder."""


class GateRefused(TutelageError):
    """A gate refused; the message carries its reasons and what would change its mind."""

    exit_code = 3


class IntegrityError(TutelageError):
    """A sealed or chained file was changed after it was written."""

    exit_code = 5


class UnsafeModelError(TutelageError):
    """A model that could run code on load (pickle, remote code) was refused."""

    exit_code = 5


class StudentUnavailable(TutelageError):
    """The student gave no answer that can be used; the teacher is asked instead."""


class ProcessDied(TutelageError):
    """A process that worked for this one ended; what it was given is lost, and can be given again."""


class BudgetExhausted(TutelageError):
    """The money set aside is spent; what was paid for is on disk."""

    exit_code = 6


class TeacherError(TutelageError):
    """The teacher could not answer.

    It may have cost money all the same, and what is told here is what the answer ledger books, in US dollars.
    `spent` is the cost of replies that did come; it is told once, so an answer made with them later leaves it
    out. `unaccounted` is the upper bound of requests of which nobody knows whether they were billed; where it
    is None, the teacher can't say, and all that its call could have cost counts if it may have been `billed`.
    `kept` holds those replies by prompt hash, in whatever form the teacher's `resume` takes them back.
    """

    exit_code = 7
    billed = True

    def __init__(self, message: str, *, spent: float = 0.0, unaccounted: float | None = None) -> None:
        super().__init__(message)
        self.spent, self.unaccounted = spent, unaccounted
        self.kept: Mapping[str, Sequence[str]] = {}


class TeacherUnavailable(TeacherError):
    """A passing fault. `retry_after` is in seconds, None where the teacher didn't say.

    `billed` tells that the call may have cost money all the same (a time-out, an answer lost on the way).
    `fault` is its kind in a word, by which faults are counted and the pace is set: an HTTP status (`429`),
    `time-out`, `connection` or `body`; empty where the teacher doesn't say.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        billed: bool = False,
        *,
        spent: float = 0.0,
        unaccounted: float | None = None,
        fault: str = "",
    ) -> None:
        super().__init__(message, spent=spent, unaccounted=unaccounted)
        self.retry_after = retry_after
        self.billed = billed
        self.fault = fault


class TeacherRefusesAccess(TeacherError):
    """Key, credit, permission or model name: asking again would change nothing."""

    billed = False


class BatchForgotten(TeacherError):
    """The provider doesn't know a batch, or has its results no longer. It may have cost money."""


class AwaitingPeople(TeacherError):
    """People have not answered everything yet. What they have is recorded; the rest waits in a file."""

    exit_code = 8
    billed = False
