"""Which prompts have no answer yet, of more than memory holds: a byte for each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from itertools import compress
from typing import TYPE_CHECKING

from tutelage.records import Prompt, PromptStream, in_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LOOKED_UP = 5_000  # prompts in one query


class Unanswered(PromptStream):
    """The prompts without an answer as things stood when it was made, each text once, in their order.

    `answered` is how many distinct texts had one.
    """

    def __init__(self, prompts: Collection[Prompt], answered: Callable[[Collection[str]], set[str]]) -> None:
        """`answered` says which of some prompt hashes have an answer."""
        wanted, self.answered = _wanted(prompts, answered)
        super().__init__(lambda: compress(prompts, wanted), wanted.count(1))


def _wanted(
    prompts: Collection[Prompt], answered: Callable[[Collection[str]], set[str]]
) -> tuple[bytearray, int]:
    """A byte a prompt, 1 for those without an answer; and how many texts have one.

    Texts are told apart by eight bytes each first, and by all of their hash where these are the same.
    """
    wanted, keys, known = bytearray(), array("q"), 0
    for part in in_parts(prompts, _LOOKED_UP):
        hashes = [prompt.hash for prompt in part]
        found = answered(hashes)
        wanted.extend(hash_ not in found for hash_ in hashes)
        keys.extend(map(hash, hashes))
        known += sum(hash_ in found for hash_ in hashes)
    repeated = _repeated(keys)
    if not repeated:
        return wanted, known
    met: set[str] = set()
    for place, prompt in enumerate(prompts):
        if keys[place] not in repeated:
            continue
        hash_ = prompt.hash
        if hash_ in met:
            known -= not wanted[place]
            wanted[place] = 0
        met.add(hash_)
    return wanted, known


def _repeated(keys: array[int]) -> frozenset[int]:
    """Those that occur more than once."""
    import numpy as np

    ordered: npt.NDArray[np.int64] = np.sort(np.frombuffer(keys, np.int64)) if keys else np.zeros(0, np.int64)
    return frozenset(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
