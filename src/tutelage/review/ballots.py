"""Ballots: two answers to one prompt, to be compared by people who don't know whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tutelage import storage
from tutelage.records import Prompt, Value, dump_value


def dumped(value: Value | None) -> str:
    """A value as JSON; `null` for an answer that couldn't be used."""
    return "null" if value is None else dump_value(value)


@dataclass(frozen=True)
class Ballot:
    """Two answers to `prompt`: of an arm, and of the one it is compared with; None is no usable answer.

    `gold` is the human answer, None where nobody gave one.
    """

    prompt: Prompt
    gold: Value | None
    answers: tuple[Value | None, Value | None]

    @property
    def differs(self) -> bool:
        """Whether the two say different things."""
        return self.answers[0] != self.answers[1]

    @cached_property
    def key(self) -> str:
        """32 hex digits of the prompt and the two answers, whoever gave them.

        A vote is on these words: it holds for any two arms that say the same, and for no later answer.
        """
        return storage.hash_json([self.prompt.hash, *sorted(map(dumped, self.answers))])

    def shown(self, reviewer: str) -> tuple[Value | None, Value | None]:
        """The answers as `reviewer` sees them, A first: by a fair coin for each reviewer and ballot, kept."""
        first, second = sorted(self.answers, key=dumped)
        return (first, second) if _uniform("side", reviewer, self.key) < 0.5 else (second, first)


def drawn(ballots: Iterable[Ballot], seed: int) -> list[Ballot]:
    """The ballots in random order, of which each beginning is a sample stratified by slice.

    Within a slice the order is random; slices are interleaved by systematic sampling from a random start
    (Madow 1944), so that every ballot is equally likely to be among the first n, and a slice's share of them
    is its own within one ballot. Means over them estimate those over all without bias.
    """
    slices: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        slices.setdefault(ballot.prompt.slice, []).append(ballot)
    placed: list[tuple[float, str, Ballot]] = []
    for name, members in slices.items():
        members.sort(key=lambda ballot: _uniform("order", str(seed), ballot.key))
        start = _uniform("start", str(seed), name)
        placed += [((rank + start) / len(members), ballot.key, ballot) for rank, ballot in enumerate(members)]
    return [ballot for _, _, ballot in sorted(placed, key=lambda item: item[:2])]


def _uniform(*parts: str) -> float:
    """A number in [0, 1) that follows from `parts`."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:7]) / 2**56
