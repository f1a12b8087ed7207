"""The right that an answer was given under, as it stands beside the answer for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_JOINED = " + "
OVERRIDE = "override"  # in the place of a ruling's id, where `rights.override` let it pass


@dataclass(frozen=True, slots=True, order=True)
class Basis:
    """An entry of the registry, the hash of its clause as it was then, and the ruling that it took.

    `clause` is empty where the registry had no such entry; `ruling` is empty where the entry itself allowed.
    As text: `openai-api@90c1ab…`, `xai-api@77ab…#3f1c…`; of an ensemble's answer those of all that it was
    made of, joined by ` + `.
    """

    entry: str
    clause: str = ""
    ruling: str = ""

    def __str__(self) -> str:
        return f"{self.entry}@{self.clause}" + (f"#{self.ruling}" if self.ruling else "")


def basis_text(bases: Iterable[Basis]) -> str:
    """Several as one text, each once; the empty text for none."""
    return _JOINED.join(map(str, sorted(set(bases))))


def read_basis(text: str) -> tuple[Basis, ...]:
    """The inverse of `basis_text`; none for an empty text, where nothing was recorded."""
    return tuple(_one(part) for part in text.split(_JOINED) if part)


def _one(text: str) -> Basis:
    rest, _, ruling = text.partition("#")
    entry, _, clause = rest.rpartition("@")
    return Basis(entry, clause, ruling) if entry else Basis(rest)


def bases_of(facts: Mapping[str, Any]) -> dict[str, Basis]:
    """What a rights decision's facts say that answers are given under, by the part in an ensemble.

    A teacher alone stands under the empty name.
    """
    members: Mapping[str, Mapping[str, Any]] = facts.get("members") or {"": facts}
    found = {}
    for part, one in members.items():
        ruling = OVERRIDE if one["overridden"] else str((one.get("ruling") or {}).get("id", ""))
        found[part] = Basis(one["entry"], (one["terms"] or {}).get("clause_hash", ""), ruling)
    return found
