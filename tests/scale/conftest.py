"""A real cluster of two nodes on loopback, one processor each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import pytest
from ray_nodes import LocalNodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[LocalNodes]:
    """Two nodes that stop by themselves."""
    cluster = LocalNodes()
    yield cluster
    cluster.stop()


@pytest.fixture
def kill_worker() -> Callable[[str], bool]:
    """End one process below this one whose title begins so, as the kernel would; whether there was one."""

    def kill(title: str) -> bool:
        for process in psutil.Process().children(recursive=True):
            try:
                if (process.cmdline() or [""])[0].startswith(title):
                    process.kill()
                    return True
            except psutil.NoSuchProcess:
                continue
        return False

    return kill
