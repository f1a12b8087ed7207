"""Fixtures that several packages' tests share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load_beside(name: str) -> ModuleType:
    """Import a module of this folder: with `--import-mode=importlib` it isn't on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load_beside("faulty_teacher")


@pytest.fixture
def faulty_teacher() -> Iterator[Any]:
    """A running `faulty_teacher.FaultyTeacher`."""
    from faulty_teacher import FaultyTeacher

    teacher = FaultyTeacher()
    yield teacher
    teacher.close()
