"""Which of gold's training part a prompted teacher is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from tutelage.errors import ConfigError
from tutelage.records import Gold, dump_value

if TYPE_CHECKING:
    from tutelage.tasks import Example

LONGEST_EXAMPLE = 2_000  # characters; a longer message would cost more in every call than it shows


def choose_examples(training: Sequence[Gold], count: int, seed: int = 0) -> tuple[Example, ...]:
    """`count` examples of the training part, spread over its values; the same for the same part and seed.

    Values take turns, so that each is shown before any is shown twice; within a value the order is that of a
    hash of seed and text, which a row added elsewhere in the file doesn't move. Where values are open (texts,
    records) nearly every one is its own, and the choice is a random one. Texts of more than
    `LONGEST_EXAMPLE` characters aren't shown.

    Raises ConfigError where the part holds fewer that can be shown.
    """
    from tutelage.tasks import Example

    if count == 0:
        return ()
    usable = [item for item in training if len(item.prompt.text) <= LONGEST_EXAMPLE]
    if len(usable) < count:
        raise ConfigError(
            f"prompting.examples is {count}, and gold's training part has {len(usable)} that can be shown "
            f"(of at most {LONGEST_EXAMPLE:,} characters). Mend: lower it, or raise gold.training.share"
        )
    queues: dict[str, list[Gold]] = defaultdict(list)
    for item in sorted(usable, key=lambda item: _draw(seed, item)):
        queues[dump_value(item.value)].append(item)
    turns = [(turn, _draw(seed, item), item) for queue in queues.values() for turn, item in enumerate(queue)]
    chosen = [item for _, _, item in sorted(turns, key=lambda entry: entry[:2])[:count]]
    return tuple(Example(item.prompt.text, item.value) for item in chosen)


def _draw(seed: int, item: Gold) -> str:
    return sha256(f"{seed}\0{item.prompt.text}".encode("utf-8", "surrogatepass")).hexdigest()
