from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.distillation.memory import kept_between_steps  # noqa: E402

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
FLOATS = 16 * 2**20
BYTES = 4 * FLOATS  # more than glibc keeps by itself


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _kept_of_a_block():
    """The share of a block that stays the process's own when it is freed."""
    before = _resident()
    torch.empty(FLOATS).fill_(1.0)
    return (_resident() - before) / BYTES


def test_what_is_freed_is_kept_until_the_end_and_then_given_back():
    before = _resident()
    with kept_between_steps():
        assert _kept_of_a_block() > 0.8
        assert abs(_kept_of_a_block()) < 0.2  # the same once more
    assert _resident() - before < 0.2 * BYTES
    assert _kept_of_a_block() < 0.2


def test_an_error_ends_it_too():
    with pytest.raises(ZeroDivisionError), kept_between_steps():
        assert _kept_of_a_block() > 0.8
        raise ZeroDivisionError
    assert _kept_of_a_block() < 0.2
