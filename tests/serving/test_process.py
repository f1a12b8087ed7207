"""What a server sets in the process that it has for itself."""

from __future__ import annotations

import subprocess
import sys

_PROBE = """
import gc, sys
from tutelage.serving.process import settle
before = sys.getswitchinterval()
settle()
assert gc.isenabled() and gc.get_freeze_count() > 1_000, gc.get_freeze_count()
assert gc.get_threshold()[0] == 20_000 and sys.getswitchinterval() < before / 2
"""


def test_what_was_loaded_is_not_walked_again_and_the_loop_waits_less():
    """In a process of its own: it would change what other tests run in."""
    subprocess.run([sys.executable, "-c", _PROBE], check=True, timeout=60)
