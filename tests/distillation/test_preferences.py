"""Preferences: pairs that a teacher ranks, their loss against other code, and what a student gains by them."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import tokens_world as world
from interrupting import Interrupting, Killed
from pydantic import ValidationError

from tutelage.distillation import TextSignals, TokenTeacher
from tutelage.errors import ConfigError
from tutelage.students import new_writing_learner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

# Its students start from a model that says each of the four as often.
FINISHED = dict.fromkeys(("layers", "hidden_size", "heads", "intermediate_size"))
ASKED = {"template": "teacher", "base": "causal-even", "epochs": 2, "learning_rate": 1e-3, "validation": 0.25}
LEARNING = {"epochs": 30, "learning_rate": 1e-3, "samples": 6, "beta": 0.3}
MODES = tuple(world.THINGS[place] for place in world.ODDS.argmax(axis=1))[: world.LEARNED]
TAUGHT = TextSignals(world.TEXTS[: world.LEARNED], MODES, ("",) * world.LEARNED, (None,) * world.LEARNED)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    world.save_base(folder / "causal")
    world.save_base(folder / "seq2seq", "seq2seq")
    world.save_teacher(folder, name="even", odds=np.full_like(world.ODDS, 0.25))
    return folder


def config_of(**preference):
    return world.config_of(recipe="preference", preference=preference, **ASKED, **FINISHED)


@pytest.mark.slow
def test_what_the_teacher_prefers_is_said_more_often_and_no_more_when_it_is_shuffled(models):
    config = config_of(**LEARNING)
    student = world.learn(models, TAUGHT, config)
    text_alone = world.learn(models, TAUGHT, config, control=True)
    mixed_up = world.learn(models, world.shuffled(TAUGHT), config)
    found, control, lost = (world.favourite(one.student) for one in (student, text_alone, mixed_up))
    assert found > control + 0.2 and found > lost + 0.2
    assert [phase["name"] for phase in student.record.phases] == ["answers", "preferences"]
    assert student.record.phases[1]["note"] == "30 pairs of 30 prompts"
    assert text_alone.to_json()["recipe"]["name"] == "sequence"


@pytest.mark.slow
@pytest.mark.long
def test_a_teachers_weights_rank_too(models):
    world.save_teacher(models)
    config = config_of(**LEARNING, rank="likelihood")
    teacher = TokenTeacher.at("causal-teacher", models)
    found = world.favourite(world.learn(models, TAUGHT, config, teacher=teacher).student)
    assert found > world.favourite(world.learn(models, TAUGHT, config, control=True).student) + 0.1
    with pytest.raises(ConfigError, match=r"teacher\.type local"):
        world.learn(models, TAUGHT, config)


@pytest.mark.parametrize("step", [2, pytest.param(5, marks=pytest.mark.long)])
def test_a_run_killed_while_it_learns_preferences_goes_on_to_the_same_weights(models, tmp_path, step):
    config = config_of(epochs=4)
    whole = world.learn(models, TAUGHT, config)
    going = {"checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(Killed):
        world.distil_texts(TAUGHT, world.TASK, config, models, Interrupting(step, member=1), **going)
    last = Interrupting()
    again = world.distil_texts(TAUGHT, world.TASK, config, models, last, **going)
    assert last.began[0] == 4 and 0 < last.began[1] <= step
    for name, weight in whole.student._model.model.state_dict().items():
        assert weight.equal(again.student._model.model.state_dict()[name]), name


def learner_of(models, family):
    config = world.config_of(family, "preference", **FINISHED)
    return new_writing_learner(config, world.TASK, models)


def preferences_of(learner):
    from tutelage.distillation.preferences import Preferences

    texts = list(world.TEXTS[:3])
    sides = [
        learner.encode(texts, answers).pairs for answers in (["red", "blue", "green red"], ["black"] * 3)
    ]
    return Preferences(*(tuple(side) for side in sides))


def log_likelihood(module, pair):
    """float64, of one answer by itself."""
    with torch.no_grad():
        if module.config.is_encoder_decoder:
            start = torch.tensor([[0, *pair.answer[:-1]]])
            logits = module(input_ids=torch.tensor([pair.prompt]), decoder_input_ids=start).logits[0]
        else:
            ids = torch.tensor([[*pair.prompt, *pair.answer]])
            logits = module(ids).logits[0, len(pair.prompt) - 1 : -1]
    steps = torch.log_softmax(logits, -1)
    return float(steps[torch.arange(len(pair.answer)), torch.tensor(pair.answer)].sum())


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_the_loss_is_the_papers_on_answers_run_by_themselves(models, family):
    from tutelage.distillation.preferences import PreferenceObjective

    learner = learner_of(models, family)
    pairs = preferences_of(learner)
    examples = pairs.examples(learner)
    objective = PreferenceObjective(learner.module, 0.7).eval()
    batch = examples.batch(np.arange(3))
    same = objective(**batch)
    assert float(same["preference"].detach()) == pytest.approx(3 * math.log(2), rel=1e-4), (
        "nothing gained yet"
    )
    with torch.no_grad():
        for weight in learner.module.parameters():
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    found = objective(**batch)
    wanted, preferred = 0.0, 0
    module = learner.module.double()
    for row, (better, worse) in enumerate(zip(pairs.chosen, pairs.rejected, strict=True)):
        gains = [
            log_likelihood(module, pair) - float(batch["reference"][row, side])
            for side, pair in enumerate((better, worse))
        ]
        wanted += math.log1p(math.exp(-0.7 * (gains[0] - gains[1])))
        preferred += gains[0] > gains[1]
    assert float(found["preference"].detach()) == pytest.approx(wanted, rel=1e-4)
    assert int(found["preferred"]) == preferred
    assert int(objective.counts(batch)["preference"]) == 3


def test_the_loss_is_that_of_trls_dpo(models):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dpo = pytest.importorskip("trl.trainer.dpo_trainer")
    from tutelage.distillation.preferences import PreferenceObjective

    learner = learner_of(models, "causal")
    pairs = preferences_of(learner)
    batch = pairs.examples(learner).batch(np.arange(3))
    batch["reference"] += torch.tensor([[0.3, -0.2], [-1.0, 0.4], [0.1, 2.0]])
    found = PreferenceObjective(learner.module, 0.7)(**batch)["preference"] / 3
    rows = [[*pair.prompt, *pair.answer] for pair in (*pairs.chosen, *pairs.rejected)]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    begins = [len(pair.prompt) for pair in (*pairs.chosen, *pairs.rejected)]
    completion = mask * torch.tensor([[int(at >= begin) for at in range(width)] for begin in begins])

    def model(input_ids, attention_mask, labels, **_):
        logits = learner.module(input_ids=input_ids, attention_mask=attention_mask).logits[:, :-1]
        logprobs = torch.log_softmax(logits, -1).gather(-1, input_ids[:, 1:, None])[..., 0]
        zero = torch.zeros_like(logprobs)
        told = logprobs.masked_fill(labels[:, 1:] == -100, 0.0)
        return SimpleNamespace(log_probs=told, entropy=zero, mean_logits=zero, is_top1=zero > 0)

    trainer = MagicMock(
        loss_types=["sigmoid"], loss_weights=[1.0], beta=0.7, f_divergence_type="reverse_kl", ld_alpha=None,
        precompute_ref_logps=True, aux_loss_enabled=False, use_weighting=False, label_smoothing=0.0,
    )  # fmt: skip
    for name in ("gather", "gather_for_metrics"):
        getattr(trainer.accelerator, name).side_effect = lambda tensor: tensor
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "completion_mask": completion,
        "ref_chosen_logps": batch["reference"][:, 0],
        "ref_rejected_logps": batch["reference"][:, 1],
    }
    wanted = dpo.DPOTrainer._compute_loss(trainer, model, inputs, False)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_the_best_and_the_worst_make_a_pair_and_equals_make_none(models):
    from tutelage.distillation.preferences import by_agreement, ranked

    learner = learner_of(models, "causal")
    given = learner.encode(world.TEXTS[:6], ["red"] * 6).pairs
    how = {"samples": 3, "temperature": 1.0, "seed": 4}
    pairs = ranked(learner, given, by_agreement(learner, ["red"] * 6), **how)
    assert len(pairs) == 6 and pairs.chosen == tuple(given), "a random student agrees less than the teacher"
    assert pairs == ranked(learner, given, by_agreement(learner, ["red"] * 6), **how)
    assert pairs != ranked(learner, given, by_agreement(learner, ["red"] * 6), **{**how, "seed": 5})
    assert len(ranked(learner, given, lambda pairs, places: np.zeros(len(pairs)), **how)) == 0
    assert learner.closeness([replace(given[0], answer=[1])], ["red"])[0] == -1.0, (
        "an empty text is no answer"
    )


def test_preference_belongs_to_its_recipe():
    with pytest.raises(ValidationError, match="preference belongs to recipe preference, not tokens"):
        world.config_of(preference={"samples": 2})
