"""How long a transfer set takes from the answer ledger into Arrow, joined with its prompts in their order.

python benchmarks/ledger_reading.py [--rows 1000000] [--labels 77]
"""

from __future__ import annotations

import argparse
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.labelling import AnswerLedger, LedgerKey, export_answers
from tutelage.records import Prompt
from tutelage.tasks import Classify

LABELS = 77


def build(path: Path, prompts: list[Prompt], key: LedgerKey, labels: int = LABELS) -> None:
    """A ledger with an answer to each prompt, with distribution, as an API that gives logprobs leaves them."""
    AnswerLedger(path).close()
    generator = np.random.default_rng(1)
    distributions = generator.dirichlet(np.ones(labels), 1000).astype("<f4")
    blobs = [row.tobytes() for row in distributions]
    columns = (
        "teacher, revision, task_version, prompt_hash, status, value, distribution, origin, raw, reason, "
        "model, input_tokens, output_tokens, cost, latency, calls, slice, created"
    )

    def rows() -> Iterator[tuple[Any, ...]]:
        for number, prompt in enumerate(prompts):
            said = f"label {number % labels}"
            yield (
                *(key.teacher, key.revision, key.task_version, prompt.hash, "ok", f'"{said}"'),
                *(blobs[number % len(blobs)], "logprobs", f'{{"label": "{said}"}}', "", "model-1"),
                *(220, 8, 0.00012, 0.4, 1, prompt.slice, f"2026-11-{number % 28 + 1:02}T10:00:00.000+00:00"),
            )

    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    database.execute("BEGIN")
    database.executemany(
        f"INSERT INTO answers ({columns}) VALUES ({','.join('?' * len(columns.split(',')))})", rows()
    )
    database.execute("COMMIT")
    database.close()


def reading(rows: int, labels: int = LABELS) -> float:
    """Seconds from a ledger of `rows` answers to the transfer table, the answers in another order."""
    prompts = [Prompt(f"p{number}", f"message {number} about an order") for number in range(rows)]
    task = Classify(tuple(f"label {number}" for number in range(labels)))
    key = LedgerKey("teacher", "r", task.version)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.sqlite"
        build(path, random.Random(1).sample(prompts, len(prompts)), key, labels)
        with AnswerLedger(path) as ledger:
            started = time.perf_counter()
            table = export_answers(prompts, ledger, key, task, {})
            taken = time.perf_counter() - started
    if table.num_rows != rows or table["id"][rows - 1].as_py() != prompts[-1].id:
        raise RuntimeError(f"{table.num_rows} rows came of {rows}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=LABELS)
    options = parser.parse_args()
    seconds = reading(options.rows, options.labels)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'answers':>12} {'labels':>7} {'seconds':>8} {'answers/s':>12} {'peak RSS':>10}")
    print(
        f"{options.rows:12,} {options.labels:7} {seconds:8.2f} {options.rows / seconds:12,.0f} {peak:7,.0f} MB"
    )


if __name__ == "__main__":
    main()
