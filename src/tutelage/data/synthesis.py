"""What a model is asked to write, and what of its answer is a prompt.

A card holds real prompts as data, in the place of a message: one to be varied, or several of a cluster that
is thin. Cards follow from the prompts and a seed alone, so that a run that was killed asks for the same ones.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from itertools import zip_longest
from random import Random
from statistics import median

from tutelage.data.synthetic import Kind
from tutelage.records import NORMAL_SLICE, Prompt, text_hash

VARIATIONS = 3  # of one prompt
OF_A_CLUSTER = 5  # prompts asked for with a card of a cluster
SHOWN = 5  # prompts of a cluster on a card
_AGAIN = 3  # cards of a cluster, as a multiple of those that would do were all taken

_MARK = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,3}[.):]\s+|[Mm]essage \d{1,3}:\s*)")
_QUOTES = {'"': '"', "“": "”", "‘": "’", "«": "»", "'": "'"}
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Card:
    """One request: the `seeds` that the writer is shown, and `count` prompts that it is to write."""

    kind: Kind
    seeds: tuple[Prompt, ...]
    count: int
    cluster: str = ""

    @property
    def text(self) -> str:
        """The card as the writer reads it."""
        if len(self.seeds) == 1:
            return self.seeds[0].text
        return "\n\n".join(f"Message {n}:\n{seed.text}" for n, seed in enumerate(self.seeds, start=1))

    @property
    def prompt(self) -> Prompt:
        """The card as a prompt of the writer's task."""
        text = self.text
        return Prompt(f"card-{text_hash(text)}", text, "cards")

    @property
    def slice(self) -> str:
        """What is written belongs where its only seed does; of several seeds it is normal."""
        return self.seeds[0].slice if self.kind is Kind.VARIATION else NORMAL_SLICE


def variations(
    prompts: Iterable[Prompt], slices: Sequence[str], seed: int, most: int | None = None
) -> list[Card]:
    """A card for each prompt of these slices, the first `most` in an order drawn by `seed` and the texts."""
    hard = (prompt for prompt in prompts if prompt.slice in slices)
    chosen = drawn(hard, seed, most)
    return [Card(Kind.VARIATION, (prompt,), _count([prompt], VARIATIONS)) for prompt in chosen]


def least_prompts(clusters: Mapping[str, Sequence[Prompt]]) -> int:
    """What a cluster ought to have where nobody says: half of what the median one has, 1 at least."""
    return max(1, round(median(map(len, clusters.values())) / 2)) if clusters else 1


def of_thin_clusters(clusters: Mapping[str, Sequence[Prompt]], least: int, seed: int) -> list[Card]:
    """Cards of clusters with fewer than `least` prompts, in turns, the thinnest first.

    There are more than would do, since not all that is written is taken.
    """
    thin = sorted(
        (name for name in clusters if 0 < len(clusters[name]) < least), key=lambda n: len(clusters[n])
    )
    cards = [_of_cluster(name, clusters[name], least - len(clusters[name]), seed) for name in thin]
    return [card for turn in zip_longest(*cards) for card in turn if card is not None]


def _of_cluster(name: str, prompts: Sequence[Prompt], lacking: int, seed: int) -> Iterator[Card]:
    chance = Random(f"{seed}\0{name}")  # noqa: S311
    ordered = drawn(prompts, seed)
    known: set[str] = set()
    for _ in range(_AGAIN * -(-lacking // OF_A_CLUSTER)):
        seeds = tuple(chance.sample(ordered, min(SHOWN, len(ordered))))
        card = Card(Kind.CLUSTER, seeds, _count(seeds, max(2, min(lacking, OF_A_CLUSTER))), name)
        if card.text not in known:
            known.add(card.text)
            yield card


def drawn(prompts: Iterable[Prompt], seed: int, most: int | None = None) -> list[Prompt]:
    """All of them in an order drawn by `seed`, whatever order they come in; each text once.

    `most`: the first of them in that order, of which a text that comes twice takes two.
    """

    def place(one: Prompt) -> bytes:
        return sha256(f"{seed}\0{one.hash}".encode()).digest()

    distinct = {one.hash: one for one in (prompts if most is None else nsmallest(most, prompts, key=place))}
    return sorted(distinct.values(), key=place)


def _count(seeds: Sequence[Prompt], wanted: int) -> int:
    """One at a time where prompts have several lines: else nobody knows where one ends."""
    return 1 if any("\n" in seed.text.strip() for seed in seeds) else wanted


def instruction(kind: Kind, count: int) -> str:
    """What the writer is asked to do with a card's text."""
    shown = {
        Kind.VARIATION: "You are shown a message that a user sent to a service.",
        Kind.CLUSTER: "You are shown messages that users sent to a service, all about the same matter.",
    }[kind]
    wanted = {
        Kind.VARIATION: "that other users might send in a like situation: change the circumstances, the "
        "details and the words, and keep what makes the message hard",
        Kind.CLUSTER: "that other users might send about this matter, in their own words and circumstances",
    }[kind]
    how_many = "one new message" if count == 1 else f"{count} new messages"
    form = "" if count == 1 else " Write each on a line of its own, without numbers or quotation marks."
    return (
        f"{shown} Write {how_many} {wanted}. Keep language, tone and length as they are. Don't answer "
        f"the message, and don't copy it.{form}"
    )


def read_messages(answer: str, count: int) -> list[str]:
    """The prompts in a writer's answer, `count` at most: a text, lines (numbered or not), or a JSON list."""
    text = answer.strip().removeprefix(_FENCE).removesuffix(_FENCE).strip()
    if count == 1:
        return [found] if (found := _unquoted(text)) else []
    listed = _json_list(text)
    lines = listed if listed is not None else _lines(text)
    return [line for line in map(_unquoted, lines) if line][:count]


def _json_list(text: str) -> list[str] | None:
    if not text.removeprefix("json").lstrip().startswith("["):
        return None
    try:
        content = json.loads(text.removeprefix("json"))
    except (ValueError, RecursionError):
        return None
    strings = isinstance(content, list) and all(isinstance(item, str) for item in content)
    return content if strings else None


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":") and not lines[1].endswith(":"):
        lines = lines[1:]  # "Here are five messages:"
    return [_MARK.sub("", line, count=1) for line in lines]


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def clusters_of(
    prompts: Iterable[Prompt], numbers: Mapping[str, int], names: Mapping[int, str]
) -> dict[str, list[Prompt]]:
    """Prompts by the name of their cluster, which `numbers` has by hash; those never placed are left out.

    Clusters of one name are told apart by their number.
    """
    found: dict[int, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        if (number := numbers.get(prompt.hash)) is not None:
            found[number].append(prompt)
    repeated = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {
        f"{names[number]} ({number})" if names[number] in repeated else names[number]: members
        for number, members in sorted(found.items())
    }
