"""The registry of terms: data, one entry for each provider and way of access."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tutelage.errors import ConfigError

StudentKind = Literal["classifier", "extractor", "generator"]
Distribution = Literal["internal", "distributed"]
Reading = Literal["allow", "review", "deny"]
DutyKind = Literal["naming", "attribution", "notice", "terms", "people"]


class Duty(BaseModel):
    """What an entry asks of whoever uses a student, or passes it on: `text`, for people; as a text alone too.

    `naming`: the student's name begins with `value`. `attribution`: the words `value` are shown beside it.
    `notice`: the notice `value` goes along with it. `terms`: the terms themselves do. `people`: anything
    else. It binds students of one `distribution`, of any where that is None; with `weights` only one that
    began with the entry's, not one that merely learned from answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: DutyKind = "people"
    text: str = Field(min_length=1)
    value: str = ""
    distribution: Distribution | None = None
    weights: bool = False

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _sound(self) -> Duty:
        if (self.kind in ("naming", "attribution", "notice")) != bool(self.value.strip()):
            raise ValueError(
                f"a duty of kind {self.kind} {'takes no value' if self.value else 'needs a value'}"
            )
        return self


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
    duties: tuple[Duty, ...] = ()
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
    """Entries by id: the package's, and those of a programme's `own` file."""

    def __init__(self, entries: Sequence[Terms], own: Sequence[Terms] = ()) -> None:
        self._entries = {entry.id: entry for entry in (*entries, *own)}
        self._own = frozenset(entry.id for entry in own)
        if len(self._entries) != len(entries) + len(own):
            twice = Counter(entry.id for entry in (*entries, *own)).most_common(1)[0][0]
            raise ConfigError(f"the rights registry has the id {twice!r} twice. Mend: give each its own")

    def __iter__(self) -> Iterator[Terms]:
        return iter(self._entries.values())

    def find(self, entry_id: str) -> Terms | None:
        """The entry, or None."""
        return self._entries.get(entry_id)

    def is_own(self, entry_id: str) -> bool:
        """Whether it stands in the programme's own file."""
        return entry_id in self._own

    def nearest(self, entry_id: str) -> list[str]:
        """Ids that look like this one."""
        return difflib.get_close_matches(entry_id, self._entries, n=3, cutoff=0.4)


def load_registry(own: Path | None = None) -> Registry:
    """The package's registry, with the entries of a programme's `own` file beside them.

    Raises ConfigError where a file isn't sound: it names the entry, the key, and for an unknown key the
    nearest. An own entry may not have the id of one of the package's: what that says would be gone unseen.
    """
    if own is None:
        return _packaged()
    packaged = _packaged()
    entries = _read(own)
    for entry in entries:
        if packaged.find(entry.id) is not None:
            raise ConfigError(
                f"{own}: {entry.id!r} is an entry of Tutelage's own registry, which a programme can't "
                f"replace. Mend: another id, such as {entry.id}-ours, and name that in teacher.rights; or "
                "record a decision on the entry with `tutelage rights decide`"
            )
    return Registry(list(packaged), entries)


@cache
def _packaged() -> Registry:
    return Registry(_read(files("tutelage.rights").joinpath("registry.yaml")))


def _read(source: Traversable) -> list[Terms]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
    try:
        content = yaml.load(source.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - safe ones
        return TypeAdapter(list[Terms]).validate_python(content)
    except ValidationError as error:
        faults = "\n  ".join(_explain(item, content) for item in error.errors())
        raise ConfigError(f"the rights registry {source} can't be used:\n  {faults}") from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"the rights registry {source} can't be used: it doesn't exist. Mend: write it (docs/rights.md), "
            "or correct rights.registry, whose path starts at the programme's folder"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"the rights registry {source} can't be used: {error}") from error


def _explain(item: Any, content: Any) -> str:
    """One fault of a file: at which entry and key, and the nearest key for one that is unknown."""
    if not item["loc"]:
        return f"it holds {type(content).__name__}, and has to be a list of entries (docs/rights.md)"
    number, *keys = item["loc"]
    entry = content[number] if isinstance(number, int) else None
    name = entry.get("id") if isinstance(entry, dict) else None
    where = f"entry {name!r}" if name else f"entry number {int(number) + 1}"
    place = ".".join(str(key) for key in keys if key != "[key]")
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(keys[-1]), Terms.model_fields, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known are {', '.join(Terms.model_fields)}."
        return f"{where}, {place}: unknown key.{hint}"
    if item["type"] == "missing":
        return f"{where}, {place}: required, and absent"
    said = item["msg"].removeprefix("Value error, ")
    return f"{where}{', ' + place if place else ''}: {said}" + (
        f" (given: {item['input']!r:.60})" if place else ""
    )
