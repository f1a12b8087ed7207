from __future__ import annotations

import platform
import resource

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.distillation.memory import kept_between_steps  # noqa: E402

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
FLOATS = 16 * 2**20  # more bytes than glibc keeps by itself


def _pages_cleared():
    """How many pages the kernel has to clear for a block that is taken, filled and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(FLOATS).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_what_is_freed_is_kept_until_the_end_and_then_given_back():
    usual = _pages_cleared()
    with kept_between_steps():
        cleared = [_pages_cleared() for _ in range(8)]
        assert sum(cleared) < 4 * usual, "the first ones, and no others, take new memory"
    assert _pages_cleared() > usual / 2


def test_an_error_ends_it_too():
    usual = _pages_cleared()
    with pytest.raises(ZeroDivisionError), kept_between_steps():
        raise ZeroDivisionError
    _pages_cleared()
    assert _pages_cleared() > usual / 2
