"""What every section of `tutelage.yaml` is made of."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_FROM_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        hide_input_in_errors=True,  # which may be a secret; what is safe to show, `reading` shows
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached by that name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".") == "localhost"


def environment_name(value: str) -> str | None:
    """The environment variable that a value `${NAME}` is taken from; None for any other value."""
    found = _FROM_ENVIRONMENT.fullmatch(value)
    return found[1] if found else None
