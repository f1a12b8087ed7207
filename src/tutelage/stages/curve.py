"""`curve`: whether more answers would pay, from students of nested shares of those there are.

They are judged on a part of the transfer set that none learns from, as `compare` does; never on sealed gold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.errors import UsageError
from tutelage.evaluation.curve import LearningCurve, learning_curve
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.scale import open_engine
from tutelage.stages.candidates import Ground, split_transfer
from tutelage.stages.collected import are_among
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.rights import require_rights
from tutelage.stages.signals import check_signals
from tutelage.stages.trials import Trial, run_trials
from tutelage.tasks import with_labels

_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
_LEAST = 20  # answers of the smallest share


@dataclass(frozen=True, slots=True)
class CurveFound:
    """The curve of `student`; `cost` of the `more` answers in US dollars, at the mean of those paid so far.

    `chosen` says that the answers are no random part of the traffic: a sampling plan went by something else.
    """

    curve: LearningCurve
    student: str
    cost: float
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """For `evaluation/curve.json` and `--json`."""
        return {
            **self.curve.to_json(),
            "student": self.student,
            "cost": self.cost,
            "chosen": self.chosen,
        }


def run_curve(
    programme: Programme, progress: Progress, *, more: int | None, worth: float, configured: bool
) -> CurveFound:
    """Train what isn't done yet, fit and judge; writes `evaluation/curve.json`.

    `more` where None is the traffic not labelled yet, or as many as there are. Raises UsageError where a
    stage before training has to run first, or there is too little to learn from or to judge on.
    """
    require_earlier(programme, "train", "curve")
    require_rights(programme)
    check_signals(programme)
    ground = _of_real_prompts(split_transfer(programme))
    own = programme.config.student
    static = StudentConfig(family="static", members=1)
    config = static if not configured and with_labels(ground.task) is not None else own
    sizes = [round(share * len(ground.learning)) for share in _SHARES]
    if sizes[0] < _LEAST:
        raise UsageError(
            f"{len(ground.learning):,} answers to learn from; a curve needs {round(_LEAST / _SHARES[0])} at "
            "least. Mend: label more of the traffic"
        )
    seeds = programme.config.comparison.seeds
    progress.note(
        f"{len(sizes) * len(seeds):,} students of {sizes[0]:,} to {sizes[-1]:,} answers; each is kept"
    )
    trials = [_trial(programme, config, ground, size, seed) for size in sizes for seed in seeds]
    with open_engine(programme.config.engine, progress) as engine:
        run_trials(programme, trials, ground, engine, progress)
    scores = np.array([(trial.kept() or {})["scores"] for trial in trials])
    scores = scores.reshape(len(sizes), len(seeds), -1)
    transfer = storage.read_table(programme.transfer)
    wanted = more or _unlabelled(programme, transfer) or len(ground.texts)
    paid = float(np.mean(transfer.column("cost").to_numpy()))
    curve = learning_curve(sizes, scores, wanted, worth=worth)
    found = CurveFound(curve, config.run, wanted * paid, _is_chosen(programme))
    storage.write_json(programme.folder / "evaluation" / "curve.json", found.to_json())
    return found


def _trial(programme: Programme, config: StudentConfig, ground: Ground, size: int, seed: int) -> Trial:
    """A student of the first `size` answers in an order of its seed; kept in `students/.curve`."""
    order = np.random.default_rng(seed).permutation(ground.learning)
    learning = np.sort(order[:size])
    seeded = config.model_copy(update={"seed": seed})
    key = storage.hash_json(
        [
            seeded.model_dump(mode="json"),
            storage.hash_file(programme.transfer),
            ground.task.version,
            learning.tolist(),
            ground.selection.tolist(),
        ]
    )
    named = f"{config.run} on {size:,} answers, seed {seed}"
    return Trial(named, seeded, learning, programme.folder / "students" / ".curve" / key, key)


def _of_real_prompts(ground: Ground) -> Ground:
    """Learned from without synthetic rows: the question is what more of the traffic would bring."""
    written = ground.texts.origins.synthetic
    if not written:
        return ground
    return replace(ground, learning=np.array([row for row in ground.learning.tolist() if not written[row]]))


def _unlabelled(programme: Programme, transfer: pa.Table) -> int:
    """Prompts of the traffic that the transfer set lacks; it has gold's training part beside them."""
    asked = set(transfer.column("hash").to_pylist())
    return int((~are_among(programme, asked)).sum())


def _is_chosen(programme: Programme) -> bool:
    if programme.config.labelling.sample is None or not programme.plan.exists():
        return False
    return bool(set(storage.read_table(programme.plan).column("by").to_pylist()) - {"random"})
