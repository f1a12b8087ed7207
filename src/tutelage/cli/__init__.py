"""The command line. Thin: verbs read options, call the library, draw what it says."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `tutelage`. A TutelageError becomes one line and its exit code."""
    from tutelage.cli.app import app
    from tutelage.errors import TutelageError

    try:
        app()
    except TutelageError as error:
        sys.stderr.write(f"tutelage: {error}\n")
        sys.exit(error.exit_code)
    except SystemExit as stopped:
        if stopped.code != 130:
            raise
        sys.stderr.write("\ntutelage: stopped. What was done is kept; the same command goes on from here.\n")
        sys.exit(130)
