"""Students that `curve` and `compare` train and judge, where the engine has its work done; each is kept."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.config import PROMPT_RECIPES, StudentConfig
from tutelage.errors import IntegrityError
from tutelage.programme import Programme
from tutelage.progress import Progress, Silent
from tutelage.scale import Engine, is_first
from tutelage.stages.candidates import Ground, scores_of, split_transfer, trained_on


@dataclass(frozen=True, eq=False)
class Trial:
    """One student: `config` with its seed, and the rows of the transfer set that it learns from, int64 [n].

    `folder` is for its checkpoint, and `folder`.json for its scores; what is there under another `key` isn't
    taken up. With `saved` the student stays in `folder` until it is measured.
    """

    named: str
    config: StudentConfig
    learning: npt.NDArray[np.int64]
    folder: Path
    key: str
    saved: bool = False

    @property
    def student(self) -> Path:
        """Where it is saved."""
        return self.folder / "student"

    def kept(self) -> dict[str, Any] | None:
        """What is known of it: its `scores`, and what was added to them; None where it has to be trained."""
        try:
            found: dict[str, Any] = json.loads(storage.read_text(self._file))
            is_whole = "footprint" in found or self.student.exists() or not self.saved
            return found if found["key"] == self.key and found["scores"] and is_whole else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, **found: Any) -> None:
        """Write it down; what was trained is removed unless it is still to be measured."""
        storage.write_json(self._file, {**found, "key": self.key})
        if not self.saved or "footprint" in found:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _file(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def is_by_itself(self) -> bool:
        """Whether no other may be trained meanwhile: some recipes fill a store that all of them share."""
        return self.config.shard or self.config.plan in PROMPT_RECIPES


def run_trials(
    programme: Programme, trials: Sequence[Trial], ground: Ground, engine: Engine, progress: Progress
) -> None:
    """Train and judge those that aren't kept yet, and keep them.

    Each is the work of one process, so that wherever it runs it is the same student; several workers of a
    cluster train as many at once. Only a sharded student is shared out among them. Raises as training does.
    """
    missing = [trial for trial in trials if trial.kept() is None]
    work = _Work(programme, storage.hash_file(programme.transfer), progress, ground)
    for trial, scores in _judged(missing, work, engine, progress):
        trial.keep(scores=scores)
        progress.note(f"{trial.named}: mean score {np.mean(scores):.3f}")


def _judged(
    trials: Sequence[Trial], work: _Work, engine: Engine, progress: Progress
) -> Iterator[tuple[Trial, list[float]]]:
    beside = [trial for trial in trials if not trial.is_by_itself]
    yield from zip(beside, engine.map_batches(work, beside, most=1), strict=True)
    for trial in trials:
        if trial.is_by_itself:
            shared = trial.config.shard and trial.config.plan not in PROMPT_RECIPES
            told = engine.train(_Single(work, trial), progress, trial.folder, shared=shared)
            yield trial, json.loads(told)


@dataclass(frozen=True, eq=False)
class _Work:
    """Train one student and judge it.

    In another process the ground is read again, from the transfer set that has to be the same there.
    """

    programme: Programme
    transfer: str
    progress: Progress
    ground: Ground | None

    def __call__(self, trial: Trial) -> list[float]:
        """How right it is on each row compared on, in [0, 1]; nothing in later processes of one training."""
        ground = replace(self._ground, learning=trial.learning)
        student = trained_on(
            self.programme, trial.named, trial.config, ground, self.progress, trial.folder.absolute()
        )
        if not is_first():
            return []
        if trial.saved:
            with storage.fresh_folder(trial.student) as folder:
                student.save(folder)
        return scores_of(student, ground)

    @cached_property
    def _ground(self) -> Ground:
        if self.ground is not None:
            return self.ground
        path = self.programme.transfer
        if not path.exists() or storage.hash_file(path) != self.transfer:
            raise IntegrityError(
                f"{path} is another file on {platform.node()} than where the command runs, or missing. "
                "Mend: keep the programme's folder on storage that all nodes share"
            )
        return split_transfer(self.programme)

    def __getstate__(self) -> dict[str, object]:
        programme = replace(self.programme, folder=self.programme.folder.absolute())
        return {"programme": programme, "transfer": self.transfer, "progress": Silent(), "ground": None}


@dataclass(frozen=True, eq=False)
class _Single:
    """A trial as a training of its own."""

    work: _Work
    trial: Trial

    def __call__(self, progress: Progress) -> str:
        """Its scores, as JSON."""
        return json.dumps(replace(self.work, progress=progress)(self.trial))
