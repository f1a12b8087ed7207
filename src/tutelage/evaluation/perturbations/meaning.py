"""Changes of what is said: padding, injected instructions, other languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.evaluation.perturbations.kinds import Occasion, alone, joined

_SENTENCES = 2


def padding(phrases: Sequence[str], before: bool) -> Any:
    """Sentences that have nothing to do with it, before or after the text."""

    def change(occasion: Occasion) -> str:
        said = " ".join(occasion.random.sample(list(phrases), _SENTENCES))
        return f"{said} {occasion.text}" if before else joined(occasion.text, said)

    return alone(change)


def injection(phrases: Sequence[str]) -> Any:
    """An instruction after the text that asks for `target`; doesn't apply without one."""

    def change(occasion: Occasion) -> str | None:
        if not occasion.target:
            return None
        said = occasion.random.choice(phrases).format(target=occasion.target)
        return occasion.text + said if said.startswith("\n") else joined(occasion.text, said)

    return alone(change)


def code_switch(languages: Sequence[dict[str, str]]) -> Any:
    """A greeting and a closing in another language."""

    def change(occasion: Occasion) -> str:
        chosen = occasion.random.choice(languages)
        return f"{chosen['before']} {occasion.text.strip()} {chosen['after']}"

    return alone(change)
