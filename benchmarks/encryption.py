"""What encryption at rest costs: the same work in a folder that is encrypted and in one that isn't.

python benchmarks/encryption.py [--rows 100000] [--runs 5]

Processor seconds, since the machine may be shared; the median of the runs, with the least and the most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from tutelage import encryption, storage
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.records import Answer, AnswerStatus, Prompt, Usage
from tutelage.serving.captures import Capture, new_id
from tutelage.serving.store._journal import Journal

_TEXT = (
    "I was charged twice for order {} on Monday, and the second payment is still pending. Can you check it? "
)
_AT_ONCE = 100  # answers in a transaction, as many as come while one is synced


def measured(folder: Path, rows: int) -> Mapping[str, float]:
    """Processor seconds of each piece of work."""
    prompts = [Prompt(str(number), _TEXT.format(number)) for number in range(rows)]
    texts = [prompt.text for prompt in prompts]
    table = pa.table({"id": [prompt.id for prompt in prompts], "text": texts})
    path, content = folder / "prompts" / "prompts.parquet", "\n".join(texts).encode()
    key = LedgerKey("teacher", "r1", "v1")
    usage = Usage(220, 8, 0.00012, 0.4, 1)
    answer = Answer(
        AnswerStatus.OK, "card_arrival", raw='{"label": "card_arrival"}', model="model-1", usage=usage
    )

    def record() -> None:
        with AnswerLedger(folder / "answers" / "answers.sqlite") as ledger:
            for begin in range(0, rows, _AT_ONCE):
                ledger.record(key, [(prompt, answer) for prompt in prompts[begin : begin + _AT_ONCE]])

    def read() -> None:
        with AnswerLedger(folder / "answers" / "answers.sqlite") as ledger:
            assert len(ledger.get_many(key, [prompt.hash for prompt in prompts])) == rows

    def capture() -> None:
        journal = Journal(folder / "serving", "captures-x")
        for text in texts:
            assert journal.append(
                Capture(new_id(), 0.0, "shop", "normal", text, "0" * 32, "canary", "student", value='"card"'),
                None,
            )
        journal.close(keep=False)

    work: dict[str, Callable[[], object]] = {
        "write a table": lambda: storage.write_table(path, table),
        "read a table": lambda: storage.read_table(path),
        "hash a table": lambda: storage.hash_file(path),
        "write as many lines": lambda: storage.write_bytes(folder / "gold" / "a.jsonl", content),
        "read as many lines": lambda: storage.read_bytes(folder / "gold" / "a.jsonl"),
        "record answers": record,
        "read answers": read,
        "hand captures to the system": capture,
    }
    found = {}
    for name, act in work.items():
        began = time.process_time()
        act()
        found[name] = time.process_time() - began
    return found


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--rows", type=int, default=100_000)
    given.add_argument("--runs", type=int, default=5)
    options = given.parse_args()
    os.environ[encryption.KEY_ENV] = encryption.new_key()
    runs: dict[bool, list[Mapping[str, float]]] = {False: [], True: []}
    for _ in range(options.runs):
        for is_on in runs:
            with tempfile.TemporaryDirectory() as place:
                if is_on:
                    encryption.mark(Path(place))
                runs[is_on].append(measured(Path(place), options.rows))
    print(f"{options.rows:,} rows of {len(_TEXT)} characters; processor seconds, median [least, most]")
    for name in runs[False][0]:
        plain, hidden = ([run[name] for run in runs[is_on]] for is_on in runs)
        print(f"{name:30} plain {_told(plain)}   encrypted {_told(hidden)}")


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):7.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"


if __name__ == "__main__":
    main()
