"""The registry of terms: data, one entry for each provider and way of access."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from tutelage.errors import ConfigError

StudentKind = Literal["classifier", "extractor", "generator"]
Distribution = Literal["internal", "distributed"]
Reading = Literal["allow", "review", "deny"]


class Terms(BaseModel):
    """What one provider's terms say for one way of access, who read it where and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    provider: str
    access: Literal["api", "cloud", "consumer", "weights", "own"]
    clause: str
    source: str
    effective: date | None = None
    read: date
    expires: date
    second_hand: bool = False
    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    verdicts: dict[StudentKind, dict[Distribution, Reading]]
    duties: tuple[str, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Terms:
        if self.expires <= self.read:
            raise ValueError(f"expires {self.expires} is not after read {self.read}")
        readings = {reading for by_use in self.verdicts.values() for reading in by_use.values()}
        if self.second_hand and "allow" in readings:
            raise ValueError("a clause known at second hand can't allow anything")
        return self

    @property
    def clause_hash(self) -> str:
        """SHA-256 of the clause as it was read, 16 hex digits: another reading is another hash."""
        return sha256(self.clause.encode()).hexdigest()[:16]

    def binds_host(self, host: str) -> bool:
        """Whether `host` is one of its endpoints, or below one."""
        return any(host == own or host.endswith(f".{own}") for own in self.hosts)

    def binds_model(self, model: str) -> bool:
        """Whether `model` goes by a name of its weights."""
        return _matches(model, self.models)

    def may_stand_for(self, model: str) -> bool:
        """Whether it may be named for `model`, though another entry has that name."""
        return self.binds_model(model) or _matches(model, self.also)

    def reading(self, student_kind: str, distribution: str) -> Reading:
        """What the entry says of a use; deny where it says nothing."""
        by_use: Mapping[str, Reading] = dict(self.verdicts).get(student_kind, {})  # type: ignore[call-overload]
        return by_use.get(distribution, "deny")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


class Registry:
    """Entries by id."""

    def __init__(self, entries: list[Terms]) -> None:
        self._entries = {entry.id: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ConfigError("the rights registry has an id twice")

    def __iter__(self) -> Iterator[Terms]:
        return iter(self._entries.values())

    def find(self, entry_id: str) -> Terms | None:
        """The entry, or None."""
        return self._entries.get(entry_id)

    def nearest(self, entry_id: str) -> list[str]:
        """Ids that look like this one."""
        return difflib.get_close_matches(entry_id, self._entries, n=3, cutoff=0.4)


def load_registry(path: Path | None = None) -> Registry:
    """Read the package's registry, or another file of the same form.

    Raises ConfigError where it isn't sound.
    """
    return _read(path) if path else _read_own()


@cache
def _read_own() -> Registry:
    return _read(files("tutelage.rights").joinpath("registry.yaml"))


def _read(source: Traversable) -> Registry:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
    try:
        content = yaml.load(source.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - safe ones
        return Registry(TypeAdapter(list[Terms]).validate_python(content))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"the rights registry {source} can't be used: {error}") from error
