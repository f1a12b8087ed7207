"""Two processes of torchrun, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a script, or `-m` and a module, with arguments, in two processes that import what this one can."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
