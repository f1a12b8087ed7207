"""Planted leaks: how many of gold's texts, changed a little, `collect` would keep out of the transfer set.

Gold is a data set's test part. Each of its texts of four words or more is planted in five changed forms; false
positives are texts of the training part, none of which was planted: of those that match, the share whose label
is another than that of what they match, which can't be the same request. `traffic.word_apart` is shown both ways.

    python benchmarks/near_duplicates.py [--threshold 0.85] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import string
from collections.abc import Callable
from pathlib import Path

from tutelage.data.duplicates import DuplicateIndex, normalise
from tutelage.data.rows import open_rows

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {
    "banking77": ("test.csv", "train.csv", {"text": "text", "category": "label"}),
    "hwu64": ("test", "train", {}),
}
Change = Callable[[str, random.Random], str]


def case(text: str, draw: random.Random) -> str:
    """Letters in either case."""
    return "".join(letter.upper() if draw.random() < 0.5 else letter.lower() for letter in text)


def marks(text: str, draw: random.Random) -> str:
    """Marks of sentences gone, and others put behind two words."""
    words = text.translate(str.maketrans("", "", ".,;:!?")).split()
    for place in draw.sample(range(len(words)), 2):
        words[place] += draw.choice("!?.,;")
    return " ".join(words)


def word(text: str, draw: random.Random) -> str:
    """One word replaced by letters."""
    words = text.split()
    words[draw.randrange(len(words))] = "".join(draw.choices(string.ascii_lowercase, k=6))
    return " ".join(words)


def letter(text: str, draw: random.Random) -> str:
    """One letter left out."""
    place = draw.randrange(len(text))
    return text[:place] + text[place + 1 :]


def order(text: str, draw: random.Random) -> str:
    """The words in another order."""
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


CHANGES: tuple[Change, ...] = (case, marks, order, word, letter)


def read(name: str, part: str, columns: dict[str, str]) -> list[tuple[str, str]]:
    """Texts with their labels."""
    named = {new: old for old, new in columns.items()}
    rows = open_rows(DATA / name / part, None if columns else "lines", columns)
    return [(row.cells[named.get("text", "text")], row.cells[named.get("label", "label")]) for row in rows]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threshold", type=float, default=0.85, help="traffic.near_duplicate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = [change.__name__ for change in CHANGES]
    print("| data | word_apart | planted | " + " | ".join(names) + " | matched in training | other label |")
    print("|---" * (5 + len(names)) + "|")
    for name, (gold_part, traffic_part, columns) in SETS.items():
        gold, traffic = (read(name, part, columns) for part in (gold_part, traffic_part))
        planted = [text for text, _ in gold if len(normalise(text).split()) >= 4]
        for apart in (0, 1):
            index = DuplicateIndex([text for text, _ in gold], options.threshold, apart=apart)
            draw = random.Random(options.seed)
            found = []
            for change in CHANGES:
                matches = index.match_all([change(text, draw) for text in planted])
                found.append(sum(match is not None for match in matches) / len(planted))
            matches = index.match_all([text for text, _ in traffic])
            labels = [
                (label, gold[match.index][1])
                for (_, label), match in zip(traffic, matches, strict=True)
                if match is not None
            ]
            other = sum(one != other for one, other in labels)
            shares = " | ".join(f"{share:.1%}" for share in found)
            print(
                f"| {name} | {'drop' if apart else 'keep'} | {len(planted):,} | {shares} | "
                f"{len(labels):,} of {len(traffic):,} | {other} ({other / len(traffic):.2%}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
