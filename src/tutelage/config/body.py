"""`student.body`: how the teacher's layers teach an encoder student."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.config.section import Section


class BodyConfig(Section):
    """How a student learns from the teacher's body, on texts alone, before it learns the task."""

    teacher: str | None = Field(
        None,
        description="Checkpoint whose layers teach, a folder or a hub name; where absent the teacher's own "
        "model (teacher.type `encoder` or `transformers`).",
    )
    layer_map: Literal["uniform", "last", "alternate"] | tuple[tuple[int, int], ...] | None = Field(
        None,
        description="Which layers learn from which: a name, or pairs of the student's and the teacher's, "
        "e.g. `[[2, 4]]`, 0 being the embeddings. Where absent `uniform` for `tinybert`, `last` for "
        "`minilm`.",
    )
    relations: Literal["multi-head", "last-layer"] | None = Field(
        None,
        description="For `minilm`: of queries, keys and values in any number of heads (2021), or attention "
        "and values' relations in the models' own heads (2020). `multi-head` where absent.",
    )
    relation_heads: int | None = Field(
        None,
        ge=1,
        description="For `minilm`, `multi-head`; where absent the most, up to 48, that divide both widths.",
    )
    assistant: bool | None = Field(
        None,
        description="For `minilm`: first teach an assistant of the teacher's depth and the student's width, "
        "from which the student then learns. No where absent.",
    )
    augmentation: int | None = Field(
        None,
        ge=1,
        description="For `tinybert`: variants of each text of the transfer set, made by the teacher's masked "
        "language model (20 in the paper). None where absent.",
    )
    epochs: float | None = Field(
        None, gt=0.0, description="Passes over the texts at most; chosen by their number where absent."
    )
    batch_size: int | None = Field(None, gt=0, description="Texts a step; the recipe's default if absent.")
    learning_rate: float | None = Field(
        None, gt=0.0, description="Peak rate; the recipe's default where absent."
    )


class PruneConfig(Section):
    """What `prune-recover` does beside bringing its base to the shape that the student's keys name."""

    vocabulary: bool = Field(
        True, description="Cut the vocabulary to what any prompt uses, special tokens and single letters."
    )
    recover: bool = Field(
        True,
        description="Learn from the unpruned student after each round. No: prune first and learn the "
        "task's answers alone, as the control arm does.",
    )


# Recipes with a `body` section, and which of its keys only some of them take.
BODY_RECIPES = ("distilbert", "tinybert", "minilm", "static")
# Recipes that read all prompts, answered or not.
PROMPT_RECIPES = (*BODY_RECIPES, "prune-recover")
_KEYS_OF_RECIPES = (
    (("distilbert", "tinybert", "minilm"), ("epochs", "batch_size", "learning_rate")),
    (("tinybert", "minilm"), ("layer_map",)),
    (("minilm",), ("relations", "relation_heads", "assistant")),
    (("tinybert",), ("augmentation",)),
)


def check_body(recipe: str, body: BodyConfig | None, hidden_size: int | None) -> None:
    """Raise ValueError where one of these recipes, its `body` and the student's width don't go together."""
    if recipe == "distilbert" and hidden_size:
        raise ValueError(
            "recipe distilbert makes the student of the teacher's own layers, and hidden_size gives it "
            "another width. Mend: leave hidden_size, heads and intermediate_size out, or use recipe "
            "tinybert or minilm"
        )
    for recipes, keys in _KEYS_OF_RECIPES:
        given = [f"body.{key}" for key in keys if body and getattr(body, key) is not None]
        if given and recipe not in recipes:
            raise ValueError(
                f"{' and '.join(given)} {'belong' if len(given) > 1 else 'belongs'} to recipe "
                f"{' or '.join(recipes)}, not {recipe}"
            )
    if body and body.relations == "last-layer" and body.relation_heads:
        raise ValueError("body.relation_heads is for relations: multi-head; last-layer takes the models'")
