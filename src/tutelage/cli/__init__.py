"""The command line. Thin: verbs read options, call the library, draw what it says."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of `tutelage`. A TutelageError becomes one line and its exit code."""
    from tutelage.cli.app import app
    from tutelage.errors import TutelageError
    from tutelage.extras import missing_extra

    # A path that isn't UTF-8, or a dash on a terminal of an older coding, must not end a run.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        app()
    except TutelageError as error:
        sys.stderr.write(f"tutelage: {error}\n")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        absent = missing_extra(error, f"`tutelage {' '.join(sys.argv[1:2])}`")
        if absent is None:
            raise
        sys.stderr.write(f"tutelage: {absent}\n")
        sys.exit(absent.exit_code)
    except OSError as error:
        if error.filename is None:  # none of ours: no file's doing
            raise
        sys.stderr.write(
            f"tutelage: {error.filename}: {error.strerror}. Mend: check that it can be read and written "
            "there, and that the disk has room; what was done is kept\n"
        )
        sys.exit(2)
    except SystemExit as stopped:
        if stopped.code != 130:
            raise
        sys.stderr.write("\ntutelage: stopped. What was done is kept; the same command goes on from here.\n")
        sys.exit(130)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """SIGTERM, a service manager's, ends a run as Ctrl-C does: what calls under way brought is kept."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts jobs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
