"""`tutelage train` of the programme in a folder; its first process halts once, see `HaltingProgress`."""

import sys
from contextlib import nullcontext
from pathlib import Path

from halting import HaltingProgress
from tutelage.programme import Programme
from tutelage.scale import is_first
from tutelage.stages import run_stage

if __name__ == "__main__":
    programme = Programme.open(Path(sys.argv[1]))
    checkpoints = programme.folder / "students" / f".checkpoint-{programme.config.student.run}"
    progress = HaltingProgress(checkpoints, programme.folder.parent) if is_first() else None
    with programme.locked() if is_first() else nullcontext():
        run_stage(programme, "train", progress)
