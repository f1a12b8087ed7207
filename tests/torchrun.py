"""Two processes of torchrun, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

_RESULT = "result: "
LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    "accelerate": ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
}


def torchrun(*words: object, by: str = "torchrun") -> subprocess.CompletedProcess[str]:
    """Run a script, or `-m` and a module, with arguments, in two processes that import what this one can.

    `by` another of the `LAUNCHERS`, `accelerate launch` starts them.
    """
    return ended(started(*words, by=by))


def tell(result: object) -> None:
    """Print what `results` finds, from within a process."""
    print(_RESULT + json.dumps(result), flush=True)


def results(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """What processes told, beside whatever libraries print there. Raises AssertionError where they failed."""
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (line for line in done.stdout.splitlines() if line.startswith(_RESULT))
    return [json.loads(line.removeprefix(_RESULT)) for line in lines]


def started(*words: object, by: str = "torchrun") -> subprocess.Popen[str]:
    """`torchrun`, under way."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-m", *LAUNCHERS[by], *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What came of one that was started."""
    with process:
        try:
            told, errors = process.communicate(timeout=1800)
        except subprocess.TimeoutExpired:
            process.terminate()  # with its children, which `kill` would leave
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, told, errors)
