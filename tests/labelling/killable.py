"""Labels prompts in forked children, so that a test can kill one run after another without paying for imports.

Arguments: the endpoint, the ledger, the number of prompts, the concurrency. Each line on stdin starts a run;
its process id is printed, and when it has ended its wait status.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tutelage.config import LabellingConfig, OpenAITeacherConfig
from tutelage.labelling import AnswerLedger, label
from tutelage.records import Prompt
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

import stamina  # noqa: F401 isort: skip - imported by the first call otherwise


def run(url: str, ledger: str, prompts: int, concurrency: int) -> int:
    task = Classify(("refund", "card", "card stolen"))
    config = OpenAITeacherConfig(rights="own", model="scripted-1", base_url=url, samples=1)
    teacher = OpenAITeacher(config, TeacherContext(task, (), Path()))
    texts = [Prompt(str(number), f"prompt {number} " + "x" * (number % 7)) for number in range(prompts)]
    try:
        with AnswerLedger(Path(ledger)) as kept:
            label(texts, teacher, task, kept, LabellingConfig(concurrency=concurrency))
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> None:
    url, ledger, prompts, concurrency = sys.argv[1:]
    # A shell starts background jobs with SIGINT ignored, which Python would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = run(url, ledger, int(prompts), int(concurrency))
            finally:
                os._exit(code)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
