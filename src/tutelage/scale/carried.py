"""Errors that cross from one process to another as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage import errors
from tutelage.errors import TutelageError


@dataclass(frozen=True, slots=True)
class Carried:
    """An error of the project's tree: its class's name, its text, and what else it tells.

    Of a class from elsewhere the nearest one of the tree is kept.
    """

    kind: str
    text: str
    told: Mapping[str, Any]

    @classmethod
    def of(cls, error: TutelageError) -> Carried:
        """The error as values."""
        names = (one.__name__ for one in type(error).__mro__)
        kind = next(name for name in names if hasattr(errors, name))
        return cls(kind, str(error), {name: _plain(value) for name, value in vars(error).items()})

    def error(self) -> TutelageError:
        """The error again."""
        kind: type[TutelageError] = getattr(errors, self.kind)
        error = kind.__new__(kind)
        error.args = (self.text,)
        vars(error).update(self.told)
        return error


def _plain(value: Any) -> Any:
    """What can be sent: kept replies as lists, and what is neither number, text nor they as text."""
    if isinstance(value, Mapping):
        return {str(key): list(several) for key, several in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
