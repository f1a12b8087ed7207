from __future__ import annotations

import sys

import pytest

from tiny_world import TASK, TEXTS, save_checkpoint
from tutelage.config import StudentConfig
from tutelage.errors import MissingExtraError
from tutelage.students import average_students, new_learner

pytest.importorskip("torch")


def test_static_makes_its_vocabulary_of_the_texts_given(tmp_path):
    from tutelage.students.static_learner import StaticLearner

    learner = new_learner(StudentConfig(family="static"), TASK, ["only these"], tmp_path)
    assert isinstance(learner, StaticLearner)
    assert "these" in learner.finished().vocabulary
    assert "parcel" not in learner.finished().vocabulary


def test_encoder_starts_from_a_checkpoint_beside_the_programme(tmp_path):
    pytest.importorskip("transformers")
    from tutelage.students.encoder import EncoderLearner

    save_checkpoint(tmp_path / "models" / "tiny")
    config = StudentConfig(family="encoder", base="models/tiny", layers=1)
    learner = new_learner(config, TASK, TEXTS, tmp_path)
    assert isinstance(learner, EncoderLearner)
    student = learner.finished()
    assert (student.family, student.labels) == ("encoder", TASK.labels)


def test_one_student_is_its_own_mean_and_encoders_have_none(tmp_path):
    pytest.importorskip("transformers")
    save_checkpoint(tmp_path / "tiny")
    config = StudentConfig(family="encoder", base="tiny", layers=1)
    encoder = new_learner(config, TASK, TEXTS, tmp_path).finished()
    static = new_learner(StudentConfig(family="static"), TASK, TEXTS, tmp_path).finished()
    assert average_students([encoder]) is encoder
    assert average_students([static]) is static
    for several in ([encoder, encoder], [encoder, static]):
        with pytest.raises(TypeError, match="encoder"):
            average_students(several)


@pytest.mark.parametrize("family", ["static", "encoder"])
def test_without_torch_it_says_what_to_install(tmp_path, monkeypatch, family):
    asked = []

    def find_nothing(name):
        asked.append(name)

    monkeypatch.setattr("tutelage.students.initialise.find_spec", find_nothing)
    with pytest.raises(MissingExtraError, match=r"'torch'.*pip install 'tutelage\[train\]'"):
        new_learner(StudentConfig(family=family), TASK, TEXTS, tmp_path)
    assert asked == ["torch"]


@pytest.mark.parametrize("family", ["static", "encoder"])
def test_without_transformers_on_which_all_train_it_says_what_to_install(tmp_path, monkeypatch, family):
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it weren't installed
    with pytest.raises(MissingExtraError, match="transformers"):
        new_learner(StudentConfig(family=family), TASK, TEXTS, tmp_path)
