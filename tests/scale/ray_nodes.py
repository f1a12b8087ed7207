"""A small Ray cluster for tests and benchmarks: nodes in processes of this machine, on loopback alone."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

_NODE: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 80 << 20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.1",
}
_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback stays loopback; else Ray takes the machine's own address
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    "RAY_worker_niceness": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_initial_delay_ms": "60000",
}
for _name, _value in _ENVIRONMENT.items():  # before anything imports ray, which reads some of them then
    os.environ.setdefault(_name, _value)
_STARTS = 3  # Ray gives a node half a minute, which a busy machine may not do at first


class LocalNodes:
    """`count` nodes of one processor each. `address` is what `engine.address` has to be."""

    def __init__(self, count: int = 2) -> None:
        os.environ["PYTHONPATH"] = os.pathsep.join(
            path for path in sys.path if path
        )  # workers import tests too
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray.cluster_utils import Cluster

            self._cluster = Cluster(initialize_head=False, shutdown_at_exit=True)
            for _ in range(count):
                self._add()
        self.address: str = self._cluster.address

    def _add(self) -> None:
        for start in range(_STARTS):
            try:
                with _told_beforehand():
                    self._cluster.add_node(**_NODE, **_free_ports())
            except Exception:  # Ray raises bare ones
                if start == _STARTS - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """End all of their processes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._cluster.shutdown()


def _free_ports() -> dict[str, int]:
    """Ports of a node. Where they are known, it needn't wait for its helpers to tell theirs, which has a limit too."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(_PORTS, taken, strict=True)}


@contextmanager
def _told_beforehand() -> Iterator[None]:
    """A node's helper would tell that it serves no page (-1); a node dies that doesn't hear it within half a minute."""
    from ray._private.node import Node
    from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, persist_port

    start = Node.start_ray_processes

    def told(node: Node) -> None:
        persist_port(node.get_session_dir_path(), node.node_id, DASHBOARD_AGENT_LISTEN_PORT_NAME, -1)
        start(node)

    with patch.object(Node, "start_ray_processes", told):
        yield
