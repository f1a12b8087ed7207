"""The process of an isolated student: `python -m tutelage.serving.isolated_child FOLDER THREADS`.

It says `"ready"`, then for each line `[number, text]` on its input `[number, probabilities]`, or
`[number, "what went wrong"]`. It ends with its input, and so with the server.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO

from tutelage.serving.runtime import Runtime, load_runtime


def answer_lines(runtime: Runtime, lines: IO[bytes], out: IO[bytes]) -> None:
    """Answer until `lines` end."""

    def say(content: object) -> None:
        out.write(json.dumps(content).encode() + b"\n")
        out.flush()

    say("ready")
    for line in lines:
        number, text = json.loads(line)
        try:
            [row] = runtime.predict([text])
            say([number, row.tolist()])
        except Exception as error:  # noqa: BLE001 - told to the server, which asks the teacher
            say([number, f"{type(error).__name__}: {error}"])


if __name__ == "__main__":
    student = load_runtime(Path(sys.argv[1]), int(sys.argv[2]))
    student.predict(["warm"])
    answer_lines(student, sys.stdin.buffer, sys.stdout.buffer)
