"""`compare`: students of several kinds, sizes and recipes, trained on the same answers and seeds.

They are compared on a part of the transfer set that none learns from, by the best known answer of each
prompt: a human's, else the teacher's. Sealed gold isn't touched, since choosing on it would make its verdict
worthless. What learns is imported where it is used, as in `train`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.scale import open_engine
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.rights import require_rights
from tutelage.stages.signals import check_signals
from tutelage.stages.task import resolved_task
from tutelage.tasks import with_labels

if TYPE_CHECKING:
    from tutelage.evaluation import Frontier


def run_comparison(programme: Programme, progress: Progress) -> Frontier:
    """Train and compare; writes `evaluation/comparison.json`.

    Raises UsageError where a stage before training has to run first or too little is left to compare on.
    """
    from tutelage.evaluation import frontier_of
    from tutelage.stages.candidates import split_transfer
    from tutelage.stages.contenders import contenders_of

    require_earlier(programme, "train", "compare")
    require_rights(programme)
    check_signals(programme)
    candidates = candidates_of(programme)
    ground = split_transfer(programme)
    progress.stage(
        "compare",
        f"{len(candidates)} students, {len(programme.config.comparison.seeds)} seeds, "
        f"on {len(ground.selection):,} prompts that none learns from",
    )
    with open_engine(programme.config.engine, progress) as engine:
        contenders = contenders_of(programme, candidates, ground, engine, progress)
    found = frontier_of(contenders, programme.config.comparison.margin)
    humans = sum(gold is not None for gold in ground.compared.gold)
    storage.write_json(
        programme.folder / "evaluation" / "comparison.json",
        {
            **asdict(found),
            "answered_by_humans": humans,
            "candidates": {name: config.model_dump(mode="json") for name, config in candidates.items()},
        },
    )
    progress.note(
        f"quality is agreement with the best known answer: {humans:,} of {len(ground.selection):,} are "
        "humans', the others the teacher's"
    )
    return found


def candidates_of(programme: Programme) -> dict[str, StudentConfig]:
    """The students that are compared, by name: where none are named the configured one, and, where values are
    labels, what else teams try first.
    """
    if named := programme.config.comparison.candidates:
        return dict(named)
    candidates = {programme.config.student.run: programme.config.student}
    if with_labels(resolved_task(programme)) is not None:
        candidates.setdefault("static", StudentConfig(family="static"))
        for layers in (1, 3):
            candidates.setdefault(f"encoder-{layers}", StudentConfig(family="encoder", layers=layers))
    return candidates
