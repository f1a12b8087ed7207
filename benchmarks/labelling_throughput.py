"""Throughput of labelling with the encoder teacher, against a bare loop over the same model.

The bare loop sorts by length and embeds batches of 64, nothing else. Both see the same texts, in turn, and
the ratio of each pair is reported with its spread.

    python benchmarks/labelling_throughput.py [--limit 3000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from tutelage.config import ColumnsConfig, EncoderTeacherConfig, LabellingConfig
from tutelage.data import read_gold, split_training
from tutelage.labelling import AnswerLedger, label
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.encoder import EncoderTeacher

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def bare(teacher: EncoderTeacher, texts: list[str]) -> float:
    """Seconds of the loop that anybody would write."""
    tokenizer, model = teacher._encoder
    started = time.perf_counter()
    ordered = sorted(texts, key=len, reverse=True)
    with torch.inference_mode():
        for start in range(0, len(ordered), teacher.batch_size):
            batch = tokenizer(
                ordered[start : start + teacher.batch_size],
                padding=True,
                truncation=True,
                max_length=128,
                return_tensors="pt",
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            teacher._head.probabilities(
                torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
            )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set TUTELAGE_DATA")
    columns = ColumnsConfig(label="category")
    rows = read_gold(DATA / "banking77/train.csv", columns, task=Classify(()), limit=options.limit).accepted
    task = Classify(tuple(sorted({item.value for item in rows})))
    training, _ = split_training(rows, 0.1, seed=0)
    teacher = EncoderTeacher(EncoderTeacherConfig(), TeacherContext(task, training, DATA))
    texts = list(dict.fromkeys(item.prompt.text for item in rows))
    teacher.predict(texts[:64])
    ratios = []
    for repeat in range(options.repeats):
        plain = bare(teacher, texts)
        with tempfile.TemporaryDirectory() as folder, AnswerLedger(Path(folder) / "answers.sqlite") as ledger:
            started = time.perf_counter()
            label([item.prompt for item in rows], teacher, task, ledger, LabellingConfig())
            ours = time.perf_counter() - started
        ratios.append(plain / ours)
        print(
            f"repeat {repeat}: bare loop {len(texts) / plain:,.0f} texts/s, labelling {len(texts) / ours:,.0f} texts/s, "
            f"ratio {plain / ours:.3f}"
        )
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(
        f"labelling at {statistics.median(ratios):.1%} of the bare loop (median of {len(ratios)}; {spread})"
    )


if __name__ == "__main__":
    main()
