"""What providers charge: data, each entry with its source and the day it was read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tutelage.errors import ConfigError

STALE_AFTER = timedelta(days=365)
_DATED = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2})$")
_ALWAYS = date(1, 1, 1)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and who says so.

    `cached_input` is for tokens read from the provider's prompt cache (None: `input`), `batch_discount` the
    share that its batch API takes off (0 where it has none). `up_to` is the longest prompt, in tokens, for
    which the price holds (None: any). `third_party` tells that not the provider's own page was read.
    """

    input: float
    output: float
    cached_input: float | None
    batch_discount: float
    source: str
    read: date
    entry: str
    up_to: int | None = None
    third_party: bool = False
    note: str = ""

    def stale(self, on: date | None = None) -> bool:
        """Whether the source was read more than a year before `on` (today)."""
        return (on or _today()) - self.read > STALE_AFTER


class _Entry(BaseModel):
    """One entry of `prices.yaml`, whose head explains the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    provider: str
    hosts: tuple[str, ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    input: float = Field(ge=0.0)
    cached_input: float | None = Field(None, ge=0.0)
    output: float = Field(ge=0.0)
    batch_discount: float = Field(0.0, ge=0.0, lt=1.0)
    up_to: int | None = Field(None, gt=0)
    valid_from: date = _ALWAYS
    source: str = Field(pattern=r"^https://")
    read: date
    checked: Literal["provider", "third-party"]
    note: str = ""

    def price(self) -> Price:
        return Price(
            input=self.input,
            output=self.output,
            cached_input=self.cached_input,
            batch_discount=self.batch_discount,
            source=self.source,
            read=self.read,
            entry=self.id,
            up_to=self.up_to,
            third_party=self.checked == "third-party",
            note=self.note,
        )


def price_of(host: str, model: str, on: date | None = None) -> Price | None:
    """What `model` costs at the endpoint `host` on a day (today); None where the list doesn't know.

    Of the patterns that fit the longest wins, of several entries with it the one that began last.
    Raises ConfigError where the installed list isn't sound.
    """
    day = on or _today()
    name = model.lower().removeprefix("models/")
    found = [
        (len(pattern), entry.valid_from, entry)
        for entry in _entries()
        if entry.valid_from <= day and _is_at(host, entry.hosts)
        for pattern in entry.models
        if _fits(name, pattern)
    ]
    return max(found, key=lambda item: item[:2])[2].price() if found else None


def describe(price: Price, on: date | None = None) -> str:
    """One line: the price, where it comes from, and what has to be known of it."""
    parts = [f"${price.input:g} a million tokens in, ${price.output:g} out"]
    if price.cached_input is not None:
        parts.append(f"${price.cached_input:g} from the cache")
    if price.up_to is not None:
        parts.append(f"for prompts of up to {price.up_to:,} tokens, longer ones cost more")
    who = "a third party's list" if price.third_party else "the provider's page"
    text = f"{', '.join(parts)} ({price.entry}, from {who}, read {price.read}: {price.source})"
    if price.note:
        text += f". {price.note}"
    if price.stale(on):
        text += ". That is more than a year ago. Mend: look it up and set teacher.price"
    return text


def _today() -> date:
    return datetime.now(UTC).date()


def _is_at(host: str, hosts: tuple[str, ...]) -> bool:
    host = host.lower().rstrip(".")
    return any(host == own or host.endswith(f".{own}") for own in hosts)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(_DATED.sub("", name), pattern)


@cache
def _entries() -> tuple[_Entry, ...]:
    source = files("tutelage.economics").joinpath("prices.yaml")
    return read_entries(source.read_text(encoding="utf-8"))


def read_entries(text: str) -> tuple[_Entry, ...]:
    """Entries from the list's text. Raises ConfigError where it isn't sound."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
    try:
        content = yaml.load(text, Loader=loader)  # noqa: S506 - safe ones
        entries = TypeAdapter(tuple[_Entry, ...]).validate_python(content)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the list of prices can't be used: {error}. Mend: install Tutelage again"
        ) from error
    twice = next(_repeated(entries), None)
    if twice is not None:
        raise ConfigError(f"the list of prices has {twice} twice. Mend: install Tutelage again")
    return entries


def _repeated(entries: tuple[_Entry, ...]) -> Iterator[str]:
    """Ids, and names at a host that begin on the same day, which stand there more than once."""
    seen: set[tuple[object, ...]] = set()
    for entry in entries:
        keys = [(entry.id,)] + [
            (host, model, entry.valid_from) for host in entry.hosts for model in entry.models
        ]
        for key in keys:
            if key in seen:
                yield " ".join(map(str, key))
            seen.add(key)
