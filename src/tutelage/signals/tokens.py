"""Token log-probabilities of an answer, and the bytes they are kept in."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.errors import IntegrityError

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

NO_ID = -1  # the id in a place that holds no alternative
MOST_CELLS = 1 << 22  # tokens × alternatives of one answer: 20,000 tokens with 200 alternatives
MOST_BYTES = 1 << 26  # of one answer before compression

_MAGIC = b"TLP"
_VERSION = 1
_HAS_IDS = 1
_HEADER = struct.Struct("<3sBBIHI")  # magic, version, flags, tokens, alternatives, bytes before compression


@dataclass(frozen=True, eq=False)
class TokenLogprobs:
    """What a model could have said at each of the `n` tokens of an answer: at most `k` alternatives.

    The chosen token stands first, then the likeliest others; no alternative stands twice. `texts` are the
    tokens' bytes (a token may be part of a character, and one that ends the answer has none), `logprobs`
    natural logarithms, float32 [n, k], none above 0. `ids` are int32 [n, k] in the vocabulary of the model's
    tokenizer, None where the teacher doesn't tell them; where it does, `texts` may all be empty. A place
    without an alternative holds b"", -inf and `NO_ID`. Raises ValueError where shapes, types or numbers
    aren't so.
    """

    texts: tuple[tuple[bytes, ...], ...]
    logprobs: Floats
    ids: Ids | None = None

    def __post_init__(self) -> None:
        shape = self.logprobs.shape
        if len(shape) != 2 or self.logprobs.dtype != np.float32:
            raise ValueError(f"logprobs are {self.logprobs.dtype} {list(shape)}, not float32 [n, k]")
        if len(self.texts) != shape[0] or any(len(row) != shape[1] for row in self.texts):
            raise ValueError(f"texts don't have the shape of logprobs, {list(shape)}")
        if self.ids is not None and (self.ids.shape != shape or self.ids.dtype != np.int32):
            raise ValueError(f"ids are {self.ids.dtype} {list(self.ids.shape)}, not int32 {list(shape)}")
        if not bool((self.logprobs <= 0).all()):  # false for NaN too
            raise ValueError("a log-probability is above 0 or not a number")

    @classmethod
    def of(
        cls, rows: Sequence[Sequence[tuple[bytes, float]]], ids: Sequence[Sequence[int]] | None = None
    ) -> TokenLogprobs:
        """From the alternatives of each token, chosen first, in rows of any length.

        Numbers a rounding error above 0 become 0. Raises ValueError for NaN, for a number well above 0, and
        where `ids` don't have the lengths of `rows`.
        """
        width = max((len(row) for row in rows), default=0)
        logprobs = np.full((len(rows), width), -np.inf, dtype=np.float32)
        filled = None if ids is None else np.full((len(rows), width), NO_ID, dtype=np.int32)
        for index, row in enumerate(rows):
            logprobs[index, : len(row)] = [number for _, number in row]
            if filled is not None and ids is not None:
                if len(ids[index]) != len(row):
                    raise ValueError(f"token {index} has {len(row)} alternatives and {len(ids[index])} ids")
                filled[index, : len(row)] = ids[index]
        logprobs[(logprobs > 0) & (logprobs < 1e-3)] = 0.0
        texts = tuple(tuple(text for text, _ in row) + (b"",) * (width - len(row)) for row in rows)
        return cls(texts, logprobs, filled)

    def __len__(self) -> int:
        return len(self.texts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenLogprobs) or (self.ids is None) != (other.ids is None):
            return False
        same_ids = self.ids is None or other.ids is None or np.array_equal(self.ids, other.ids)
        return self.texts == other.texts and np.array_equal(self.logprobs, other.logprobs) and same_ids

    __hash__ = None  # type: ignore[assignment]  # holds arrays


def tail(tokens: TokenLogprobs) -> Floats:
    """Log of the probability left for what isn't listed, float32 [n]: the tail bucket of a top-k list.

    -inf where nothing is left. Numbers are float32, so a tail below some 1e-6 is rounding.
    """
    listed = np.exp(tokens.logprobs.astype(np.float64)).sum(axis=1)
    with np.errstate(divide="ignore"):
        left: Floats = np.log1p(-np.minimum(listed, 1.0)).astype(np.float32)
    return left


def pack(tokens: TokenLogprobs) -> bytes:
    """Tokens as bytes, compressed; `unpack` gives back the same.

    Raises ValueError where they are more than `MOST_CELLS` or `MOST_BYTES`.
    """
    length, width = tokens.logprobs.shape
    present = tokens.logprobs != -np.inf
    present |= np.array([[bool(text) for text in row] for row in tokens.texts], dtype=bool).reshape(
        length, width
    )
    if tokens.ids is not None:
        present |= tokens.ids != NO_ID
    counts = (present * np.arange(1, width + 1)).max(axis=1, initial=0)
    taken = np.arange(width) < counts[:, None]
    texts = [text for row, count in zip(tokens.texts, counts, strict=True) for text in row[:count]]
    parts = [
        counts.astype("<u2").tobytes(),
        np.array([len(text) for text in texts], dtype="<u4").tobytes(),
        tokens.logprobs[taken].astype("<f4").tobytes(),
        b"" if tokens.ids is None else tokens.ids[taken].astype("<i4").tobytes(),
        *texts,
    ]
    size = sum(map(len, parts))
    if length * width > MOST_CELLS or width > 0xFFFF or size > MOST_BYTES:
        raise ValueError(
            f"an answer of {length:,} tokens × {width:,} alternatives ({size:,} bytes) is too long to keep; "
            f"{MOST_CELLS:,} places and {MOST_BYTES:,} bytes are the most. Mend: a smaller labelling.top_k"
        )
    flags = 0 if tokens.ids is None else _HAS_IDS
    header = _HEADER.pack(_MAGIC, _VERSION, flags, length, width, size)
    return header + zlib.compress(b"".join(parts), 6)


def unpack(content: bytes) -> TokenLogprobs:
    """The inverse of `pack`. Raises IntegrityError for bytes that `pack` didn't make.

    However hostile they are, no more than `MOST_CELLS` places and `MOST_BYTES` bytes are made of them.
    """
    try:
        return _unpack(content)
    except (ValueError, struct.error, zlib.error) as error:
        raise IntegrityError(
            f"an answer's token log-probabilities are damaged: {error}. "
            "Mend: delete the answer ledger's row and run `tutelage label` again"
        ) from error


def _unpack(content: bytes) -> TokenLogprobs:
    magic, version, flags, length, width, size = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != _VERSION or flags & ~_HAS_IDS:
        raise ValueError(f"they start with {content[:5]!r}, not with format {_VERSION}")
    if length * width > MOST_CELLS or size > MOST_BYTES or length > MOST_CELLS:
        raise ValueError(f"they claim {length:,} tokens × {width:,} alternatives in {size:,} bytes")
    reader = _Reader(_inflate(content[_HEADER.size :], size))
    counts = reader.array("<u2", length).astype(np.int64)
    if counts.max(initial=0) > width:
        raise ValueError(f"a token has {counts.max()} alternatives of at most {width}")
    total = int(counts.sum())
    lengths = reader.array("<u4", total)
    taken = np.arange(width) < counts[:, None]
    logprobs = np.full((length, width), -np.inf, dtype=np.float32)
    logprobs[taken] = reader.array("<f4", total)
    ids = None
    if flags & _HAS_IDS:
        ids = np.full((length, width), NO_ID, dtype=np.int32)
        ids[taken] = reader.array("<i4", total)
    texts = [reader.take(int(size)) for size in lengths]
    reader.end()
    starts = np.concatenate([[0], counts.cumsum()])
    rows = (texts[start:end] for start, end in itertools.pairwise(starts))
    return TokenLogprobs(tuple(tuple(row) + (b"",) * (width - len(row)) for row in rows), logprobs, ids)


def _inflate(content: bytes, size: int) -> bytes:
    """Decompress to exactly `size` bytes, holding no more at any time."""
    stream = zlib.decompressobj()
    plain = stream.decompress(content, size + 1)
    if len(plain) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"they don't hold the {size:,} bytes that they claim")
    return plain


class _Reader:
    """Takes arrays and byte strings off a buffer, in order."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, size: int) -> bytes:
        piece = self._content[self._at : self._at + size]
        if len(piece) != size:
            raise ValueError("they end too early")
        self._at += size
        return piece

    def array(self, kind: str, count: int) -> npt.NDArray[np.generic]:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize), dtype=kind)

    def end(self) -> None:
        if self._at != len(self._content):
            raise ValueError(f"{len(self._content) - self._at:,} bytes are left over")
