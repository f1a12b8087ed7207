"""What came in: the distinct texts of the traffic with how often each did.

`prompts.parquet` holds each text once, and nothing that gold has too. That is right for learning; as a
picture of the traffic it would leave out what is asked most. So what was set aside as a repeat or as a
duplicate of gold counts again here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
