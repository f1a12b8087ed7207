"""Duplicates: the same after normalisation, and near by any of three likenesses.

* Character 5-grams: the Jaccard similarity of their sets, from a threshold. MinHash with locality-sensitive
  hashing (`data.minhash`) proposes candidates; each is then compared exactly, so nothing below the threshold
  is ever called a duplicate.
* Marks: texts that differ in the marks of sentences and in hyphens alone.
* Words: texts of four words or more with the same words in any order; where asked for also all but one: a
  word changed, put in or left out. In a short text one word changes many 5-grams, and 0.85 would miss it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection

if TYPE_CHECKING:
    from tutelage.data.minhash import Hashes

_GRAM = 5
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-‐‑–](?=[^\W\d_])")
_HYPHENS = "-‐‑–"
_NO_MARKS = str.maketrans("", "", ".,;:!?¡¿…'\"`´‘’‚‛“”„«»‹›、。，！？；：")
_LEAST_WORDS = 4  # of a text that may be like another by its words
_ALL = (1 << 64) - 1


def normalise(text: str) -> str:
    """NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def without_marks(text: str) -> str:
    """A normalised text without spaces, marks of sentences, and hyphens between letters.

    So that "top-up failed!", "top up failed" and "topup failed" are the same. What may be a sign of its
    own, as in C++ or 3-5, stays. Empty where there is nothing else.
    """
    return "".join(_unhyphenated(text).translate(_NO_MARKS).split())


def _unhyphenated(text: str) -> str:
    return _HYPHEN.sub("", text) if any(mark in text for mark in _HYPHENS) else text


def words_of(text: str) -> list[str]:
    """The words of a normalised text, without the marks of sentences."""
    return _unhyphenated(text).translate(_NO_MARKS).split()


def grams(text: str) -> frozenset[str]:
    """The character 5-grams of a normalised text; the text itself where it is shorter."""
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if one or other else 1.0


@lru_cache(1 << 17)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def bag_hashes(words: Sequence[str]) -> list[int]:
    """64-bit hashes of a text's words whatever their order: of all, then of all but one.

    A text has one in common with another where they have the same words but for one at most. None for a text
    of fewer than three words, which is like none.
    """
    if len(words) < _LEAST_WORDS - 1:
        return []
    hashes = [_word_hash(word) for word in words]
    bag = sum(hashes) & _ALL
    return [bag, *((bag - one) & _ALL for one in dict.fromkeys(hashes))]


