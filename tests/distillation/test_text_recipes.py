"""Recipes of students that write: what they gain over their control, and lose when the teacher is shuffled."""

from __future__ import annotations

import dataclasses
import random
from statistics import mean

import numpy as np
import pytest
import reasons_world as world
from interrupting import Interrupting, Killed

from tiny_world import PAIRS, TASK, save_writer
from tutelage.config import StudentConfig
from tutelage.distillation import TextSignals, distil_texts, humans_alone, require_reasons, untrained
from tutelage.errors import DataError
from tutelage.progress import Silent
from tutelage.students import load_student

pytest.importorskip("torch")
pytest.importorskip("transformers")

OWN = {"layers": 2, "hidden_size": 32, "heads": 4, "intermediate_size": 64, "batch_size": 24}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("causal", "seq2seq"):
        save_writer(folder / kind, kind, corpus=[*world.CORPUS, *(text for text, _ in PAIRS)])
    return folder


def config_of(family, **config):
    return StudentConfig(**{"family": family, "base": family, "learning_rate": 5e-3, **OWN, **config})


def learn(models, signals, config, task=world.TASK):
    return distil_texts(signals, task, config, models, Silent())


# sequence


def _inbox(shuffled: bool = False) -> TextSignals:
    """The support inbox: every third message is kept for the test, one in twelve has a human answer."""
    rows = [row for place, row in enumerate(PAIRS) if place % 3]
    labels = [label for _, label in rows]
    if shuffled:
        random.Random(3).shuffle(labels)
    gold = tuple(label if place % 6 == 0 else None for place, (_, label) in enumerate(rows))
    none = (None,) * len(rows)
    return TextSignals(
        tuple(text for text, _ in rows), tuple(labels), ("",) * len(rows), none if shuffled else gold
    )


def _inbox_accuracy(student):
    kept = PAIRS[::3]
    found = student.answers([text for text, _ in kept], TASK)
    return mean(parsed.value == label for parsed, (_, label) in zip(found, kept, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["causal", pytest.param("seq2seq", marks=pytest.mark.long)])
def test_the_teachers_text_teaches_more_than_few_humans_and_nothing_when_shuffled(models, family):
    signals, config = _inbox(), config_of(family, epochs=30)
    few = humans_alone(signals)
    teacher_only = dataclasses.replace(signals, gold=(None,) * len(signals))
    student, control, shuffled = (
        _inbox_accuracy(learn(models, one, config, TASK).student)
        for one in (teacher_only, few, _inbox(shuffled=True))
    )
    assert student > control + 0.1
    assert student > 0.8 > 0.6 > shuffled


# step-by-step and rationale-causal


def _accuracies(models, family, **config):
    """With the right reasons, none, and other rows' reasons."""
    plan = config_of(family, **config)
    return [
        world.accuracy(learn(models, world.taught(kind), plan).student)
        for kind in ("right", "none", "shuffled")
    ]


@pytest.mark.long
@pytest.mark.slow
def test_reasons_as_a_second_task_teach_what_labels_do_not(tmp_path):
    """Means of two seeds: whether labels alone happen to suffice is chance."""
    save_writer(tmp_path / "seq2seq", "seq2seq", corpus=world.CORPUS)
    plan = {
        "recipe": "step-by-step",
        "epochs": 100,
        "learning_rate": 3e-3,
        "hidden_size": 64,
        "intermediate_size": 128,
    }
    found = [_accuracies(tmp_path, "seq2seq", seed=seed, **plan) for seed in (0, 1)]
    right, none, shuffled = map(mean, zip(*found, strict=True))
    assert right > none + 0.1 and right > shuffled + 0.1, found


@pytest.mark.slow
@pytest.mark.long
def test_reasons_before_the_answer_carry_it(models):
    right, none, shuffled = _accuracies(models, "causal", recipe="rationale-causal", epochs=40)
    assert right > none + 0.1 and right > shuffled + 0.1


def test_a_plan_says_where_reasons_stand(models, tmp_path):
    short = {"epochs": 1, "recipe": "rationale-causal"}
    for where in ("before", "after"):
        distilled = learn(models, world.taught(), config_of("causal", rationale=where, **short))
        assert distilled.student.form.rationale == where == distilled.to_json()["recipe"]["rationale"]
        folder = tmp_path / where
        folder.mkdir()
        distilled.student.save(folder)
        again = load_student(folder)
        assert again.form == distilled.student.form
        assert again.predict(["bako kuta"]).tobytes() == distilled.student.predict(["bako kuta"]).tobytes()
    bare = learn(models, world.taught("none"), config_of("causal", **short))
    assert bare.student.form.rationale == "none"
    stepwise = learn(models, world.taught(), config_of("seq2seq", epochs=1, recipe="step-by-step"))
    assert stepwise.student.form.prefix == "[label] "
    assert stepwise.to_json()["recipe"]["rationale_weight"] == 1.0


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_weights(models, tmp_path):
    config = config_of("seq2seq", recipe="step-by-step", epochs=8)
    whole = learn(models, world.taught(), config)
    going = {"checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(Killed):
        distil_texts(world.taught(), world.TASK, config, models, Interrupting(13), **going)
    last = Interrupting()
    again = distil_texts(world.taught(), world.TASK, config, models, last, **going)
    assert last.began[0] >= 10
    texts = [text for text, _, _ in world.UNSEEN]
    assert again.student.predict(texts).tobytes() == whole.student.predict(texts).tobytes()


def test_adapters_learn_on_the_trainer_and_end_as_a_plain_student(models, tmp_path):
    pytest.importorskip("peft")
    config = StudentConfig(family="causal", base="causal", lora={"rank": 2}, epochs=4, learning_rate=1e-2)
    before = untrained(world.taught(), world.TASK, config, models).student
    student = learn(models, world.taught(), config).student
    student.save(tmp_path)
    again = load_student(tmp_path)
    texts = [text for text, _, _ in world.UNSEEN[:8]]
    assert again.parameters == before.parameters
    assert again.predict(texts).tobytes() == student.predict(texts).tobytes()
    assert not np.allclose(student.predict(texts), before.predict(texts), atol=1e-3)


def test_recipes_of_reasons_refuse_answers_without_any():
    for family, recipe in (("seq2seq", "step-by-step"), ("causal", "rationale-causal")):
        config = config_of(family, recipe=recipe)
        require_reasons(world.taught(), config)
        with pytest.raises(DataError, match="prompting.rationale before"):
            require_reasons(world.taught("none"), config)
    require_reasons(world.taught("none"), config_of("causal"))


def test_what_is_cut_and_what_cannot_be_written_is_told(models):
    class Heard(Silent):
        def note(self, text):
            lines.append(text)

    lines = []
    config = config_of("causal", epochs=1, max_tokens=1)
    distil_texts(world.taught(), world.TASK, config, models, Heard())
    assert lines == ["72 prompts were longer than student.max_tokens and cut at their end"]


def test_an_untrained_student_is_the_one_that_would_be_trained(models):
    config = config_of("causal", epochs=1)
    first = untrained(world.taught(), world.TASK, config, models)
    assert (first.record.steps, first.examples) == (0, 0)
    trained = learn(models, world.taught(), config)
    assert first.student.parameters == trained.student.parameters
    assert first.student.predict(["bako kuta"]).shape == (1, 2)
