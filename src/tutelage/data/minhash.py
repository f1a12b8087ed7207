"""MinHash with locality-sensitive hashing (Broder 1997) over whole batches of texts, in numpy.

A text's signature is, for each of some permutations, the least hash of its character 5-grams; two texts have
the same least one with the probability of their Jaccard similarity. Signatures are cut into bands of rows: a
pair that is the same throughout a band is a candidate. With b bands of r rows a pair of similarity s is no
candidate with probability (1 - s^r)^b (Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, 3.4).
Bands are chosen so that this is below 0.1% at the threshold; above it falls quickly. For a threshold of 0.85
(18 bands of 7 rows) it is 0.095% there and 0.0013% at 0.9, and of pairs as far apart as 0.3 one in 250 is
compared for nothing.

Before a candidate's texts are read, sketches of them tell most of those that are too far apart: the bits
that the hashes of a text's grams fall on. Where two sets differ in d bits, they differ in d grams at least,
so that with at most n grams in both their similarity is (n - d) / (n + d) at most. That misses no pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

GRAM = 5
_MOST_PERMUTATIONS = 128
_MOST_MISSED = 0.001  # of pairs whose similarity is the threshold
_AT_ONCE = 1 << 19  # characters whose grams are hashed together; temporary arrays take 8 bytes for each
_SEED = 20_011
_SKETCH_WORDS = 7  # of 64 bits; with the count a sketch fills a line of cache


def miss_probability(similarity: float, bands: int, rows: int) -> float:
    """(1 - s^r)^b: how likely a pair of this Jaccard similarity is no candidate."""
    return float((1.0 - similarity**rows) ** bands)


@cache
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


def band_hashes(texts: Sequence[str], bands: int, rows: int) -> Hashes:
    """The bands of texts, (texts, bands): the same number where two texts are the same throughout a band.

    The same on every machine and in every process. Two bands that differ, also of one text, have the same
    number with probability 2^-64.
    """
    parts = [_bands(part, bands, rows) for part in _parts(texts)]
    return np.concatenate(parts) if parts else np.empty((0, bands), np.uint64)


def sketches(texts: Sequence[str]) -> Hashes:
    """How many grams each text has at most, then the bits of their hashes: uint64 (texts, 8)."""
    parts = [_sketches(part) for part in _parts(texts)]
    return np.concatenate(parts) if parts else np.empty((0, 1 + _SKETCH_WORDS), np.uint64)


def most_similar(ones: Hashes, others: Hashes) -> npt.NDArray[np.float64]:
    """What the Jaccard similarity of texts with these sketches, row by row, is at most; (rows,)."""
    count = (ones[:, 0] + others[:, 0]).astype(np.float64)
    differing = np.bitwise_count(ones[:, 1:] ^ others[:, 1:]).sum(axis=1, dtype=np.int64)
    bound: npt.NDArray[np.float64] = (count - differing) / (count + differing)
    return bound


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    begin = characters = 0
    for index, text in enumerate(texts):
        if index > begin and characters + len(text) > _AT_ONCE:
            yield texts[begin:index]
            begin, characters = index, 0
        characters += max(len(text), GRAM)
    if begin < len(texts):
        yield texts[begin:]


def _bands(texts: Sequence[str], bands: int, rows: int) -> Hashes:
    grams, begins = _gram_hashes(texts)
    factors, addends = _permutations(bands * rows)
    hashes = np.empty((bands, len(texts)), np.uint64)
    for band in range(bands):
        mixed = np.full(len(texts), band, np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            least = np.minimum.reduceat(grams * factors[place] + addends[place], begins)
            mixed = _mix(mixed ^ least)
        hashes[band] = mixed
    return hashes.T


def _sketches(texts: Sequence[str]) -> Hashes:
    hashes, begins = _gram_hashes(texts)
    counts = np.diff(np.append(begins, len(hashes)))
    bits = np.zeros((len(texts), 64 * _SKETCH_WORDS), np.bool_)
    bits[np.repeat(np.arange(len(texts)), counts), hashes % np.uint64(bits.shape[1])] = True
    return np.hstack([counts[:, None].astype(np.uint64), np.packbits(bits, axis=1).view(np.uint64)])


def _gram_hashes(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of each gram, and where each text's begin. A shorter text is one gram, filled up with NULs."""
    padded = "".join(text if len(text) >= GRAM else text.ljust(GRAM, "\0") for text in texts)
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.array([max(len(text), GRAM) for text in texts], np.int64)
    factors, _ = _permutations(GRAM)
    within = len(codes) - GRAM + 1
    hashes = np.zeros(within, np.uint64)
    for place in range(GRAM):
        hashes += codes[place : place + within] * factors[place]
    ends = np.cumsum(lengths)
    whole = np.ones(within, bool)  # but those that run over into the next text
    for place in range(1, GRAM):
        whole[ends[:-1] - place] = False
    return _mix(hashes[whole]), np.concatenate(([0], np.cumsum(lengths - GRAM + 1)[:-1]))


@cache
def _permutations(count: int) -> tuple[Hashes, Hashes]:
    """Odd factors and addends: h -> a h + b modulo 2^64 permutes the hashes."""
    drawn = np.random.Generator(np.random.PCG64(_SEED)).integers(0, 1 << 64, (2, count), np.uint64)
    return drawn[0] | np.uint64(1), drawn[1]


def _mix(hashes: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014): every bit depends on every other."""
    mixed = hashes + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
