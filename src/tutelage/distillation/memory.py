"""The C library's memory while a student trains on a processor: what one step frees, the next one takes."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Of mallopt(3), glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**30
# Where glibc's own thresholds end up in a process that has freed large blocks (DEFAULT_MMAP_THRESHOLD_MAX).
_USUAL_MMAP = 4 * 2**20 * ctypes.sizeof(ctypes.c_long)
_USUAL_TRIM = 2 * _USUAL_MMAP


@contextmanager
def kept_between_steps() -> Iterator[None]:
    """Blocks of up to 1 GiB that are freed stay the process's own; what is free at the end is given back.

    A step frees its activations and gradients, and glibc returns them to the kernel, which then clears every
    page anew for the next step. Nothing of a result depends on it. Elsewhere than on glibc, and where
    it refuses, all stays as it is. Threads that train at once share the setting: the first that ends
    ends it.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if library is None:
        yield
        return
    _set(library, _KEPT, _KEPT)
    try:
        yield
    finally:
        _set(library, _USUAL_MMAP, _USUAL_TRIM)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, mmap: int, trim: int) -> None:
    library.mallopt(_MMAP_THRESHOLD, mmap)
    library.mallopt(_TRIM_THRESHOLD, trim)
