from __future__ import annotations

import numpy as np
import pytest
from interrupting import Interrupting, Killed

from tiny_world import TASK, TEXTS, TRUTH, save_checkpoint
from tutelage.config import StudentConfig
from tutelage.distillation import Signals, distil_student, hard_labels
from tutelage.distillation.recipes import prune_recover as recipe
from tutelage.distillation.teacher_body import LayerTeaching
from tutelage.errors import ConfigError
from tutelage.progress import Silent
from tutelage.students import load_student

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = {
    "recipe": "prune-recover",
    "base": "whole",
    "layers": 2,
    "intermediate_size": 40,
    "epochs": 15,
    "batch_size": 16,
    "learning_rate": 2e-3,
}
TOLD = np.array(
    [not {"refund", "shipment", "code", "price", "tracking"} & set(text.split()) for text in TEXTS]
)
# The teacher has answered half of the prompts; people have labelled nothing of a third of the words.
ASKED = np.arange(len(TEXTS)) % 2 == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_checkpoint(
        folder / "whole",
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    save_checkpoint(folder / "distilbert", "distilbert")
    return folder


def signals(teacher=TRUTH) -> Signals:
    every = np.ones(len(TEXTS), bool)
    doubtful = (0.8 * teacher + 0.2 / 3).astype(np.float32)
    given = Signals(TEXTS, doubtful, every, every, (TRUTH * TOLD[:, None]).astype(np.float32), TOLD)
    return given.take(np.flatnonzero(ASKED))


def shuffled() -> Signals:
    return signals(TRUTH[np.random.default_rng(0).permutation(len(TEXTS))])


def trained(world, given=None, progress=None, checkpoint=None, control=False, **config):
    return distil_student(
        given or signals(),
        TASK,
        StudentConfig(**(CONFIG | config)),
        world,
        progress or Silent(),
        checkpoint=checkpoint,
        layers=LayerTeaching(None, TEXTS),
        control=control,
    )


def right(result):
    """Of the words that people have said nothing of."""
    return float((result.student.predict(TEXTS).argmax(1) == TRUTH.argmax(1))[~TOLD].mean())


@pytest.mark.long
def test_what_the_unpruned_one_learned_is_recovered_and_a_shuffled_teacher_teaches_nothing(world):
    student = trained(world)
    control = trained(world, hard_labels(signals(), "gold", TASK), control=True)
    assert right(student) > max(right(control), right(trained(world, shuffled()))) + 0.25
    assert control.student.parameters == student.student.parameters


@pytest.mark.long
def test_a_round_is_taught_by_the_unpruned_one(world, monkeypatch):
    """Where its answers are shuffled on their way, nothing is recovered."""
    from dataclasses import replace

    honest = recipe._taught_by

    def deaf(student, material):
        said = honest(student, material)
        return replace(said, teacher=said.teacher[np.random.default_rng(0).permutation(len(said))])

    narrow = {"heads": 2, "hidden_size": 12, "layers": 1, "epochs": 20}
    whole = trained(world, **narrow)
    monkeypatch.setattr(recipe, "_taught_by", deaf)
    assert right(trained(world, **narrow)) < right(whole) - 0.2


@pytest.mark.long
def test_rounds_and_shapes_stand_in_the_record(world, tmp_path):
    result = trained(world, epochs=1, heads=2, hidden_size=12)
    task, *rounds = result.record.phases
    assert task["name"] == "soft targets"
    assert [phase["name"] for phase in rounds] == [f"round {n + 1}" for n in range(len(rounds))]
    assert len(rounds) > 1
    last = {name: rounds[-1][name] for name in ("layers", "heads", "hidden_size", "intermediate_size")}
    assert last == {"layers": 2, "heads": 2, "hidden_size": 12, "intermediate_size": 40}
    assert all(0 < phase["pruned_share"] <= 0.4 for phase in rounds)
    assert result.to_json()["recipe"]["name"] == "prune-recover"
    result.student.save(tmp_path)
    found = load_student(tmp_path)
    np.testing.assert_allclose(found.predict(TEXTS), result.student.predict(TEXTS), rtol=1e-4, atol=1e-5)
    assert found.predict(["never seen: Xylophone ŧ 東"]).shape == (1, 3)


def test_all_prompts_are_learned_from_and_validation_is_none_of_them(world, monkeypatch):
    seen = []
    honest = recipe._taught_by
    monkeypatch.setattr(
        recipe, "_taught_by", lambda *given: seen.append((given, honest(*given))) or seen[-1][1]
    )
    trained(world, epochs=1)
    (student, material), said = seen[0]
    assert set(said.texts) == set(TEXTS) - set(material.validation.texts)
    assert said.teacher.tobytes() == student.predict(said.texts).tobytes()
    gold = dict(zip(material.learning.texts, material.learning.has_gold, strict=True))
    assert said.has_gold.tolist() == [bool(gold.get(text, False)) for text in said.texts]


@pytest.mark.long
def test_the_control_takes_as_many_steps_and_hears_no_unpruned_one(world, monkeypatch):
    student = trained(world)
    monkeypatch.setattr(recipe, "_taught_by", None)
    control = trained(world, control=True)
    (phase,) = control.record.phases
    planned = len(student.record.phases) * student.recipe.steps
    assert phase["steps"] == planned or control.record.stopped_early
    assert phase["layers"] == 2


@pytest.mark.long
@pytest.mark.parametrize(("member", "step"), [(0, 3), (1, 2), (2, 1)])
def test_a_killed_run_goes_on_through_its_rounds_bit_by_bit(world, tmp_path, member, step):
    config = {"epochs": 2, "heads": 2, "hidden_size": 12}
    whole = trained(world, **config)
    with pytest.raises(Killed):
        trained(world, None, Interrupting(step, member=member), tmp_path, **config)
    resumed = trained(world, None, Interrupting(), tmp_path, **config)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


def test_what_does_not_go_together_is_refused(world):
    for config, message in (
        ({"heads": 2}, r"head_size would be 16 where the base has 8|hidden_size"),
        ({"layers": 9}, r"layers would be 9 where the base has 3"),
        ({"base": "distilbert"}, r"DistilBertModel.*BERT, RoBERTa or MiniLM"),
        ({"hidden_size": 30, "heads": 4}, r"no multiple"),
    ):
        if config == {"heads": 2}:
            config = {"heads": 2, "hidden_size": 32}
        with pytest.raises((ConfigError, ValueError), match=message):
            trained(world, **config)
    with pytest.raises(ValueError, match="prune belongs to recipe prune-recover, not soft-targets"):
        StudentConfig(prune={})
    with pytest.raises(ValueError, match="recipe prune-recover teaches family encoder"):
        StudentConfig(family="static", recipe="prune-recover")
