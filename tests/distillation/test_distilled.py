from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from interrupting import Interrupting, Killed
from sklearn.metrics import accuracy_score

from tiny_world import TASK, TEXTS, TRUTH, save_checkpoint, signals
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.distillation import distil_student, hard_labels
from tutelage.distillation.signals import hold_back
from tutelage.distillation.temperature import fit_temperature
from tutelage.errors import DataError
from tutelage.progress import Silent
from tutelage.students import average_students

pytest.importorskip("torch")

SIGNALS = signals()
QUICK = StudentConfig(family="static", epochs=5, batch_size=16, seed=1)
ALONE = QUICK.model_copy(update={"members": 1})


def trained(tmp_path, config=QUICK, given=SIGNALS, progress=None, **options):
    return distil_student(given, TASK, config, tmp_path, progress or Silent(), **options)


def began_at(tmp_path, checkpoint, config=QUICK, given=SIGNALS, task=TASK):
    """The step from which a run with this checkpoint folder goes on."""
    progress = Interrupting(0)
    with pytest.raises(Killed):
        distil_student(given, task, config, tmp_path, progress, checkpoint=checkpoint)
    return progress.began[0]


def right(student):
    return accuracy_score(TRUTH.argmax(1), student.predict(TEXTS).argmax(1))


def test_a_student_learns_the_task_from_signals(tmp_path):
    result = trained(tmp_path)
    assert right(result.student) > 0.9
    assert result.examples == 108, "a tenth of 120 is held back"
    assert result.record.history[-1]["step"] == result.recipe.steps
    assert result.record.steps == result.recipe.steps * result.recipe.members
    run = result.to_json()
    assert run["recipe"]["schedule"]["seed"] == 1 and run["examples"] == 108
    storage.write_json(tmp_path / "run.json", run)


def test_stated_probabilities_are_scaled_on_the_part_held_back(tmp_path):
    config = QUICK.model_copy(update={"validation": 0.4})
    result = trained(tmp_path, config)
    _, held = hold_back(SIGNALS, 0.4, config.seed)
    raw = result.student.tempered(1 / result.scaling.temperature)
    again = fit_temperature(raw.predict(held.texts), held, multi_label=False)
    assert result.scaling.temperature != 1.0
    assert again.temperature == pytest.approx(result.scaling.temperature, rel=1e-2)
    assert result.to_json()["temperature_scaling"]["examples"] == len(held) == 48
    assert (raw.predict(TEXTS).argmax(1) == result.student.predict(TEXTS).argmax(1)).all()


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_examples_are_a_data_error_that_counts_them(tmp_path, n):
    with pytest.raises(DataError, match=rf"^{n} examples.*10 are the least.*gold\.training"):
        trained(tmp_path, given=SIGNALS.take(np.arange(n)))


def test_ten_examples_are_enough(tmp_path):
    assert trained(tmp_path, ALONE, SIGNALS.take(np.arange(0, 120, 12))).examples == 9


@pytest.mark.long
def test_the_same_run_twice_is_the_same_student(tmp_path):
    first, again = trained(tmp_path), trained(tmp_path)
    assert first.student.table.tobytes() == again.student.table.tobytes()
    assert first.record.history == again.record.history
    other = trained(tmp_path, QUICK.model_copy(update={"seed": 2}))
    assert other.student.predict(TEXTS).tobytes() != first.student.predict(TEXTS).tobytes()


@pytest.mark.parametrize("source", ["gold", pytest.param("teacher", marks=pytest.mark.long)])
def test_the_control_arm_is_the_same_student_on_hard_labels(tmp_path, source):
    hard = hard_labels(SIGNALS, source, TASK)
    control = trained(tmp_path, ALONE, hard)
    count = int(SIGNALS.has_gold.sum()) if source == "gold" else len(SIGNALS)
    assert control.examples == count - max(1, round(0.1 * count))
    assert control.recipe.temperature == trained(tmp_path, ALONE).recipe.temperature
    assert right(control.student) > 0.5, "a third is chance"
    # A teacher's distribution has no way into it: with another one of the same labels nothing changes.
    blurred = np.where(SIGNALS.softened[:, None], 0.5 * SIGNALS.teacher + 0.5 / 3, SIGNALS.teacher)
    other = replace(SIGNALS, teacher=blurred.astype(np.float32))
    same = trained(tmp_path, ALONE, hard_labels(other, source, TASK))
    assert same.student.table.tobytes() == control.student.table.tobytes()


