"""The engine: where a programme's heavy work runs, in this process or in workers of a Ray cluster."""

from tutelage.scale.engine import (
    LOCAL,
    Engine,
    LocalEngine,
    is_first,
    open_engine,
    processes,
    require_one_process,
)

__all__ = [
    "LOCAL",
    "Engine",
    "LocalEngine",
    "is_first",
    "open_engine",
    "processes",
    "require_one_process",
]
