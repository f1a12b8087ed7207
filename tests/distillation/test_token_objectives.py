"""The loss on distributions over tokens, against each answer run by itself in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tokens_world as world

from tutelage.distillation.losses import ForwardKL, JensenShannon, ReverseKL
from tutelage.signals import TokenLogprobs
from tutelage.students import new_writing_learner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

FAMILIES = ("causal", "seq2seq")
TEXTS = (world.TEXTS[0], "dilu", world.TEXTS[3])
ANSWERS = ("red", "blue", "green black")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        world.save_base(folder / family, family)
        world.save_base(folder / f"{family}-other", family, layers=1)
    return folder


def learner_of(models, family, base=None):
    config = world.config_of(
        family, base=base or family, layers=None, hidden_size=None, heads=None, intermediate_size=None
    )
    return new_writing_learner(config, world.TASK, models)


def logits_of(module, pair):
    """float64 [answer, vocabulary], of one answer by itself."""
    module = module.double().eval()
    with torch.no_grad():
        if module.config.is_encoder_decoder:
            start = torch.tensor([[0, *pair.answer[:-1]]])
            return module(input_ids=torch.tensor([pair.prompt]), decoder_input_ids=start).logits[0]
        return module(torch.tensor([[*pair.prompt, *pair.answer]])).logits[0, len(pair.prompt) - 1 : -1]


def cross_entropy(student, pair):
    steps = torch.log_softmax(student, -1)
    return -float(steps[torch.arange(len(pair.answer)), torch.tensor(pair.answer)].sum())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("whole", [True, False])
def test_online_it_is_the_divergence_of_all_tokens_and_the_texts_likelihood(
    models, family, whole, monkeypatch
):
    from tutelage.distillation import token_objectives

    if not whole:
        monkeypatch.setattr(token_objectives, "_WHOLE_CELLS", 0)
    learner, teacher = learner_of(models, family), learner_of(models, family, f"{family}-other").module
    pairs = learner.encode(TEXTS, ANSWERS)
    student = [logits_of(learner.module, pair) for pair in pairs.pairs]
    temperature = 2.0
    p = [torch.softmax(logits_of(teacher, pair) / temperature, -1) for pair in pairs.pairs]
    q = [torch.softmax(logits / temperature, -1) for logits in student]
    wanted = sum(float((one * (one / other).log()).sum()) for one, other in zip(p, q, strict=True))
    objective = token_objectives.TokenObjective(
        learner.module, ForwardKL(), text_weight=0.25, temperature=temperature, teacher=teacher
    )
    assert objective.weights == {"divergence": 0.75 * 4, "text": 0.25}
    assert not any("teacher" in name or "_frozen" in name for name in objective.state_dict())
    batch = pairs.batch(np.arange(3))
    found, counts = objective(**batch), objective.counts(batch)
    assert float(found["divergence"].detach()) == pytest.approx(wanted, rel=1e-9)
    text = sum(cross_entropy(logits, pair) for logits, pair in zip(student, pairs.pairs, strict=True))
    assert float(found["text"].detach()) == pytest.approx(text, rel=1e-9)
    tokens = sum(len(pair.answer) for pair in pairs.pairs)
    assert {name: int(count) for name, count in counts.items()} == {"divergence": tokens, "text": tokens}


def test_large_logits_are_left_unmade_with_the_same_gradients(models, monkeypatch):
    from tutelage.distillation import token_objectives

    learner, teacher = learner_of(models, "causal"), learner_of(models, "causal", "causal-other").module
    batch = learner.encode(TEXTS, ANSWERS).batch(np.arange(3))

    def gradients():
        objective = token_objectives.TokenObjective(
            learner.module, JensenShannon(0.3), text_weight=0.5, teacher=teacher
        )
        learner.module.zero_grad()
        sum(objective(**batch).values()).backward()
        return {name: weight.grad.clone() for name, weight in learner.module.named_parameters()}

    whole = gradients()
    made = []
    monkeypatch.setattr(token_objectives, "_WHOLE_CELLS", 0)
    monkeypatch.setattr(token_objectives, "token_divergence", lambda *a, **k: made.append(a))
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-6)
    assert not made


def test_logits_that_are_changed_behind_the_head_are_made_whole(models, monkeypatch):
    """As by Gemma's soft cap, which a head's weights alone don't show."""
    from tutelage.distillation import token_objectives

    monkeypatch.setattr(token_objectives, "_WHOLE_CELLS", 0)
    module = learner_of(models, "causal").module
    forward = type(module).forward

    def capped(self, *args, **kwargs):
        found = forward(self, *args, **kwargs)
        found.logits = torch.tanh(found.logits)
        return found

    batch = {"input_ids": torch.tensor([[3, 4, 5]]), "labels": torch.tensor([[4, 5, 6]])}
    assert isinstance(token_objectives.logits_of(module, batch), token_objectives.Projection)
    monkeypatch.setattr(type(module), "forward", capped)
    found = token_objectives.logits_of(module, batch)
    assert found.shape[:2] == (1, 3) and float(found.detach().abs().max()) < 1.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("whole", [True, False])
