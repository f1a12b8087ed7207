"""`train`: the student and its control arm, from the transfer set.

What learns is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__, storage
from tutelage.config import BODY_RECIPES, PROMPT_RECIPES
from tutelage.economics import EnergyMeter
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress, Silent
from tutelage.scale import is_first, open_engine, processes, require_one_process
from tutelage.stages.rights import programme_use, require_rights, rights_decision
from tutelage.stages.signals import check_signals, learns_online, signals_inputs
from tutelage.stages.sources import model_fingerprint, own_body
from tutelage.stages.task import labels_fingerprint
from tutelage.stages.transfer import (
    basis_counts,
    read_transfer,
    split_inputs,
    synthetic_counts,
    transfer_rights_fingerprint,
)

if TYPE_CHECKING:
    from tutelage.stages.arms import Arms


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "answers/transfer.parquet": fingerprint(programme.transfer),
        "labels": labels_fingerprint(programme),
        "student": fingerprint(programme.config.student),
        "student.base": model_fingerprint(programme, programme.config.student.base),
        **_body_inputs(programme),
        **_scoring_inputs(programme),
        "task": fingerprint(programme.config.task),
        "rights": transfer_rights_fingerprint(programme),
        **split_inputs(programme),
        **signals_inputs(programme),
        **_refusal_inputs(programme),
    }


def _refusal_inputs(programme: Programme) -> Mapping[str, str]:
    if not programme.config.student.refusals:
        return {}
    return {"answers/quarantined.parquet": fingerprint(programme.quarantined)}


def _body_inputs(programme: Programme) -> Mapping[str, str]:
    """Of what only some recipes read: all prompts, and the teacher's body."""
    student = programme.config.student
    if student.plan not in PROMPT_RECIPES:
        return {}
    prompts = {"prompts/prompts.parquet": fingerprint(programme.prompts)}
    if student.plan not in BODY_RECIPES:
        return prompts
    body = (student.body.teacher if student.body else None) or own_body(programme)
    return {
        "student.body.teacher": model_fingerprint(programme, body),
        **prompts,
    }


def _scoring_inputs(programme: Programme) -> Mapping[str, str]:
    """Of the teacher's weights, where they score tokens while the student learns."""
    if not learns_online(programme):
        return {}
    teacher = programme.config.teacher
    return {"the teacher itself": model_fingerprint(programme, getattr(teacher, "model", None))}


def _work(programme: Programme, progress: Progress) -> str:
    require_rights(programme)
    _require_ready(programme)
    checkpoints = _checkpoints(programme)
    with (
        storage.fresh_folder(programme.student) as folder,
        open_engine(programme.config.engine, progress) as engine,
    ):
        work = Training(programme, folder.absolute(), checkpoints.absolute())
        summary = engine.train(work, progress, checkpoints, shared=_can_be_shared(programme))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return summary


def take_part(programme: Programme, force: bool) -> bool:
    """What a later process of torchrun does of `train`: its part of each step; return whether there were any.

    Whether there is anything to do it finds as the first process does, from the same files; it writes none.
    """
    if not force and TRAIN.reason_to_run(programme) is None:
        return False
    rights_decision(programme).require()
    _require_ready(programme)
    Training(programme, programme.student.absolute(), _checkpoints(programme).absolute())(Silent())
    return True


def _require_ready(programme: Programme) -> None:
    check_signals(programme)
    if processes() > 1:
        if programme.config.engine.type != "local":
            require_one_process(f"a command with engine: {programme.config.engine.type}")
        if not _can_be_shared(programme):
            student = programme.config.student
            require_one_process(f"training by recipe {student.plan!r} of family {student.family}")


def _checkpoints(programme: Programme) -> Path:
    return programme.folder / "students" / f".checkpoint-{programme.config.student.run}"


@dataclass(frozen=True)
class Training:
    """The work of `train`: both arms, written to `folder` with `run.json`.

    Where processes share it, each makes the arms by its part of every step, and the first writes them.
    """

    programme: Programme
    folder: Path
    checkpoints: Path

    def __call__(self, progress: Progress) -> str:
        """Train; what came of it in a line."""
        from tutelage.stages.arms import label_arms, text_arms

        programme = self.programme
        config = programme.config.student
        with EnergyMeter() as meter:
            arms = (text_arms if config.writes else label_arms)(programme, progress, self.checkpoints)
        if is_first():
            for name, arm in (("student", arms.student), ("control", arms.control)):
                shutil.rmtree(self.folder / name, ignore_errors=True)  # of a training that broke off
                (self.folder / name).mkdir()
                arm.student.save(self.folder / name)
            storage.write_json(self.folder / "run.json", _record(programme, arms, meter))
        student = arms.student
        return (
            f"{config.run}: {student.examples:,} examples in {student.record.seconds:.0f} s, "
            f"{arms.control_text}"
        )

    def __getstate__(self) -> dict[str, object]:
        """For another machine: with the programme's folder whole."""
        programme = replace(self.programme, folder=self.programme.folder.absolute())
        return {"programme": programme, "folder": self.folder, "checkpoints": self.checkpoints}


def _can_be_shared(programme: Programme) -> bool:
    """Whether a step is worth sharing out, and nothing is kept beside the checkpoints.

    A static student's step takes a millisecond; recipes that read a teacher's layers keep what they computed,
    and those that score tokens hold the teacher's weights beside the student's.
    """
    student = programme.config.student
    return student.family != "static" and student.plan not in PROMPT_RECIPES and not learns_online(programme)


def _record(programme: Programme, arms: Arms, meter: EnergyMeter) -> dict[str, Any]:
    return {
        "run": programme.config.student.run,
        "config": programme.config.student.model_dump(mode="json"),
        "transfer": storage.hash_file(programme.transfer),
        "synthetic": synthetic_counts(read_transfer(programme)),
        "student": arms.student.to_json(),
        "control": {**arms.control.to_json(), "labels": arms.source},
        "energy": meter.to_json(),  # of both arms, as far as this run of the stage trained them
        "rights": _rights(programme),
        "version": __version__,
    }


def _rights(programme: Programme) -> dict[str, Any]:
    """What the student stands under from now on, wherever it goes."""
    use = programme_use(programme)
    return {
        "bases": basis_counts(read_transfer(programme)),
        "student_kind": use.student_kind,
        "distribution": use.config.distribution,
    }


TRAIN = Stage(
    name="train",
    inputs=_inputs,
    outputs=lambda programme: [programme.student],
    work=_work,
    per_run=True,
)
