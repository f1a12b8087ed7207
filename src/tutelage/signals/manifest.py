"""What a folder of signals was made with, and what makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tutelage.errors import IntegrityError
from tutelage.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TEXT_ALONE = "the text alone, control tokens too"  # what a model is shown whose input is the prompt's text
MEND = "run `tutelage label --force`, which makes the signals anew and asks no prompt twice"


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a signal follows from. Two that differ in anything must not teach together.

    `model` is its name, `revision` a hash of its weights (of `tokens` the revision under which the answers
    stand), `tokenizer` and `task` hashes too, the former empty where nobody knows it, as behind an API.
    `layers` are the hidden layers taken, counted from the embeddings' 0; in a row they stand side by side.
    `pooling` is how tokens became one row (empty: they didn't), `dtype` the type on disk, `width` the numbers
    of a row. `vocabulary` counts the tokenizer's tokens, `template` is a hash of its chat template, empty
    where none was used. `k` are the alternatives of a token, 0 for signals that have none.
    """

    kind: str
    teacher: str
    model: str
    revision: str
    tokenizer: str
    task: str
    layers: tuple[int, ...]
    pooling: str
    dtype: str
    width: int
    vocabulary: int = 0
    template: str = ""
    k: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in `manifest.json`."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_json(cls, content: Any, where: Path) -> Manifest:
        """The inverse of `to_json`. Raises IntegrityError, naming `where`, for any other content."""
        names = {field.name for field in fields(cls)}
        if (
            not isinstance(content, dict)
            or content.keys() != names
            or not isinstance(content["layers"], list)
        ):
            raise IntegrityError(f"{where} is no manifest of signals. Mend: delete it and {MEND}")
        return cls(**{**content, "layers": tuple(content["layers"])})

    def differences(self, expected: Manifest) -> list[str]:
        """In words, a line for each part in which `expected` is otherwise; empty where they match."""
        own, other = self.to_json(), expected.to_json()
        return [
            f"{name}: it has {own[name]!r}, wanted is {other[name]!r}"
            for name in own
            if own[name] != other[name]
        ]

    def require_match(self, expected: Manifest, where: Path) -> None:
        """Raises IntegrityError, naming all that differs, where the signals at `where` aren't `expected`."""
        if differing := self.differences(expected):
            raise IntegrityError(
                f"the {self.kind} in {where} were made with something else: {'; '.join(differing)}. "
                f"Mend: {MEND}"
            )


@runtime_checkable
class Revealing(Protocol):
    """A teacher that shows what it computes on the way to its answer."""

    reveals: tuple[str, ...]  # kinds of signals

    def manifest(self, kind: str) -> Manifest:
        """What signals of this kind would be made with now; loads no weights."""
        ...

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> Sequence[npt.NDArray[np.generic]]:
        """For each prompt, in order, an array [rows, width] of the manifest's dtype."""
        ...


@runtime_checkable
class RevealingBatches(Revealing, Protocol):
    """A teacher that can reveal several batches at a time."""

    def reveal_batches(
        self, batches: Iterable[Sequence[Prompt]], kind: str
    ) -> Iterator[Sequence[npt.NDArray[np.generic]]]:
        """As `reveal` of each batch, in their order."""
        ...


@runtime_checkable
class TellsTokens(Protocol):
    """A teacher that knows the vocabulary of the token log-probabilities that its answers hold."""

    def token_manifest(self) -> Manifest:
        """What they would be made with now; loads no weights."""
        ...
