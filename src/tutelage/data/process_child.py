"""A child of `data.processes`: `python -m tutelage.data.process_child IN OUT`, two numbers of open pipes."""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from tutelage.data.processes import answer

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    answer(
        Connection(int(sys.argv[1]), writable=False),
        Connection(int(sys.argv[2]), readable=False),
    )
