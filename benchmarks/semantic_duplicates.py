"""Semantic duplicates: from which cosine on do two requests ask for the same, by words and by sentence encoders?

Gold is a data set's test part. What is planted is each of its texts of four words or more with one word replaced
by another of the data set's, and 36 paraphrases a data set that people would write (paraphrases.csv), of which
hardly a word is kept. Each is looked for among all of gold: it counts as found where the nearest text, or any,
reaches the threshold. False positives are told by label, as in near_duplicates.py: texts of the training part, in
which nothing was planted, whose nearest text of gold reaches it and has another label. "Same label" counts those
that match one of their own label: not all ask for the same, so that it bounds what grouping joins.

    python benchmarks/semantic_duplicates.py [--model minilm-l6] [--texts 2000] [--seed 0]
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from near_duplicates import SETS, read
from tutelage.config import WORDS
from tutelage.data.duplicates import normalise
from tutelage.data.word_space import WordSpace
from tutelage.teachers.sentence_encoder import SentenceEncoder

PARAPHRASES = Path(__file__).with_name("paraphrases.csv")
THRESHOLDS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.925, 0.95, 0.975)
Points = npt.NDArray[np.float32]


def one_word(text: str, vocabulary: Sequence[str], draw: random.Random) -> str:
    """One word replaced by another of the data set's."""
    words = text.split()
    words[draw.randrange(len(words))] = draw.choice(vocabulary)
    return " ".join(words)


def nearest(points: Points, to: Points) -> tuple[npt.NDArray[np.int64], Points]:
    """Of each point the nearest one's row, and the cosine."""
    cosines = points @ to.T
    rows = cosines.argmax(axis=1)
    return rows, cosines[np.arange(len(points)), rows]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="minilm-l6", help="a sentence encoder, or words")
    parser.add_argument("--texts", type=int, default=2000, help="of the training part, and edits at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with PARAPHRASES.open(encoding="utf-8", newline="") as file:
        planted = list(csv.DictReader(file))
    print("| data | cosine | one word | paraphrases | same label | other label |\n|---|---|---|---|---|---|")
    for name, (gold_part, traffic_part, columns) in SETS.items():
        gold, traffic = (read(name, part, columns) for part in (gold_part, traffic_part))
        draw = random.Random(options.seed)
        traffic = draw.sample(traffic, min(options.texts, len(traffic)))
        texts, labels = [text for text, _ in gold], np.array([label for _, label in gold])
        vocabulary = sorted({word for text, _ in traffic for word in normalise(text).split()})
        long = [row for row, text in enumerate(texts) if len(text.split()) >= 4]
        long = draw.sample(long, min(options.texts, len(long)))
        edited = [one_word(texts[row], vocabulary, draw) for row in long]
        pairs = [row for row in planted if row["data"] == name]
        if options.model == WORDS:
            embed = WordSpace.fit([*texts, *(text for text, _ in traffic)], seed=options.seed).embed
        else:
            embed = SentenceEncoder.named(options.model, Path()).embed
        of_gold = embed(texts)
        _, by_word = nearest(embed(edited), of_gold)
        originals = embed([row["text"] for row in pairs])
        by_paraphrase = (embed([row["paraphrase"] for row in pairs]) * originals).sum(axis=1)
        rows, by_traffic = nearest(embed([text for text, _ in traffic]), of_gold)
        same = labels[rows] == np.array([label for _, label in traffic])
        for threshold in THRESHOLDS:
            print(
                f"| {name}, {options.model} | {threshold:g} | {(by_word >= threshold).mean():.1%} | "
                f"{(by_paraphrase >= threshold).sum()} of {len(pairs)} | "
                f"{(same & (by_traffic >= threshold)).mean():.1%} | "
                f"{(~same & (by_traffic >= threshold)).mean():.2%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
