from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupting, Killed

from tiny_world import TASK, TEXTS, TRUTH
from tutelage.config import StudentConfig
from tutelage.distillation import Signals, distil_student, hard_labels
from tutelage.progress import Silent

pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = {"family": "static", "recipe": "integrated", "members": 1, "epochs": 15, "batch_size": 16, "seed": 1}
N = len(TEXTS)
# People label what is written in the first three frames; there the teacher is wrong. Elsewhere it is right.
HUMAN = np.arange(N) % 8 < 3
WRONG = np.roll(TRUTH, 1, axis=1)


def signals(teacher=TRUTH) -> Signals:
    taught = np.where(HUMAN[:, None], WRONG, teacher).astype(np.float32)
    gold = (TRUTH * HUMAN[:, None]).astype(np.float32)
    return Signals(TEXTS, taught, np.ones(N, bool), np.ones(N, bool), gold, HUMAN)


def trained(tmp_path, given=None, progress=None, checkpoint=None, **config):
    config = StudentConfig(**(CONFIG | config))
    return distil_student(
        given or signals(), TASK, config, tmp_path, progress or Silent(), checkpoint=checkpoint
    )


def right(result, rows=slice(None)):
    return float((result.student.predict(TEXTS).argmax(1) == TRUTH.argmax(1))[rows].mean())


def sure(result):
    """The mean probability of what people said."""
    return float(result.student.predict(TEXTS)[HUMAN][TRUTH[HUMAN] > 0].mean())


def test_where_a_person_spoke_the_teacher_is_not_heard(tmp_path):
    integrated = trained(tmp_path)
    mixed = trained(tmp_path, recipe="soft-targets", hard_weight=0.3)
    assert right(integrated, HUMAN) > 0.95
    assert sure(integrated) > sure(mixed) + 0.1


def test_the_teacher_adds_what_people_did_not_say_and_a_shuffled_one_does_not(tmp_path):
    """People know nothing of a third of the words here; only the teacher does."""
    silent = np.array([not {"refund", "shipment", "code"} & set(text.split()) for text in TEXTS])
    given = signals()
    gold = HUMAN & silent
    given = Signals(
        given.texts, given.teacher, given.softened, given.has_teacher, given.gold * gold[:, None], gold
    )
    taught = np.where(HUMAN[:, None], TRUTH, given.teacher)
    order = np.random.default_rng(0).permutation(N)
    student = trained(tmp_path, _taught(given, taught))
    control = trained(tmp_path, hard_labels(given, "gold", TASK))
    shuffled = trained(tmp_path, _taught(given, taught[order]))
    assert right(student, ~silent) > right(control, ~silent) + 0.15
    assert right(shuffled, ~silent) < right(control, ~silent) + 0.05


def _taught(given, teacher):
    return Signals(
        given.texts,
        teacher.astype(np.float32),
        given.softened,
        given.has_teacher,
        given.gold,
        given.has_gold,
    )


def test_the_share_of_each_stands_in_the_record(tmp_path):
    result = trained(tmp_path, epochs=1).to_json()
    (phase,) = result["record"]["phases"]
    assert result["recipe"]["name"] == "integrated" and phase["name"] == "integrated"
    assert phase["human_share"] + phase["teacher_share"] == pytest.approx(1.0)
    assert phase["human_share"] == pytest.approx(HUMAN.mean(), abs=0.05)
    assert phase["corrected_share"] == phase["human_share"], "the teacher has answered all"


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.long), 20])
def test_a_killed_run_goes_on_bit_by_bit(tmp_path, step):
    whole = trained(tmp_path, epochs=4)
    with pytest.raises(Killed):
        trained(tmp_path, progress=Interrupting(step), checkpoint=tmp_path / "kept", epochs=4)
    resumed = trained(tmp_path, progress=Interrupting(), checkpoint=tmp_path / "kept", epochs=4)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


def test_a_weight_for_what_replaces_is_refused():
    with pytest.raises(ValueError, match="hard_weight belongs to recipe soft-targets"):
        StudentConfig(recipe="integrated", hard_weight=0.5)
    with pytest.raises(ValueError, match="recipe integrated teaches family encoder or static"):
        StudentConfig(family="causal", recipe="integrated")
