"""What came in: the distinct texts of the traffic with how often each did.

`prompts.parquet` holds each text once, and nothing that gold has too. That is right for learning; as a
picture of the traffic it would leave out what is asked most. So what was set aside as a repeat or as a
duplicate of gold counts again here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from heapq import nsmallest
from itertools import chain, count

from tutelage.data.duplicates import normalise
from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection

_SHOWN = 200  # characters that a rejection keeps of a text
_CAME_IN = frozenset(
    {
        RejectReason.DUPLICATE_TEXT,
        RejectReason.NEAR_DUPLICATE_TEXT,
        RejectReason.DUPLICATE_OF_GOLD,
        RejectReason.NEAR_DUPLICATE_OF_GOLD,
        RejectReason.SIBLING_OF_GOLD,
    }
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A text of the traffic, and how often it came in. `prompt.hash` finds the teacher's answer to it."""

    prompt: Prompt
    count: int


@dataclass(frozen=True, slots=True)
class CameIn:
    """What came in, kept or set aside, or as much of it as was drawn of so many."""

    prompts: Sequence[Prompt]
    rejected: Sequence[Rejection]
    of: int


def draw_came_in(prompts: Iterable[Prompt], rejected: Iterable[Rejection], most: int, seed: int) -> CameIn:
    """All of it in its order; where that is more than `most`, as many drawn at random, repeats by themselves.

    So a text's share of what is drawn is that of the traffic, but for chance. What is drawn follows from
    `seed` and what came in: once the traffic has grown nothing old is drawn that wasn't drawn before.
    """
    came: Iterator[Prompt | Rejection] = chain(
        prompts, (item for item in rejected if item.reason in _CAME_IN)
    )
    numbers = count()
    drawn = nsmallest(most, zip(came, numbers, strict=False), key=lambda placed: _rank(placed[0], seed))
    ordered = [item for item, _ in sorted(drawn, key=lambda placed: placed[1])]
    return CameIn(
        [item for item in ordered if isinstance(item, Prompt)],
        [item for item in ordered if isinstance(item, Rejection)],
        next(numbers),
    )


def _rank(item: Prompt | Rejection, seed: int) -> bytes:
    name = item.text if isinstance(item, Prompt) else f"{item.source}\0{item.row}\0{item.text}"
    return blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def arrivals(
    prompts: Sequence[Prompt], rejected: Iterable[Rejection], gold: Sequence[Prompt]
) -> list[Arrival]:
    """The accepted prompts in their order, then what gold has too; repeats are counted, not listed.

    Rejections keep 200 characters: of a longer text that is no repeat of one that is known there is no more.
    """
    found = {_key(prompt.text): Arrival(prompt, 1) for prompt in prompts}
    of_gold = {_key(prompt.text): prompt for prompt in gold}
    for item in rejected:
        if item.reason not in _CAME_IN:
            continue
        key = _key(item.text)
        if key in found:
            found[key] = replace(found[key], count=found[key].count + 1)
            continue
        same = of_gold.get(key)
        text = item.text if same is None else same.text
        found[key] = Arrival(Prompt(item.id or f"row-{item.row}", text, item.source), 1)
    return list(found.values())


def _key(text: str) -> str:
    return normalise(text[:_SHOWN])
