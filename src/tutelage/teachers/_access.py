"""What an endpoint is asked with: the key, and the price at which its calls are booked."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tutelage.config import PriceConfig
from tutelage.config.teachers import EndpointConfig
from tutelage.economics.prices import price_of
from tutelage.errors import ConfigError


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
    if listed is None:
        lacks = "is missing, and the list of prices has none" if config.price is None else "is 0"
        raise ConfigError(
            f"teacher.price {lacks}, and {host} is not this machine, so its calls of {config.model!r} "
            "may cost money. Mend: set teacher.price.input and teacher.price.output, in US dollars for a "
            "million tokens, or teacher.free: true where it charges nothing"
        )
    price = PriceConfig(input=listed.input, output=listed.output, cached_input=listed.cached_input)
    return Tariff(config.completed(price), listed.up_to)


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
