"""The students that `compare` sets beside each other, each trained with every seed, and measured once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.evaluation import Contender, Footprint, measure_footprint
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.scale import Engine
from tutelage.stages.candidates import Ground
from tutelage.stages.predictions import predicting
from tutelage.stages.trials import Trial, run_trials
from tutelage.students import load_student

_MEASURED_TEXTS = 300


def contenders_of(
    programme: Programme,
    candidates: Mapping[str, StudentConfig],
    ground: Ground,
    engine: Engine,
    progress: Progress,
) -> list[Contender]:
    """The candidates by name, in their order. What is kept in `students/.comparison` isn't trained again.

    Speed and size are measured in this process, when all are trained: on one machine, with nothing of
    this command beside them.
    """
    trials = {name: _trials(programme, name, config, ground) for name, config in candidates.items()}
    run_trials(programme, [one for several in trials.values() for one in several], ground, engine, progress)
    return [_contender(name, several, ground) for name, several in trials.items()]


def _trials(programme: Programme, name: str, config: StudentConfig, ground: Ground) -> list[Trial]:
    folder = programme.folder / "students" / ".comparison" / name
    transfer, trials = storage.hash_file(programme.transfer), []
    for number, seed in enumerate(programme.config.comparison.seeds):
        seeded = config.model_copy(update={"seed": seed})
        key = storage.hash_json(
            [
                seeded.model_dump(mode="json"),
                transfer,
                ground.task.version,
                ground.selection.tolist(),
                number,
                ground.declined.to_json() if config.refusals else None,
            ]
        )
        named = f"{name}, seed {seed}"
        trials.append(Trial(named, seeded, ground.learning, folder / str(seed), key, saved=number == 0))
    return trials


def _contender(name: str, trials: list[Trial], ground: Ground) -> Contender:
    found = [trial.kept() or {} for trial in trials]
    if "footprint" not in found[0]:
        found[0] |= {"footprint": asdict(_footprint(trials[0], ground))}
        trials[0].keep(**found[0])
    return Contender(name, np.array([one["scores"] for one in found]), Footprint(**found[0]["footprint"]))


def _footprint(trial: Trial, ground: Ground) -> Footprint:
    student = load_student(trial.student)
    return measure_footprint(
        predicting(student, ground.task),
        ground.compared.texts[:_MEASURED_TEXTS],
        folder=trial.student,
        parameters=student.parameters,
        calls=100,
        seconds=10.0,
    )