def test_soft_targets_reach_the_student(tmp_path):
    """On hard labels a student grows surer than its teacher; on soft ones it shares the doubt."""
    n = len(TEXTS)
    doubtful = (0.6 * TRUTH + 0.4 / 3).astype(np.float32)
    given = replace(
        SIGNALS,
        teacher=doubtful,
        softened=np.ones(n, bool),
        has_teacher=np.ones(n, bool),
        gold=np.zeros_like(TRUTH),
        has_gold=np.zeros(n, bool),
    )
    config = ALONE.model_copy(update={"epochs": 20})
    soft = trained(tmp_path, config, given).student.predict(TEXTS).max(axis=1)
    hard = trained(tmp_path, config, hard_labels(given, "teacher", TASK)).student.predict(TEXTS).max(axis=1)
    assert soft.mean() == pytest.approx(0.6 + 0.4 / 3, abs=0.06)
    assert hard.mean() > 0.95


def test_with_all_the_weight_on_humans_the_teacher_is_not_heard(tmp_path):
    n = len(TEXTS)
    contrary = np.roll(TRUTH, 1, axis=1)
    given = replace(
        SIGNALS,
        teacher=TRUTH,
        softened=np.zeros(n, bool),
        has_teacher=np.ones(n, bool),
        gold=contrary,
        has_gold=np.ones(n, bool),
    )
    student = trained(tmp_path, QUICK.model_copy(update={"hard_weight": 1.0}), given).student
    assert accuracy_score(contrary.argmax(1), student.predict(TEXTS).argmax(1)) > 0.9


# Ensembles


def test_an_ensemble_is_the_mean_of_its_members(tmp_path, monkeypatch):
    members = []

    def watched(students):
        members.extend(students)
        return average_students(students)

    monkeypatch.setattr("tutelage.distillation.distilled.average_students", watched)
    three = trained(tmp_path, QUICK.model_copy(update={"members": 3}))
    assert len({member.table.tobytes() for member in members}) == 3, "each has its own weights and order"
    assert all(right(member) > 0.8 for member in members)
    np.testing.assert_allclose(
        three.student.table, np.mean([one.table for one in members], axis=0), atol=1e-6
    )
    checks = len(trained(tmp_path, ALONE).record.history)
    assert [check["member"] for check in three.record.history] == np.repeat(range(3), checks).tolist()


@pytest.mark.long
def test_an_ensemble_that_was_killed_goes_on_in_the_member_where_it_was(tmp_path):
    whole = trained(tmp_path, QUICK)
    with pytest.raises(Killed):
        trained(tmp_path, progress=Interrupting(14, member=1), checkpoint=tmp_path / "c")
    progress = Interrupting()
    resumed = trained(tmp_path, progress=progress, checkpoint=tmp_path / "c")
    assert progress.began == [35, 12, 0]
    assert resumed.student.table.tobytes() == whole.student.table.tobytes()
    assert resumed.record.history == whole.record.history


# Going on


def interrupted(tmp_path, config=QUICK, given=SIGNALS):
    """A checkpoint folder that a run killed soon after step 12 left."""
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        trained(tmp_path, config, given, Interrupting(14), checkpoint=checkpoint)
    return checkpoint


def test_a_killed_run_goes_on_from_its_last_check(tmp_path):
    assert began_at(tmp_path, interrupted(tmp_path)) == 12


def _other_distribution():
    teacher = SIGNALS.teacher.copy()
    row = np.flatnonzero(SIGNALS.softened)[0]
    teacher[row] = np.roll(teacher[row], 1)
    return replace(SIGNALS, teacher=teacher)


CHANGES = {
    "temperature": {"config": QUICK.model_copy(update={"temperature": 2.0})},
    "rate": {"config": QUICK.model_copy(update={"learning_rate": 0.02})},
    "split": {"config": QUICK.model_copy(update={"validation": 0.2})},
    "seed": {"config": QUICK.model_copy(update={"seed": 3})},
    "one distribution": {"given": _other_distribution()},
    "one text": {"given": replace(SIGNALS, texts=("another text", *TEXTS[1:]))},
    "human labels": {"given": replace(SIGNALS, gold=np.roll(SIGNALS.gold, 1, axis=1))},
    "kind of answers": {"given": replace(SIGNALS, softened=np.zeros(len(TEXTS), bool))},
    "a row less": {"given": SIGNALS.take(np.arange(119))},
    "task": {"task": replace(TASK, instruction="Another task.")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_runs_checkpoint_is_not_taken_up(tmp_path, change):
    assert began_at(tmp_path, interrupted(tmp_path), **CHANGES[change]) == 0


def test_a_checkpoint_of_a_base_that_has_changed_is_not_taken_up(tmp_path):
    """Frozen embeddings would come from the new base, everything else from the old."""
    pytest.importorskip("transformers")
    save_checkpoint(tmp_path / "base")
    config = StudentConfig(family="encoder", base="base", layers=1, epochs=5, batch_size=16)
    checkpoint = interrupted(tmp_path, config)
    assert began_at(tmp_path, checkpoint, config) == 12
    save_checkpoint(tmp_path / "base", initializer_range=0.3)
    assert began_at(tmp_path, checkpoint, config) == 0
