from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupting, Killed
from sklearn.decomposition import PCA
from taught_world import few, right, save_shuffled, save_teacher

from tiny_world import TASK, TEXTS
from tutelage.config import StudentConfig
from tutelage.distillation import distil_student
from tutelage.distillation.teacher_body import LayerTeaching, TeacherBody
from tutelage.errors import ConfigError
from tutelage.progress import Silent
from tutelage.students import load_student

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = {"family": "static", "recipe": "static", "members": 1, "epochs": 10, "batch_size": 8, "seed": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_teacher(folder / "body", mlm=False)
    save_shuffled(folder / "body", folder / "shuffled")
    return folder


def trained(world, body="body", progress=None, checkpoint=None, control=False, unlabelled=(), **config):
    return distil_student(
        few(),
        TASK,
        StudentConfig(**(CONFIG | config)),
        world,
        progress or Silent(),
        checkpoint=checkpoint,
        layers=LayerTeaching(body, unlabelled),
        control=control,
    )


def test_words_that_the_student_has_never_seen_mean_what_they_mean_to_the_body(world):
    student, control = trained(world), trained(world, control=True)
    assert right(student.student) > right(control.student) + 0.3
    assert right(trained(world, "shuffled").student) < right(student.student) - 0.3


def test_the_control_begins_with_random_words_as_soft_targets_does(world):
    control = trained(world, control=True)
    alone = trained(world, recipe="soft-targets")
    assert control.student.table.tobytes() == alone.student.table.tobytes()
    assert control.recipe == trained(world).recipe.task


def test_words_are_the_texts_and_the_bodys(world, tmp_path):
    student = trained(world, unlabelled=["a zeppelin"], epochs=1)
    assert {"zeppelin", "refund", "courier"} <= set(student.student.vocabulary)
    assert not {"[CLS]", "[cls]", "[PAD]"} & set(student.student.vocabulary)
    (phase,) = student.record.phases
    assert 0 < phase["words_of_texts"] < phase["words"]
    assert student.to_json()["recipe"]["name"] == "static"
    student.student.save(tmp_path)
    assert load_student(tmp_path).predict(TEXTS).tobytes() == student.student.predict(TEXTS).tobytes()


def test_vectors_are_those_of_a_word_alone_on_its_principal_components(world):
    from tutelage.distillation.word_vectors import _states, word_vectors

    body = TeacherBody.at("body", world)
    words = ("invoice", "refund", "parcel", "code", "session", "the")
    states = _states(body, words)
    from tutelage.students.bodies import load_tokenizer

    batch = load_tokenizer(body.checkpoint)(["parcel"], return_tensors="pt")
    with torch.no_grad():
        alone = body.load().eval()(**batch).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(states[2], alone / np.linalg.norm(alone), rtol=1e-4, atol=1e-5)
    vectors = word_vectors(body, words, 4)
    expected = PCA(4, svd_solver="full").fit_transform(states)
    np.testing.assert_allclose(np.abs(vectors), np.abs(expected), rtol=1e-3, atol=1e-4)
    assert not word_vectors(body, words, 40)[:, 6:].any(), "six words have no more components"


def test_frequent_words_weigh_less():
    from tutelage.distillation.word_vectors import sif_weights

    weights = sif_weights(["the", "refund", "never"], ["the the the refund"])
    np.testing.assert_allclose(weights, [1e-3 / (1e-3 + 0.75), 1e-3 / (1e-3 + 0.25), 1.0], rtol=1e-6)


def test_members_have_the_same_words(world):
    assert len(trained(world, members=2, epochs=1).student.vocabulary) == len(
        trained(world, epochs=1).student.vocabulary
    )


@pytest.mark.parametrize("step", [0, 3])
def test_a_killed_run_goes_on_bit_by_bit(world, tmp_path, step):
    whole = trained(world, epochs=4)
    with pytest.raises(Killed):
        trained(world, progress=Interrupting(step), checkpoint=tmp_path, epochs=4)
    resumed = trained(world, progress=Interrupting(), checkpoint=tmp_path, epochs=4)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


def test_what_does_not_go_together_is_refused(world):
    with pytest.raises(ValueError, match="recipe static teaches family static, not encoder"):
        StudentConfig(recipe="static")
    with pytest.raises(ValueError, match=r"body\.epochs belongs to recipe distilbert"):
        StudentConfig(family="static", recipe="static", body={"epochs": 1})
    with pytest.raises(ConfigError, match=r"student\.recipe static.*student\.body\.teacher"):
        trained(world, None)
