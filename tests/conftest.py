"""Fixtures that several packages' tests share. Modules of this folder are imported by name (`pythonpath`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub: nothing is fetched in tests
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # before torch starts: as many threads as there are workers would be too many
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from faulty_teacher import FaultyTeacher

_LONG = os.environ.get("TUTELAGE_FAULTS") == "long"  # as `make faults` sets it
# Hypothesis' profile for machines of which one doesn't know how fast they are: no example fails by the clock, and
# the examples are the same at every run. `make faults` looks for new ones.
settings.register_profile("tutelage", settings.get_profile("ci"), derandomize=not _LONG)
settings.load_profile("tutelage")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests wait for `make faults`."""
    if not _LONG:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: make faults runs it"))


@pytest.fixture
def faulty_teacher() -> Iterator[FaultyTeacher]:
    """A running `faulty_teacher.FaultyTeacher`."""
    teacher = FaultyTeacher()
    yield teacher
    teacher.close()


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Small tensors are slower on several threads, and sums differ in their last bits."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
