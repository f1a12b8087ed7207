"""The process that a server has for itself."""

from __future__ import annotations

import gc
import sys


def settle() -> None:
    """Set what can be seen in the slowest answers of a process with an event loop and a thread that writes.

    Collections of garbage needn't walk what was loaded at the start, and come more seldom; the loop gets the
    interpreter back from the writing thread after half a millisecond, not five. To be called once all is
    loaded, by a process that does nothing else.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.0005)
