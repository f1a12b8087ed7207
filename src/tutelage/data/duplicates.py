"""Duplicates: exact after normalisation, and near by the Jaccard similarity of character 5-gram sets.

MinHash with locality-sensitive hashing (Broder 1997; datasketch) proposes candidates; each is then compared
exactly, so nothing below the threshold is ever called a duplicate. A near one is missed where all its bands
differ: with b bands of r rows a pair of similarity s is no candidate with probability (1 - s^r)^b (Leskovec,
Rajaraman & Ullman, Mining of Massive Datasets, section 3.4). Bands are chosen so that this is below 0.1% at
the threshold; above it falls quickly. For a threshold of 0.85 (18 bands of 7 rows) it is 0.095% there and
0.0013% at 0.9, and of pairs as far apart as 0.3 one in 250 is compared for nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection

_GRAM = 5
_MOST_PERMUTATIONS = 128
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-‐‑–](?=[^\W\d_])")
_NO_MARKS = str.maketrans("", "", ".,;:!?¡¿…'\"`´‘’‚‛“”„«»‹›、。，！？；：")
_MOST_MISSED = 0.001  # of pairs whose similarity is the threshold


def normalise(text: str) -> str:
    """NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def without_marks(text: str) -> str:
    """A normalised text without spaces, marks of sentences, and hyphens between letters.

    So that "top-up failed!", "top up failed" and "topup failed" are the same. What may be a sign of its
    own, as in C++ or 3-5, stays. Empty where there is nothing else.
    """
    return "".join(_HYPHEN.sub("", text).translate(_NO_MARKS).split())


def grams(text: str) -> frozenset[str]:
    """The character 5-grams of a normalised text; the text itself where it is shorter."""
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if one or other else 1.0


def miss_probability(similarity: float, bands: int, rows: int) -> float:
    """(1 - s^r)^b: how likely a pair of this Jaccard similarity is no candidate."""
    return float((1.0 - similarity**rows) ** bands)


def choose_bands(threshold: float) -> tuple[int, int] | None:
    """(bands, rows a band): the fewest of the longest bands that keep `_MOST_MISSED`.

    Long bands, and few of them, make the fewest candidates of dissimilar pairs. None where no bands do,
    which is so below a threshold of 0.053: any two texts are to be compared then.
    """
    for rows in range(_MOST_PERMUTATIONS // 2, 0, -1):
        for bands in range(2, _MOST_PERMUTATIONS // rows + 1):
            if miss_probability(threshold, bands, rows) < _MOST_MISSED:
                return bands, rows
    return None


@dataclass(frozen=True, slots=True)
class Match:
    """`index` of the text that is matched, and how alike the two are: 1.0 where they are the same."""

    index: int
    similarity: float
    exact: bool


class DuplicateIndex:
    """Texts that others can be matched against. `threshold` is a Jaccard similarity in (0, 1]."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self._threshold = threshold
        self._normal = [normalise(text) for text in texts]
        self._exact = {text: index for index, text in reversed(list(enumerate(self._normal)))}
        bands = choose_bands(threshold) if threshold < 1.0 and texts else None
        self._lsh = None if bands is None else self._build(*bands)

    def _build(self, bands: int, rows: int) -> Any:
        from datasketch import MinHashLSH

        lsh = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
        distinct = list(self._exact)
        with lsh.insertion_session() as session:
            for text, signature in zip(distinct, _signatures(distinct, bands * rows), strict=True):
                session.insert(self._exact[text], signature, check_duplication=False)
        return lsh

    def match_all(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the exact match, else the most similar near one, else None."""
        normal = [normalise(text) for text in texts]
        results: list[Match | None] = [
            Match(self._exact[text], 1.0, exact=True) if text in self._exact else None for text in normal
        ]
        if self._threshold >= 1.0:
            return results
        open_ = [index for index, match in enumerate(results) if match is None]
        candidates = self._candidates([normal[index] for index in open_])
        for index, near in zip(open_, candidates, strict=True):
            results[index] = self._nearest(normal[index], near)
        return results

    def _candidates(self, normal: Sequence[str]) -> Iterator[Iterable[int]]:
        if self._lsh is None:
            return (range(len(self._normal)) for _ in normal)
        return (self._lsh.query(signature) for signature in _signatures(normal, self._lsh.h))

    def _nearest(self, text: str, candidates: Iterable[int]) -> Match | None:
        own = grams(text)
        scored = [(jaccard(own, grams(self._normal[index])), -index) for index in candidates]
        similarity, index = max(scored, default=(0.0, 0))
        return Match(-index, similarity, exact=False) if similarity >= self._threshold else None


def _signatures(texts: Sequence[str], permutations: int) -> Iterable[object]:
    from datasketch import MinHash

    shingles = [[gram.encode("utf-8", "surrogatepass") for gram in sorted(grams(text))] for text in texts]
    return MinHash.generator(shingles, num_perm=permutations)  # type: ignore[no-any-return]


def drop_repeats(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Rejection]]:
    """Keep the first of prompts whose text is the same after normalisation."""
    kept: dict[str, Prompt] = {}
    rejected = []
    for prompt in prompts:
        first = kept.setdefault(normalise(prompt.text), prompt)
        if first is not prompt:
            rejected.append(reject(prompt, RejectReason.DUPLICATE_TEXT, f"same text as {first.id!r}"))
    return list(kept.values()), rejected


def exclude_gold(
    prompts: Sequence[Prompt], gold: Sequence[Prompt], threshold: float
) -> tuple[list[Prompt], list[Rejection]]:
    """Set aside whatever is the same as, or nearly, a prompt of sealed gold.

    Below a threshold of 1 texts that differ in the marks of sentences alone are near ones, however short.
    """
    matches = DuplicateIndex([prompt.text for prompt in gold], threshold).match_all(
        [item.text for item in prompts]
    )
    spoken = {said: item for item in gold if (said := without_marks(normalise(item.text)))}
    kept, rejected = [], []
    for prompt, match in zip(prompts, matches, strict=True):
        same = spoken.get(without_marks(normalise(prompt.text))) if threshold < 1 else None
        if match is not None:
            reason = RejectReason.DUPLICATE_OF_GOLD if match.exact else RejectReason.NEAR_DUPLICATE_OF_GOLD
            detail = f"similarity {match.similarity:.2f} with {gold[match.index].id!r}"
            rejected.append(reject(prompt, reason, detail))
        elif same is not None:
            detail = f"but for punctuation the same as {same.id!r}"
            rejected.append(reject(prompt, RejectReason.NEAR_DUPLICATE_OF_GOLD, detail))
        else:
            kept.append(prompt)
    return kept, rejected


def reject(prompt: Prompt, reason: RejectReason, detail: str) -> Rejection:
    """A rejection of a prompt that was read well."""
    return Rejection(prompt.source, prompt.row, prompt.id, reason, detail, prompt.text[:200])
