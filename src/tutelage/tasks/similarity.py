"""How alike two texts are, from 0 to 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence

_ORDERS = range(1, 7)  # character n-grams, as chrF has them by default
_RECALL_WEIGHT = 2.0  # beta of chrF2
_WORD = re.compile(r"\w+")


def chrf(text: str, reference: str) -> float:
    """chrF2 (Popović 2015, eq. 1): F-score of character 1- to 6-grams, recall weighing twice, in [0, 1].

    White space is left out. Orders that either text is too short for are too. Two texts without any
    character are alike. sacrebleu's sentence chrF over 100, but for that.
    """
    ours, theirs = "".join(text.split()), "".join(reference.split())
    if ours == theirs:
        return 1.0
    shares = [
        (hits / (len(ours) - n + 1), hits / (len(theirs) - n + 1))
        for n in _ORDERS
        if min(len(ours), len(theirs)) >= n
        for hits in [_shared(ours, theirs, n)]
    ]
    if not shares:
        return 0.0
    precision = sum(share for share, _ in shares) / len(shares)
    recall = sum(share for _, share in shares) / len(shares)
    weight = _RECALL_WEIGHT**2
    under = weight * precision + recall
    return (1 + weight) * precision * recall / under if under else 0.0


def _shared(one: str, other: str, n: int) -> int:
    return sum((_ngrams(one, n) & _ngrams(other, n)).values())


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L (Lin 2004, eq. 2-4, beta 1): F1 of the longest common subsequence of words, in [0, 1].

    Words are runs of letters, digits and underscores, whatever their case. Two texts without a word are
    alike.
    """
    ours, theirs = _WORD.findall(text.casefold()), _WORD.findall(reference.casefold())
    if ours == theirs:
        return 1.0
    return 2 * longest_common(ours, theirs) / (len(ours) + len(theirs))


def longest_common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence, a machine word of `one` at a time (Hyyrö 2004)."""
    places: dict[Hashable, int] = {}
    for index, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << index
    everywhere = (1 << len(one)) - 1
    row = everywhere
    for item in other:
        met = row & places.get(item, 0)
        row = ((row + met) | (row - met)) & everywhere
    return len(one) - row.bit_count()
