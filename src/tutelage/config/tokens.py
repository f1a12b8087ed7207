"""`student.tokens`: how a student that writes learns from the teacher's distributions over tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.config.section import Probability, Section

DivergenceName = Literal[
    "forward-kl", "reverse-kl", "jensen-shannon", "skewed-kl", "skewed-reverse-kl", "total-variation"
]


class TokensConfig(Section):
    """How a student that writes learns from the teacher's distribution over each token of an answer."""

    source: Literal["cache", "online"] | None = Field(
        None,
        description="For `tokens`: the top-k that `label` kept (labelling.signals `tokens`), which needs no "
        "teacher any more, or the teacher's own weights beside the student's (teacher.type `local`). `cache` "
        "where it is kept, else `online`, where absent. `on-policy` is always online.",
    )
    divergence: DivergenceName | None = Field(
        None,
        description="Of the student's tokens from the teacher's. Where absent `forward-kl` for `tokens`, "
        "`jensen-shannon` for `on-policy`.",
    )
    beta: Probability | None = Field(
        None, description="Of `jensen-shannon`, from 0 (forward KL) to 1 (reverse KL); 0.5 where absent."
    )
    alpha: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Of the skewed ones: how much of the other side is mixed in; 0.1 where absent.",
    )
    text_weight: Probability | None = Field(
        None,
        description="Weight of the text itself (cross-entropy), the rest is the divergence's. Where absent "
        "0.5 for `tokens`, 0 for `on-policy`.",
    )
    student_share: Probability | None = Field(
        None,
        description="For `on-policy`: share of a step's answers that the student writes itself; "
        "0.5 where absent.",
    )
    sampling_temperature: float | None = Field(
        None, gt=0.0, description="For `on-policy`: at which the student writes them; 1 where absent."
    )


# Recipes with a `tokens` section, which are those whose student is asked as the teacher is.
TOKEN_RECIPES = ("tokens", "on-policy")


def check_tokens(recipe: str, tokens: TokensConfig | None, template: str | None) -> None:
    """Raise ValueError where one of these recipes and its `tokens` don't go together."""
    if recipe not in TOKEN_RECIPES or tokens is None:
        return
    owners = {"source": "tokens", "student_share": "on-policy", "sampling_temperature": "on-policy"}
    for key, owner in owners.items():
        if getattr(tokens, key) is not None and recipe != owner:
            raise ValueError(f"tokens.{key} belongs to recipe {owner}, not {recipe}")
    if tokens.source == "cache" and template == "own":
        raise ValueError(
            "tokens.source is cache, whose tokens follow the teacher's prompt, and template is own. Mend: "
            "template: teacher, or tokens.source online"
        )
    kind = tokens.divergence or ("jensen-shannon" if recipe == "on-policy" else "forward-kl")
    if tokens.beta is not None and kind != "jensen-shannon":
        raise ValueError(f"tokens.beta is of divergence jensen-shannon, not {kind}")
    if tokens.alpha is not None and not kind.startswith("skewed"):
        raise ValueError(f"tokens.alpha is of the skewed divergences, not {kind}")
