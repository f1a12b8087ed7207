"""What an endpoint is asked with: the key, and the price at which its calls are booked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tutelage.config import PriceConfig
from tutelage.config.teachers import EndpointConfig
from tutelage.economics.prices import price_of
from tutelage.errors import ConfigError

_SURELY_A_SECRET = 16  # characters; a shorter word may stand in an answer by chance


class Secrets:
    """What must not be repeated: the key, and what headers took from the environment.

    Endpoints and gateways may send back the request that they got.
    """

    __slots__ = ("_anywhere", "_in_faults")

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted({value for value in values if value}, key=len, reverse=True)
        self._in_faults = [_Secret.of(value) for value in known]
        self._anywhere = [_Secret.of(value) for value in known if len(value) >= _SURELY_A_SECRET]

    def out_of_fault(self, text: str) -> str:
        """The text of a fault without them."""
        return _without(self._in_faults, text)

    def out_of_reply(self, text: str) -> str:
        """A reply, which is kept, without those of them that can't stand in it by chance."""
        return _without(self._anywhere, text)


@dataclass(frozen=True, slots=True, repr=False)
class _Secret:
    """`part` of it stands in whatever holds it; the pattern finds it also as JSON may spell it.

    Its letters and digits are never escaped, other characters may be: `+` as `\\u002b`, `/` as `\\/`.
    """

    part: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, value: str) -> _Secret:
        part = max(re.findall(r"[^\W_]+", value), key=len, default="")
        return cls(part, re.compile("".join(map(_in_json, value))))


def _without(secrets: Iterable[_Secret], text: str) -> str:
    for secret in secrets:
        if secret.part in text:  # looking for that takes next to no time, and replies are many
            text = secret.pattern.sub(_HIDDEN, text)
    return text


_HIDDEN = "[the key]"

# What more of a request's body has a price of its own, but for these values.
_CHARGED_APART: dict[str, tuple[Any, ...]] = {
    "service_tier": (None, "default", "flex", "standard_only"),
    "speed": (None, "standard"),
    "inference_geo": (None, "global"),
    "web_search_options": (None,),
}


def _in_json(character: str) -> str:
    plain = re.escape(character)
    return plain if character.isalnum() else rf"(?:\\?{plain}|\\u00(?i:{ord(character):02x}))"


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price, and the longest prompt in tokens for which it holds; None for none."""

    price: PriceConfig | None
    longest: int | None = None


def tariff_of(config: EndpointConfig) -> Tariff:
    """The price of the configuration; where it has none, of the dated list.

    Raises ConfigError for an endpoint on another machine that has neither and isn't `free`.
    """
    if config.price is not None and (config.costs or config.free or not config.remote_host):
        return Tariff(config.completed(config.price))
    host = config.remote_host
    if not host or config.free:
        return Tariff(None)
    listed = price_of(host, config.model) if config.price is None else None
    apart = [name for name, usual in _CHARGED_APART.items() if config.extra.get(name) not in usual]
    if listed is not None and apart:
        raise ConfigError(
            f"teacher.price is missing, and the listed one doesn't hold with teacher.extra.{apart[0]}. "
            "Mend: set teacher.price.input and teacher.price.output, in US dollars for a million tokens"
        )
    if listed is None:
        lacks = "is missing, and the list of prices has none" if config.price is None else "is 0"
        raise ConfigError(
            f"teacher.price {lacks}, and {host} is not this machine, so its calls of {config.model!r} "
            "may cost money. Mend: set teacher.price.input and teacher.price.output, in US dollars for a "
            "million tokens, or teacher.free: true where it charges nothing"
        )
    price = PriceConfig(input=listed.input, output=listed.output, cached_input=listed.cached_input)
    return Tariff(config.completed(price), listed.up_to)


def batch_discount_of(config: EndpointConfig) -> float:
    """The share that the provider's batch API takes off: as `price` says, else the list, else none."""
    given = None if config.price is None else config.price.batch_discount
    if given is not None:
        return given
    listed = price_of(config.remote_host, config.model)
    return 0.0 if listed is None else listed.batch_discount


def headers_from_environment(config: EndpointConfig) -> dict[str, str]:
    """The headers whose value is a `${NAME}`, filled in. Raises ConfigError where it isn't set."""
    filled = {}
    for header, name in config.headers_in_environment.items():
        value = os.environ.get(name, "").strip()
        if not value or not value.isascii() or not value.isprintable():
            holds = "holds characters that no header has" if value else "is not set"
            raise ConfigError(
                f"the environment variable {name!r} (teacher.headers.{header}) {holds}. "
                f"Mend: export {name}=..."
            )
        filled[header] = value
    return filled


def key_of(config: EndpointConfig) -> str:
    """The key; empty where there is none, which an endpoint on another machine only may lack if it is free.

    Raises ConfigError where it is missing, or holds what no key does.
    """
    key = os.environ.get(config.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"the environment variable {config.api_key_env!r} (teacher.api_key_env) holds characters that no "
            "key has. Mend: export the key alone"
        )
    if not key and config.remote_host and not config.free:
        raise ConfigError(
            f"the environment variable {config.api_key_env!r} (teacher.api_key_env) is not set. "
            f"Mend: export {config.api_key_env}=..."
        )
    return key