def test_from_a_list_it_is_the_divergence_of_its_tokens_and_the_rest(models, family, whole, monkeypatch):
    from tutelage.distillation import token_objectives
    from tutelage.distillation.token_cache import CachedTokens

    if not whole:
        monkeypatch.setattr(token_objectives, "_WHOLE_CELLS", 0)
    learner, teacher = learner_of(models, family), learner_of(models, family, f"{family}-other").module
    encoded = learner.encode(TEXTS, ANSWERS)
    rows, wanted, counted = [], 0.0, 0
    for place, pair in enumerate(encoded.pairs):
        if place == 1:
            rows.append(None)
            continue
        k = 3 + place
        top = torch.log_softmax(logits_of(teacher, pair), -1).topk(k)
        listed = top.values.float()
        ids = top.indices.int().numpy()
        rows.append(TokenLogprobs(((b"",) * k,) * len(ids), listed.numpy(), ids))
        p = torch.cat([listed.double().exp(), 1 - listed.double().exp().sum(-1, keepdim=True)], -1)
        every = torch.softmax(logits_of(learner.module, pair), -1)
        q = every.gather(-1, top.indices)
        q = torch.cat([q, 1 - q.sum(-1, keepdim=True)], -1)
        wanted += float((q * (q / p).log()).sum())
        counted += len(ids)
    objective = token_objectives.TokenObjective(learner.module, ReverseKL(), text_weight=0.0)
    batch = CachedTokens(encoded, rows).batch(np.arange(3))
    found, counts = objective(**batch), objective.counts(batch)
    assert set(found) == {"divergence"} == set(counts)
    assert float(found["divergence"].detach()) == pytest.approx(wanted, rel=1e-5)
    assert int(counts["divergence"]) == counted
    split = [
        objective(**CachedTokens(encoded, rows).batch(np.array([row])))["divergence"] for row in range(3)
    ]
    assert float(sum(split).detach()) == pytest.approx(wanted, rel=1e-5)


def test_a_head_with_rows_that_no_token_has_is_cut_to_the_others(models):
    """As Qwen's sizes of one family, whose heads are padded to unlike lengths."""
    from tutelage.distillation.token_objectives import TokenObjective

    learner = learner_of(models, "causal")
    teacher = learner_of(models, "causal", "causal-other").module
    batch = learner.encode(TEXTS, ANSWERS).batch(np.arange(3))

    def loss():
        objective = TokenObjective(learner.module, ForwardKL(), text_weight=0.0, teacher=teacher)
        return float(objective(**batch)["divergence"].detach())

    before = loss()
    teacher.resize_token_embeddings(len(learner.codec.model.tokenizer) + 64)
    assert loss() == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_loss_on_a_batch_is_that_of_trls_gkd(models, beta):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gkd = pytest.importorskip("trl.experimental.gkd.gkd_trainer")
    from tutelage.distillation.token_objectives import TokenObjective

    learner, teacher = learner_of(models, "causal"), learner_of(models, "causal", "causal-other").module
    batch = learner.encode(TEXTS, ANSWERS).batch(np.arange(3))
    objective = TokenObjective(
        learner.module, JensenShannon(beta), text_weight=0.0, temperature=1.5, teacher=teacher
    ).eval()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        wanted = gkd.GKDTrainer.generalized_jsd_loss(
            learner.module(**inputs).logits,
            teacher(**inputs).logits,
            labels=batch["labels"],
            beta=beta,
            temperature=1.5,
        )
        found = objective(**batch)["divergence"] / objective.counts(batch)["divergence"]
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