def words_apart(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words have to be changed, put in or left out, whatever the order, to make one the other."""
    more, fewer = Counter(one), Counter(other)
    return max((more - fewer).total(), (fewer - more).total())


def same_but_for_order(one: str, other: str) -> bool:
    """Whether two normalised texts have the same words, four at least, whatever their order and marks."""
    words = words_of(one)
    return len(words) >= _LEAST_WORDS and not words_apart(words, words_of(other))


@dataclass(frozen=True, slots=True)
class Match:
    """`index` of the text that is matched, and how alike the two are: 1.0 where they are the same.

    `similarity` is Jaccard's of character 5-grams, whatever likeness matched; `told` says which that was.
    """

    index: int
    similarity: float
    exact: bool
    told: str


class DuplicateIndex:
    """Texts that others can be matched against. `threshold` is a Jaccard similarity in (0, 1].

    At 1 only what is the same after normalisation matches. With `apart`, texts that differ in marks, the
    order of words and so many words (0 or 1) match as well.
    """

    def __init__(self, texts: Sequence[str], threshold: float, *, apart: int | None = None) -> None:
        self._threshold, self._apart = threshold, apart
        self._normal = [normalise(text) for text in texts]
        self._exact = {text: index for index, text in reversed(list(enumerate(self._normal)))}
        self._shape: tuple[int, int] | None = None
        self._bands: dict[int, list[int]] = defaultdict(list)
        self._spoken: dict[str, int] = {}
        self._bags: dict[int, list[int]] = defaultdict(list)
        if threshold < 1.0 and texts:
            self._fill()
            if apart is not None:
                self._fill_loosely()

    def _fill(self) -> None:
        from tutelage.data.minhash import band_hashes, choose_bands

        self._shape = choose_bands(self._threshold)
        if self._shape is None:
            return
        distinct = list(self._exact)
        for text, bands in zip(distinct, band_hashes(distinct, *self._shape).tolist(), strict=True):
            for band in bands:
                self._bands[band].append(self._exact[text])

    def _fill_loosely(self) -> None:
        for text, index in self._exact.items():
            if said := without_marks(text):
                self._spoken.setdefault(said, index)
            for bag in self._bags_of(words_of(text)):
                self._bags[bag].append(index)

    def _bags_of(self, words: Sequence[str]) -> list[int]:
        return bag_hashes(words) if self._apart else bag_hashes(words)[:1]

    def match_all(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the exact match, else the most similar near one, else None."""
        normal = [normalise(text) for text in texts]
        return self.match_normal(normal)

    def match_normal(self, normal: Sequence[str], bands: Hashes | None = None) -> list[Match | None]:
        """`match_all` of normalised texts, whose bands of this index's `threshold` may be known already."""
        results: list[Match | None] = [
            Match(self._exact[text], 1.0, exact=True, told="the same") if text in self._exact else None
            for text in normal
        ]
        if self._threshold >= 1.0 or not self._normal:
            return results
        open_ = [index for index, match in enumerate(results) if match is None]
        texts = [normal[index] for index in open_]
        near = self._candidates(texts, None if bands is None else bands[open_])
        for index, text, candidates in zip(open_, texts, near, strict=True):
            results[index] = self._nearest(text, candidates) or self._alike(text)
        return results

    def _candidates(self, normal: Sequence[str], bands: Hashes | None) -> Iterator[Iterable[int]]:
        from tutelage.data.minhash import band_hashes

        if self._shape is None:
            return (range(len(self._normal)) for _ in normal)
        if bands is None:
            bands = band_hashes(normal, *self._shape)
        known = self._bands.keys()
        return ({index for band in known & row for index in self._bands[band]} for row in bands.tolist())

    def _nearest(self, text: str, candidates: Iterable[int]) -> Match | None:
        near = [(self._similarity(text, index), -index) for index in candidates]
        similarity, index = max(near, default=(0.0, 0))
        if similarity < self._threshold:
            return None
        return Match(-index, similarity, exact=False, told=f"similarity {similarity:.2f}")

    def _alike(self, text: str) -> Match | None:
        """A text that is the same but for marks, or for a word and the order of words."""
        if self._apart is None:
            return None
        if (same := self._spoken.get(without_marks(text))) is not None:
            told = "but for punctuation the same"
            return Match(same, self._similarity(text, same), exact=False, told=told)
        words = words_of(text)
        candidates = {index for bag in self._bags.keys() & self._bags_of(words) for index in self._bags[bag]}
        alike = [
            (-distance, self._similarity(text, index), -index)
            for index in candidates
            if (distance := self._words_apart(words, index)) is not None
        ]
        if not alike:
            return None
        distance, similarity, index = max(alike)
        told = "but for a word the same" if distance else "but for the order of words the same"
        return Match(-index, similarity, exact=False, told=told)

    def _words_apart(self, words: Sequence[str], index: int) -> int | None:
        """None where they are too many, or both texts too short for that to mean anything."""
        others = words_of(self._normal[index])
        distance = words_apart(words, others)
        long = max(len(words), len(others)) >= _LEAST_WORDS
        return distance if long and distance <= (self._apart or 0) else None

    def _similarity(self, text: str, index: int) -> float:
        return jaccard(grams(text), grams(self._normal[index]))


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
    prompts: Sequence[Prompt], gold: Sequence[Prompt], threshold: float, *, apart: int = 0
) -> tuple[list[Prompt], list[Rejection]]:
    """Set aside whatever is the same as, or nearly, a prompt of sealed gold.

    Below a threshold of 1 texts that differ in marks and order of words, and in `apart` words (0 or 1), are
    near ones too.
    """
    index = DuplicateIndex([prompt.text for prompt in gold], threshold, apart=apart)
    kept, rejected = [], []
    for prompt, match in zip(prompts, index.match_all([item.text for item in prompts]), strict=True):
        if match is None:
            kept.append(prompt)
        else:
            rejected.append(reject(prompt, *of_gold(match, gold[match.index])))
    return kept, rejected


def of_gold(match: Match, gold: Prompt) -> tuple[RejectReason, str]:
    """Why a prompt that matches this one of gold isn't taken."""
    reason = RejectReason.DUPLICATE_OF_GOLD if match.exact else RejectReason.NEAR_DUPLICATE_OF_GOLD
    joined = "as" if "the same" in match.told else "with"
    return reason, f"{match.told} {joined} {gold.id!r}"


def reject(prompt: Prompt, reason: RejectReason, detail: str) -> Rejection:
    """A rejection of a prompt that was read well."""
    return Rejection(prompt.source, prompt.row, prompt.id, reason, detail, prompt.text[:200])
