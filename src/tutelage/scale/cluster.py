"""Reaching a Ray cluster, or starting one on this machine, and letting go of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tutelage.config import EngineConfig
from tutelage.errors import UsageError
from tutelage.extras import require_extra

_PATIENCE = 10.0  # seconds for a cluster to take a connection
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_STORE = 256 << 20  # bytes of a cluster that is started here; what travels is small
# Of this process and of the cluster that it starts; what is set already stands.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without GPUs sees none
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_worker_niceness": "0",  # by default workers give way to all else on the machine
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine starts slowly
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
}


class Cluster:
    """A connection. `ray` is the module; `workers` how many of the configured size there are to be.

    Raises MissingExtraError, and UsageError where no cluster answers, or it is too small.
    """

    def __init__(self, config: EngineConfig) -> None:
        require_extra("scale", "engine.type ray")
        for name, value in (_ENVIRONMENT | _local(config.address)).items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
        self.ray: Any = ray
        self.config = config
        self._owns = not ray.is_initialized()
        if self._owns:
            self._connect()
        try:
            self.workers = self._room()
        except UsageError:
            self.close()
            raise

    @property
    def options(self) -> dict[str, Any]:
        """What is set aside for a worker."""
        return {"num_cpus": self.config.cpus, "num_gpus": self.config.gpus}

    @property
    def nodes(self) -> int:
        """Machines that are there now."""
        return sum(bool(node["Alive"]) for node in self.ray.nodes())

    def close(self) -> None:
        """Let go of it; one that was started here ends."""
        if self._owns:
            self.ray.shutdown()

    def _connect(self) -> None:
        address = self.config.address
        try:
            _require_port(address)
            with _signals_kept(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level="error",
                    configure_logging=False,
                    **({} if address else self._started_here()),
                )
        except Exception as error:  # Ray raises all kinds, bare ones too
            where = f"at {address} (engine.address)" if address else "on this machine"
            raise UsageError(
                f"no Ray cluster can be used {where}: {first_line(error)}. Mend: `ray start --head` on one "
                "machine and `ray start --address HOST:PORT` on the others, with the same versions of Python "
                "and Ray as here; or engine: local"
            ) from error

    def _started_here(self) -> dict[str, Any]:
        """What a cluster of this machine alone is started with: reachable from nowhere else."""
        return {
            "num_cpus": max(os.cpu_count() or 1, round((self.config.workers or 1) * self.config.cpus)),
            "object_store_memory": _STORE,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }

    def _room(self) -> int:
        config, there = self.config, self.ray.cluster_resources()
        cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
        fitting = int(cpus // config.cpus)
        if config.gpus:
            per_gpu = 1 / config.gpus
            fitting = min(fitting, int(gpus * per_gpu) if per_gpu >= 1 else int(gpus // config.gpus))
        wanted = config.workers or fitting
        if wanted > fitting or not fitting:
            raise UsageError(
                f"{wanted or 1} workers of {config.cpus:g} CPUs and {config.gpus:g} GPUs each (engine.workers"
                f", cpus, gpus) don't fit the cluster, which has {cpus:g} CPUs and {gpus:g} GPUs. "
                "Mend: lower them, or add nodes"
            )
        return wanted


def _require_port(address: str | None) -> None:
    """Raise OSError where nobody listens there, which Ray takes minutes to find."""
    if address is not None and address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _local(address: str | None) -> dict[str, str]:
    """What keeps a cluster of this machine on loopback, where Ray would take the machine's own address."""
    here = address is None or address.rpartition(":")[0] in ("127.0.0.1", "localhost")
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if here else {}


def first_line(error: BaseException) -> str:
    """What an error of Ray's says, without the pages that follow; where a worker couldn't start, why."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "creation task" in lines[0]:
        return f"it could not start: {lines[-1]}"
    return lines[0].rstrip(".:")


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets a handler of its own for SIGTERM, which would end this process without its books kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
