"""Where a worker runs, and whether it can stand in for the process that sends it work."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata

from tutelage.errors import UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's machine and process."""

    node: str
    process: int

    @classmethod
    def here(cls, version: str) -> Place:
        """This process. Raises UsageError where Tutelage isn't installed here in `version`."""
        if version != (own := own_version()):
            raise UsageError(
                f"{platform.node()} has Tutelage {own}, and the programme runs with {version}. "
                "Mend: install the same version on all nodes"
            )
        return cls(platform.node(), os.getpid())


def own_version() -> str:
    """Of Tutelage, as it is installed here."""
    return metadata.version("tutelage")
