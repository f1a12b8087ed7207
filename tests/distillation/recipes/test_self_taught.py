from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from interrupting import Interrupting, Killed

from tiny_world import TASK, TEXTS, TRUTH, save_checkpoint
from tutelage.config import StudentConfig
from tutelage.distillation import Signals, distil_student, hard_labels
from tutelage.distillation.recipes import self_taught as recipe
from tutelage.errors import ConfigError
from tutelage.progress import Silent
from tutelage.students import load_student

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

STATIC = {"family": "static", "recipe": "self", "members": 1, "epochs": 12, "batch_size": 16, "seed": 1}
LONG = pytest.mark.long
ENCODER = {
    "recipe": "self",
    "exits": True,
    "base": "deep",
    "layers": 3,
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 2e-3,
}
# People have labelled nothing of a third of the words; the teacher has answered all.
TOLD = np.array(
    [not {"refund", "shipment", "code", "price", "tracking"} & set(text.split()) for text in TEXTS]
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_checkpoint(
        folder / "deep", initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return folder


def signals(teacher=TRUTH) -> Signals:
    every = np.ones(len(TEXTS), bool)
    doubtful = (0.8 * teacher + 0.2 / 3).astype(np.float32)
    return Signals(TEXTS, doubtful, every, every, (TRUTH * TOLD[:, None]).astype(np.float32), TOLD)


def shuffled() -> Signals:
    return signals(TRUTH[np.random.default_rng(0).permutation(len(TEXTS))])


def trained(world, config, given=None, progress=None, checkpoint=None, control=False, **changes):
    return distil_student(
        given or signals(),
        TASK,
        StudentConfig(**(config | changes)),
        world,
        progress or Silent(),
        checkpoint=checkpoint,
        control=control,
    )


def right(result):
    """Of the words that people have said nothing of."""
    return float((result.student.predict(TEXTS).argmax(1) == TRUTH.argmax(1))[~TOLD].mean())


@pytest.mark.parametrize(
    "config", [STATIC, pytest.param(ENCODER, marks=LONG), pytest.param({**ENCODER, "exit": 2}, marks=LONG)]
)
def test_what_the_teacher_knows_reaches_the_last_one_and_a_shuffled_teacher_teaches_nothing(world, config):
    student = trained(world, config)
    control = trained(world, config, hard_labels(signals(), "gold", TASK), control=True)
    deaf = trained(world, config, shuffled())
    assert right(student) > max(right(control), right(deaf)) + 0.3


# Generations


@pytest.mark.long
def test_each_generation_is_taught_by_the_one_before(world, monkeypatch):
    """Where what it says is shuffled on its way, the next one learns nothing from it."""
    honest = recipe._taught_by

    def deaf(student, given):
        said = honest(student, given)
        order = np.random.default_rng(0).permutation(len(said))
        return replace(said, teacher=said.teacher[order])

    two = trained(world, STATIC)
    monkeypatch.setattr(recipe, "_taught_by", deaf)
    assert right(trained(world, STATIC)) < right(two) - 0.25
    assert right(trained(world, STATIC, generations=1)) > 0.9, "the first one hears the teacher"


def test_what_the_first_one_said_is_the_second_ones_target(world, monkeypatch):
    seen = []
    honest = recipe._taught_by
    monkeypatch.setattr(
        recipe, "_taught_by", lambda *given: seen.append((given, honest(*given))) or seen[-1][1]
    )
    trained(world, STATIC, generations=3)
    first = trained(world, STATIC, generations=1)
    assert len(seen) == 2
    (_, before), said = seen[0]
    assert said.teacher.tobytes() == first.student.predict(before.texts).tobytes()
    assert said.softened.all() and said.has_teacher.all()
    assert said.gold.tobytes() == before.gold.tobytes() and (said.has_gold == before.has_gold).all()


@pytest.mark.long
def test_generations_start_from_weights_of_their_own_and_their_mean_is_one_table(world):
    born = {n: trained(world, STATIC, generations=n).student for n in (1, 2, 3)}
    mean = trained(world, STATIC, generations=3, ensemble=True).student
    tables = [born[n].table for n in (1, 2, 3)]
    assert not np.allclose(tables[0], tables[1]) and not np.allclose(tables[1], tables[2])
    np.testing.assert_allclose(mean.table, np.mean(tables, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_generations_of_encoders_are_trained_anew_too(world):
    config = {**ENCODER, "exits": None, "layers": 2}
    two = trained(world, config)
    assert [phase["name"] for phase in two.record.phases] == ["generation 1", "generation 2"]
    assert two.to_json()["recipe"]["generations"] == 2
    assert right(two) > 0.8


# Exits


def objective(world, **changes):
    from tutelage.distillation.exits import ExitsObjective
    from tutelage.students.encoder import EncoderLearner

    learner = EncoderLearner(StudentConfig(base="deep", layers=3), TASK, world)
    options = {
        "exit": None,
        "soft_weight": 0.1,
        "feature_weight": 1e-2,
        "exit_temperature": 3.0,
        "temperature": 1.0,
        "hard_weight": 0.3,
        "multi_label": False,
    }
    return learner, ExitsObjective(learner.module, **(options | changes)).eval()


def batch_of(learner):
    from tutelage.distillation.recipes.soft_targets import labelled

    given = signals().take(np.arange(0, 120, 15))
    return labelled(learner.examples(given.texts), given).batch(np.arange(8))


def test_losses_of_exits_are_those_of_the_paper(world):
    learner, found = objective(world)
    batch = batch_of(learner)
    with torch.no_grad():
        sums = found(**batch)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    mask = batch["attention_mask"][..., None].double()
    with torch.no_grad():
        hidden = learner.body(**inputs, output_hidden_states=True).hidden_states[1:]
    states = [(layer.double() * mask).sum(1) / mask.sum(1) for layer in hidden]
    states = [state / state.norm(dim=1, keepdim=True) for state in states]
    heads = [*found.heads, learner.module.head]
    logits = [
        s @ h.weight.detach().double().T + h.bias.detach().double()
        for s, h in zip(states, heads, strict=True)
    ]
    target = torch.where(
        batch["has_gold"][:, None], 0.3 * batch["gold"] + 0.7 * batch["teacher"], batch["teacher"]
    )
    assert float(sums["labels"]) == pytest.approx(
        sum(float(-(target * one.log_softmax(1)).sum()) for one in logits), rel=1e-5
    )
    deepest = (logits[-1] / 3).softmax(1)
    assert float(sums["soft"]) == pytest.approx(
        sum(float(-9 * (deepest * (one / 3).log_softmax(1)).sum()) for one in logits[:-1]), rel=1e-5
    )
    assert float(sums["features"]) == pytest.approx(
        sum(float((one - states[-1]).square().sum()) for one in states[:-1]), rel=1e-5
    )
    assert found.weights == pytest.approx({"labels": 0.9, "soft": 0.1, "features": 1e-2})


def test_nothing_flows_into_the_deepest_as_a_teacher(world):
    learner, found = objective(world)
    for part in ("soft", "features"):
        found.zero_grad()
        found(**batch_of(learner))[part].backward()
        assert learner.module.head.weight.grad is None or not learner.module.head.weight.grad.any(), part
        top = learner.body.encoder.layer[2].output.dense.weight.grad
        assert top is None or not top.any(), part
        assert learner.body.encoder.layer[0].output.dense.weight.grad.any(), part


@pytest.mark.long
def test_a_shallower_exit_is_a_student_of_its_own(world, tmp_path):
    whole, shallow = trained(world, ENCODER), trained(world, ENCODER, exit=1)
    assert shallow.student.parameters < whole.student.parameters
    shallow.student.save(tmp_path)
    np.testing.assert_allclose(
        load_student(tmp_path).predict(TEXTS), shallow.student.predict(TEXTS), rtol=1e-4, atol=1e-5
    )
    control = trained(world, ENCODER, hard_labels(signals(), "gold", TASK), control=True, exit=1, epochs=1)
    assert control.student.parameters == shallow.student.parameters
    with pytest.raises(ConfigError, match=r"student\.exit is 4.*3 layers"):
        trained(world, ENCODER, exit=4)


def test_heads_of_all_exits_learn_at_the_heads_rate(world):
    from tutelage.distillation.exits import exits_optimizer

    learner, found = objective(world)
    optimizer = exits_optimizer(found, learner, 1e-3)
    rates = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
    assert {rates[id(w)] for w in found.heads.parameters()} == {rates[id(learner.module.head.weight)]}
    assert set(rates) == {id(w) for w in found.parameters() if w.requires_grad}


# Kills


@pytest.mark.parametrize(
    ("config", "member", "step"),
    [
        pytest.param(STATIC, 0, 5, marks=LONG),
        (STATIC, 1, 3),
        pytest.param({**STATIC, "ensemble": True}, 1, 4, marks=LONG),
        pytest.param(ENCODER, 0, 4, marks=LONG),
    ],
)
def test_a_killed_run_goes_on_through_its_generations_bit_by_bit(world, tmp_path, config, member, step):
    config = {**config, "epochs": 2}
    whole = trained(world, config)
    with pytest.raises(Killed):
        trained(world, config, None, Interrupting(step, member=member), tmp_path)
    resumed = trained(world, config, None, Interrupting(), tmp_path)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"generations": 2}, "generations belongs to recipe self, not soft-targets"),
        ({"recipe": "self", "family": "static", "exits": True}, "exits are after layers"),
        (
            {"recipe": "self", "exits": True, "generations": 2},
            "take the place of generations",
        ),
        ({"recipe": "self", "exit": 1}, "Mend: exits: true"),
        ({"recipe": "self", "ensemble": True}, "family encoder have no mean"),
        ({"recipe": "self", "family": "causal"}, "recipe self teaches family encoder or static"),
    ],
)
def test_what_does_not_go_together_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        StudentConfig(**config)
