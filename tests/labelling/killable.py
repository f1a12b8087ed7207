"""Labels prompts in forked children, so that a test can kill one run after another without paying for imports.

The argument is JSON: `url`, `ledger`, and where they aren't the usual `prompts` (how many), `teacher` and
`labelling` (settings); or `programme`, a folder whose stage `label` is run. Each line on stdin is the
environment that a run gets beside its own, as JSON, and starts it; its process id is printed, and when it has
ended its wait status. What a run ends with is left beside the ledger as `.said` (JSON): the report, or the
error's text.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from tutelage import faults
from tutelage.config import LabellingConfig, OpenAITeacherConfig
from tutelage.errors import TutelageError
from tutelage.labelling import AnswerLedger, label
from tutelage.programme import Programme
from tutelage.records import Prompt
from tutelage.stages import run_stage
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

import aiohttp  # noqa: F401 isort: skip - imported by the first call otherwise
import pyarrow.parquet  # noqa: F401 isort: skip - by the first table

UNEXPECTED = 99
TASK = Classify(("refund", "card", "card stolen"))
PRICED = {"price": {"input": 100.0, "output": 1000.0}}


def prompts_of(count: int) -> list[Prompt]:
    """The prompts that runs ask."""
    return [Prompt(str(number), f"prompt {number} " + "x" * (number % 7)) for number in range(count)]


def teacher_of(url: str, **settings: Any) -> OpenAITeacher:
    """The teacher that runs ask: its calls cost money, and so are written down."""
    usual = {"rights": "own", "model": "scripted-1", "base_url": url, "samples": 1, **PRICED}
    config = OpenAITeacherConfig.model_validate(usual | settings)
    return OpenAITeacher(config, TeacherContext(TASK, (), Path()))


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """One run, to its end."""
    if "programme" in spec:
        run_stage(Programme.open(Path(spec["programme"])), "label")
        return {}
    teacher = teacher_of(spec["url"], **spec.get("teacher", {}))
    config = LabellingConfig.model_validate(spec.get("labelling", {}))
    with AnswerLedger(Path(spec["ledger"])) as kept:
        report = label(prompts_of(spec.get("prompts", 300)), teacher, TASK, kept, config)
        return {**dataclasses.asdict(report), "spent": kept.spent()}


def child(spec: dict[str, Any]) -> int:
    """A run's exit code; what it said is left in a file."""
    said: dict[str, Any] = {}
    code = UNEXPECTED
    faults.arm()
    try:
        said, code = {"report": run(spec)}, 0
    except KeyboardInterrupt:
        code = 130
    except TutelageError as error:
        said, code = {"error": type(error).__name__, "text": str(error)}, error.exit_code
    except BaseException as error:  # noqa: BLE001 - what it was is told, and by the exit code
        said = {"error": type(error).__name__, "text": str(error)}
        traceback.print_exc()
    if "ledger" in spec:
        Path(spec["ledger"]).with_suffix(".said").write_text(json.dumps(said))
    return code


def main() -> None:
    """See the module."""
    spec = json.loads(sys.argv[1])
    # A shell starts background jobs with SIGINT ignored, which Python would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("ready", flush=True)
    for line in sys.stdin:
        started = os.fork()
        if started == 0:
            code = UNEXPECTED
            try:
                os.environ.update(json.loads(line))
                code = child(spec)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(started, flush=True)
        print(os.waitpid(started, 0)[1], flush=True)


if __name__ == "__main__":
    main()
