"""Recipes on the teacher's distributions over tokens: what they gain over its text alone, and what they refuse."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import tokens_world as world
from interrupting import Interrupting, Killed
from pydantic import ValidationError

from tutelage.distillation import TextSignals, TokenTeacher
from tutelage.errors import ConfigError, DataError, IntegrityError
from tutelage.generation import LanguageModel
from tutelage.signals import TokenLogprobs, pack, unpack

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

ONLINE = {"source": "online", "divergence": "reverse-kl"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for family in ("causal", "seq2seq"):
        world.save_base(folder / family, family)
        world.save_teacher(folder, family)
    return folder


@pytest.fixture(scope="module")
def signals(models) -> dict[str, TextSignals]:
    return {family: world.taught(models, family) for family in ("causal", "seq2seq")}


def teacher_of(models, family="causal"):
    return TokenTeacher.at(f"{family}-teacher", models)


# What is gained


@pytest.mark.slow
@pytest.mark.parametrize("family", ["causal", pytest.param("seq2seq", marks=pytest.mark.long)])
def test_kept_distributions_teach_more_than_the_text_and_no_teacher_is_loaded(
    models, signals, family, monkeypatch
):
    monkeypatch.setattr(LanguageModel, "load", None)
    config = world.config_of(family)
    given = signals[family]
    student = world.learn(models, given, config)
    text_alone = world.learn(models, given, config, control=True)
    mixed_up = world.learn(models, world.shuffled(given), config)
    near, control, lost = (world.distance(one.student) for one in (student, text_alone, mixed_up))
    assert near < control - 0.1 and near < lost - 0.1
    assert text_alone.to_json()["recipe"]["name"] == "sequence"
    assert student.to_json()["recipe"]["source"] == "cache"
    assert student.student.form == text_alone.student.form


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "tokens"), [pytest.param("tokens", ONLINE, marks=pytest.mark.long), ("on-policy", None)]
)
def test_the_teachers_weights_teach_more_than_its_text(models, signals, recipe, tokens):
    config = world.config_of("causal", recipe, tokens=tokens)
    given = replace(signals["causal"], tokens=None)
    student = world.learn(models, given, config, teacher=teacher_of(models))
    text_alone = world.learn(models, given, config, control=True, teacher=teacher_of(models))
    assert world.distance(student.student) < world.distance(text_alone.student) - 0.1


# A wrong teacher's doubt is worth something beside text, so that it comes nearer than text alone does.
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "tokens", "margin"), [("on-policy", None, 0.2), ("tokens", ONLINE, 0.1)])
def test_a_teacher_that_takes_words_for_others_teaches_less(
    models, signals, tmp_path, recipe, tokens, margin
):
    import torch
    from safetensors.torch import load_file, save_file

    for name in ("causal", "causal-teacher"):
        shutil.copytree(models / name, tmp_path / name)
    path = tmp_path / "causal-teacher" / "model.safetensors"
    weights = load_file(path)
    table = weights["model.embed_tokens.weight"]
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
    weights["model.embed_tokens.weight"] = table[order].contiguous()
    save_file(weights, path, {"format": "pt"})
    config = world.config_of("causal", recipe, tokens=tokens)
    given = replace(signals["causal"], tokens=None)
    right = world.learn(models, given, config, teacher=teacher_of(models))
    wrong = world.learn(tmp_path, given, config, teacher=teacher_of(tmp_path))
    assert world.distance(right.student) < world.distance(wrong.student) - margin


def test_a_humans_answer_is_learned_as_text_beside_them(models, signals):
    given = signals["causal"]
    gold = tuple("green" if place % 2 else None for place in range(len(given)))
    distilled = world.learn(models, replace(given, gold=gold), world.config_of(epochs=2))
    assert distilled.record.steps == 4
    with pytest.raises(DataError, match=r"none of 36 answers has tokens.*recipe sequence"):
        world.learn(models, replace(given, gold=("a green one",) * len(given)), world.config_of(epochs=2))


def test_an_endpoints_tokens_are_found_by_their_bytes(models, signals):
    """Its list has bytes in place of ids, and an end without any."""
    given = signals["causal"]
    model = LanguageModel.load(teacher_of(models).weights, "cpu", "float32")

    def told(packed):
        tokens = unpack(packed)
        texts = tuple(tuple(model.token_bytes(int(i)) for i in row) for row in tokens.ids)
        return pack(TokenLogprobs(texts, tokens.logprobs))

    cache = replace(
        given.tokens,
        manifest=replace(given.tokens.manifest, tokenizer="", vocabulary=0, template=""),
        packed=tuple(told(packed) for packed in given.tokens.packed),
    )
    config = world.config_of()
    student = world.learn(models, replace(given, tokens=cache), config).student
    assert world.distance(student) < 0.3


# Going on


@pytest.mark.parametrize(
    ("recipe", "step"), [("tokens", 5), ("tokens", 13), ("on-policy", 7), ("on-policy", 14)]
)
@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_weights(models, signals, tmp_path, recipe, step):
    config = world.config_of("causal", recipe, epochs=10, accumulation=2)
    given = {"teacher": teacher_of(models) if recipe == "on-policy" else None}
    whole = world.learn(models, signals["causal"], config, **given)
    going = {**given, "checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(Killed):
        world.distil_texts(signals["causal"], world.TASK, config, models, Interrupting(step), **going)
    last = Interrupting()
    again = world.distil_texts(signals["causal"], world.TASK, config, models, last, **going)
    assert 0 < last.began[0] <= step
    assert weights_of(again) == weights_of(whole)


def weights_of(distilled):
    return [weight.numpy().tobytes() for weight in distilled.student._model.model.state_dict().values()]


def test_a_student_writes_its_own_answers_anew_at_each_step(models, signals):
    from tutelage.distillation.token_objectives import Sampling
    from tutelage.students import new_writing_learner

    learner = new_writing_learner(world.config_of(), world.TASK, models)
    given = learner.encode(world.TEXTS[:30], ["red"] * 30)
    sampling = Sampling(learner, given.pairs, 0.5, 1.0, 3)
    one, again, other = (sampling.batch(list(range(30)), number) for number in (0, 0, 1))
    assert one["labels"].equal(again["labels"]) and 5 < int(one["sampled"].sum()) < 25
    assert not one["sampled"].equal(other["sampled"])
    assert learner.module.training, "writing leaves the module as it was"
    assert replace(sampling, share=1.0).batch([0, 1], 0)["sampled"].all()
    none = replace(sampling, share=0.0).batch(list(range(30)), 0)
    assert none["labels"].equal(given.batch(np.arange(30))["labels"]) and not none["sampled"].any()


# What is refused


def test_another_tokenizer_vocabulary_or_template_is_refused(models, signals, tmp_path):
    given = signals["causal"]
    shutil.copytree(models / "causal-teacher", tmp_path / "causal-teacher")
    world.save_base(tmp_path / "causal", corpus=["other words altogether"] * 30)
    with pytest.raises(ConfigError, match=r"tokenizer: .*--set student\.base=causal-teacher"):
        world.learn(tmp_path, given, world.config_of())
    online = world.config_of(tokens=ONLINE)
    with pytest.raises(ConfigError, match=r"tokenizer: .*--set student\.base=causal-teacher"):
        world.learn(tmp_path, given, online, teacher=teacher_of(tmp_path))
    world.save_base(tmp_path / "other", chat_template=world.CHAT + "!")
    for tokens in (None, ONLINE):
        config = world.config_of(base="other", tokens=tokens)
        with pytest.raises(ConfigError, match=r"chat template: .*--set student\.base=causal-teacher"):
            world.learn(tmp_path, given, config, teacher=teacher_of(tmp_path) if tokens else None)
    own = world.config_of(base="other", tokens=ONLINE, template="own", epochs=1)
    world.learn(tmp_path, given, own, teacher=teacher_of(tmp_path))


def test_a_cache_that_is_not_what_its_manifest_says_is_refused(models, signals):
    given = signals["causal"]
    fewer = replace(given.tokens, manifest=replace(given.tokens.manifest, k=5))
    with pytest.raises(IntegrityError, match=r"have 8 alternatives.*says 5 at most.*label --force"):
        world.learn(models, replace(given, tokens=fewer), world.config_of())
    far = TokenLogprobs(((b"",),), np.zeros((1, 1), np.float32), np.array([[5000]], np.int32))
    beyond = replace(given.tokens, packed=(pack(far),) * len(given))
    with pytest.raises(IntegrityError, match=r"the token 5,000.*label --force"):
        world.learn(models, replace(given, tokens=beyond), world.config_of())


def test_what_is_wanting_is_told(models, signals):
    given = replace(signals["causal"], tokens=None)
    cached = world.config_of(tokens={"source": "cache"})
    with pytest.raises(DataError, match=r"labelling\.signals \[tokens\].*source online"):
        world.learn(models, given, cached)
    with pytest.raises(ConfigError, match=r"teacher\.type local"):
        world.learn(models, given, world.config_of(recipe="on-policy"))
    with pytest.raises(ConfigError, match=r"'seq2seq-teacher' is a seq2seq model.*student\.family seq2seq"):
        config = world.config_of(recipe="on-policy")
        world.learn(models, given, config, teacher=teacher_of(models, "seq2seq"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"recipe": "on-policy", "tokens": {"source": "online"}}, "tokens.source belongs to recipe tokens"),
        ({"tokens": {"student_share": 1.0}}, "tokens.student_share belongs to recipe on-policy"),
        ({"tokens": {"source": "cache"}, "template": "own"}, "Mend: template: teacher"),
        ({"tokens": {"beta": 0.3}}, "tokens.beta is of divergence jensen-shannon, not forward-kl"),
        ({"tokens": {"alpha": 0.3}}, "tokens.alpha is of the skewed divergences"),
        ({"recipe": "sequence", "tokens": {}}, "tokens belongs to recipe tokens or on-policy"),
        ({"family": "encoder", "base": None}, "teaches family causal or seq2seq"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, told):
    with pytest.raises(ValidationError, match=told):
        world.config_of(**{"recipe": "tokens", **given})


@pytest.mark.parametrize(
    "divergence", ["forward-kl", "jensen-shannon", "skewed-kl", "skewed-reverse-kl", "total-variation"]
)
def test_every_divergence_has_its_name(models, signals, divergence):
    config = world.config_of(epochs=1, tokens={"divergence": divergence}, temperature=2.0)
    recipe = world.learn(models, signals["causal"], config).recipe
    assert recipe.loss.divergence == divergence and recipe.loss.temperature == 2.0
    assert type(recipe.loss.kind).__name__.lower() == divergence.replace("-", "")
