"""Duplicates: exact after normalisation, and near by the Jaccard similarity of character 5-gram sets.

MinHash with locality-sensitive hashing (Broder 1997; datasketch) proposes candidates; each is then compared
exactly, so nothing below the threshold is ever called a duplicate. A near one can be missed with the small
probability that its bands all differ.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection

_GRAM = 5
_PERMUTATIONS = 64


def normalise(text: str) -> str:
    """NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def grams(text: str) -> frozenset[str]:
    """The character 5-grams of a normalised text; the text itself where it is shorter."""
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if one or other else 1.0


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
        self._lsh = self._build() if threshold < 1.0 and texts else None

    def _build(self) -> object:
        from datasketch import MinHashLSH

        lsh = MinHashLSH(threshold=self._threshold, num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
        distinct = list(self._exact)
        with lsh.insertion_session() as session:
            for text, signature in zip(distinct, _signatures(distinct), strict=True):
                session.insert(self._exact[text], signature, check_duplication=False)
        return lsh

    def match_all(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the exact match, else the most similar near one, else None."""
        normal = [normalise(text) for text in texts]
        results: list[Match | None] = [
            Match(self._exact[text], 1.0, exact=True) if text in self._exact else None for text in normal
        ]
        if self._lsh is None:
            return results
        open_ = [index for index, match in enumerate(results) if match is None]
        for index, signature in zip(open_, _signatures([normal[index] for index in open_]), strict=True):
            results[index] = self._nearest(normal[index], self._lsh.query(signature))  # type: ignore[attr-defined]
        return results

    def _nearest(self, text: str, candidates: Iterable[int]) -> Match | None:
        own = grams(text)
        scored = [(jaccard(own, grams(self._normal[index])), -index) for index in candidates]
        similarity, index = max(scored, default=(0.0, 0))
        return Match(-index, similarity, exact=False) if similarity >= self._threshold else None


def _signatures(texts: Sequence[str]) -> Iterable[object]:
    from datasketch import MinHash

    shingles = [[gram.encode("utf-8", "surrogatepass") for gram in sorted(grams(text))] for text in texts]
    return MinHash.generator(shingles, num_perm=_PERMUTATIONS)  # type: ignore[no-any-return]


def drop_repeats(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Rejection]]:
    """Keep the first of prompts whose text is the same after normalisation."""
    kept: dict[str, Prompt] = {}
    rejected = []
    for row, prompt in enumerate(prompts, start=1):
        first = kept.setdefault(normalise(prompt.text), prompt)
        if first is not prompt:
            rejected.append(reject(prompt, row, RejectReason.DUPLICATE_TEXT, f"same text as {first.id!r}"))
    return list(kept.values()), rejected


def exclude_gold(
    prompts: Sequence[Prompt], gold: Sequence[Prompt], threshold: float
) -> tuple[list[Prompt], list[Rejection]]:
    """Set aside whatever is the same as, or nearly, a prompt of sealed gold."""
    matches = DuplicateIndex([prompt.text for prompt in gold], threshold).match_all(
        [item.text for item in prompts]
    )
    kept, rejected = [], []
    for row, (prompt, match) in enumerate(zip(prompts, matches, strict=True), start=1):
        if match is None:
            kept.append(prompt)
            continue
        reason = RejectReason.DUPLICATE_OF_GOLD if match.exact else RejectReason.NEAR_DUPLICATE_OF_GOLD
        detail = f"similarity {match.similarity:.2f} with {gold[match.index].id!r}"
        rejected.append(reject(prompt, row, reason, detail))
    return kept, rejected


def reject(prompt: Prompt, row: int, reason: RejectReason, detail: str) -> Rejection:
    """A rejection of a prompt that was read well. `row` is its place among the prompts that were."""
    return Rejection(prompt.source, row, prompt.id, reason, detail, prompt.text[:200])
