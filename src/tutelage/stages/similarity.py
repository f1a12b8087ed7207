"""How alike texts are in what they mean, by the embedded sentence encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tutelage.config import EMBEDDED_ENCODER
from tutelage.errors import MissingExtraError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnyGold
from tutelage.scale import LOCAL, Engine
from tutelage.stages.embedding import EmbeddingSpace
from tutelage.tasks import Generate, Task

if TYPE_CHECKING:
    from tutelage.evaluation import Arm


def with_similarity(
    programme: Programme,
    task: Task,
    gold: Sequence[AnyGold],
    arms: Mapping[str, Arm],
    progress: Progress,
    engine: Engine = LOCAL,
) -> dict[str, Arm]:
    """The arms of `generate` with the cosine of each answer's embedding and gold's; those of others as given.

    So too, with a note, where the encoder isn't installed. Each distinct text is embedded once.
    """
    if not isinstance(task, Generate):
        return dict(arms)
    try:
        space = EmbeddingSpace.named(EMBEDDED_ENCODER, programme.folder, engine)
    except MissingExtraError as error:
        progress.note(f"texts aren't compared by meaning: {error}")
        return dict(arms)
    references = [str(item.value) for item in gold]
    said = {name: ["" if value is None else str(value) for value in arm.values] for name, arm in arms.items()}
    place: dict[str, int] = {}
    for text in (text for texts in (references, *said.values()) for text in texts):
        place.setdefault(text, len(place))
    texts, rows = list(place), []
    with progress.track("comparing by meaning", len(texts), "texts") as tracker:
        for embedded in space.steps(texts):
            rows.append(embedded)
            tracker.advance(len(embedded))
    points = np.concatenate(rows).astype(np.float64)
    right = points[[place[text] for text in references]]
    return {
        name: replace(arm, similarity=(points[[place[text] for text in said[name]]] * right).sum(axis=1))
        for name, arm in arms.items()
    }
