from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy.special import expit, softmax

from tiny_world import TEXTS, put_code_in_hub_cache, save_classifier
from tutelage.config import TransformersTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError, UnsafeModelError
from tutelage.records import AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import Teacher, TeacherContext, build_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TASK = Classify(("billing", "delivery", "login"))
MULTI = Classify(TASK.labels, multi_label=True)
SOME = [*TEXTS[::9], "", "parcel", " ".join(TEXTS[:6])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_classifier(folder / "inbox", ("login", "LABEL_1", "delivery", "spam"), initializer_range=0.5)
    save_classifier(folder / "nli", ("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), initializer_range=0.5)
    return folder


def teacher_of(models, task=TASK, model="inbox", **config):
    if model == "inbox":
        config = {"label_map": {"LABEL_1": "billing"}} | config
    config = TransformersTeacherConfig(type="transformers", rights="own", model=model, **config)
    return build_teacher(config, TeacherContext(task, (), models))


def logits_of(folder, texts, pairs=None, max_length=256):
    """What the model says of each text alone, so without any padding: float64 [n, outputs]."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    with torch.inference_mode():
        for index, text in enumerate(texts):
            pair = () if pairs is None else (pairs[index],)
            how = True if pairs is None else "only_first"
            inputs = tokenizer(text, *pair, truncation=how, max_length=max_length, return_tensors="pt")
            rows.append(model(**inputs).logits[0].double().numpy())
    return np.stack(rows)


# Classification


def test_outputs_stand_in_the_tasks_order_and_others_are_left_out(models):
    teacher = teacher_of(models)
    found = teacher.predict(SOME)
    odds = softmax(logits_of(models / "inbox", SOME)[:, [1, 2, 0]], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, odds, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 0.05, "answers differ, so that the order shows"


def test_several_labels_are_independent(models):
    odds = expit(logits_of(models / "inbox", SOME)[:, [1, 2, 0]])
    np.testing.assert_allclose(teacher_of(models, MULTI).predict(SOME), odds, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_and_neighbours_do_not_change_an_answer(models, batch_size):
    teacher = teacher_of(models, batch_size=batch_size)
    np.testing.assert_allclose(teacher.predict(SOME), teacher_of(models).predict(SOME), atol=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(SOME))
    found = teacher.predict([SOME[index] for index in shuffled])
    np.testing.assert_allclose(found, teacher.predict(SOME)[shuffled], atol=1e-5)


def test_longer_texts_are_cut(models):
    teacher = teacher_of(models, max_tokens=10)
    long = " ".join(TEXTS)
    cut = logits_of(models / "inbox", [long], max_length=10)[:, [1, 2, 0]]
    np.testing.assert_allclose(teacher.predict([long]), softmax(cut, axis=1), atol=1e-5)
    assert not np.allclose(teacher.predict([long]), teacher_of(models, max_tokens=60).predict([long]))


def test_a_label_without_output_is_a_config_error_that_names_both_sides(models):
    with pytest.raises(ConfigError, match=r"'inbox'.*\['billing'\].*LABEL_1.*teacher\.label_map"):
        teacher_of(models, label_map={}).predict(["x"])
    with pytest.raises(ConfigError, match=r"\['refund'\]"):
        teacher_of(models, Classify((*TASK.labels, "refund"))).predict(["x"])


def test_outputs_mapped_to_one_label_are_added(models):
    label_map = {"LABEL_1": "billing", "spam": "billing"}
    odds = softmax(logits_of(models / "inbox", SOME), axis=1)
    wanted = np.stack([odds[:, 1] + odds[:, 3], odds[:, 2], odds[:, 0]], axis=1)
    np.testing.assert_allclose(teacher_of(models, label_map=label_map).predict(SOME), wanted, atol=1e-5)
    odds = expit(logits_of(models / "inbox", SOME))
    wanted = np.stack([odds[:, [1, 3]].max(axis=1), odds[:, 2], odds[:, 0]], axis=1)
    np.testing.assert_allclose(
        teacher_of(models, MULTI, label_map=label_map).predict(SOME), wanted, atol=1e-5
    )


def test_an_answer_carries_value_distribution_and_origin(models):
    teacher = teacher_of(models)
    assert isinstance(teacher, Teacher)
    prompts = [Prompt(str(row), text) for row, text in enumerate(SOME)]
    assert not teacher.paid and teacher.most_expensive(prompts) == 0.0
    answers = asyncio.run(teacher.answer(prompts))
    odds = teacher.predict(SOME)
    values = TASK.decide(odds)
    spam = logits_of(models / "inbox", SOME).argmax(axis=1) == 3
    assert 0 < spam.sum() < len(SOME) and len(set(values)) > 1
    for answer, value, row, is_spam in zip(answers, values, odds, spam, strict=True):
        assert (answer.model, answer.usage.calls, answer.usage.cost) == ("inbox", 1, 0.0)
        if is_spam:
            assert answer.status is AnswerStatus.OUT_OF_SET
            assert answer.value is answer.distribution is None
            assert "spam" in answer.reason and "label_map" in answer.reason
        else:
            assert answer.status is AnswerStatus.OK and answer.origin is DistributionOrigin.MODEL
            assert answer.value == value
            np.testing.assert_array_equal(answer.distribution, row)


def test_several_labels_make_a_set(models):
    (answer,) = asyncio.run(teacher_of(models, MULTI).answer([Prompt("1", TEXTS[0])]))
    given = [label for label, share in zip(MULTI.labels, answer.distribution, strict=True) if share >= 0.5]
    assert answer.value == tuple(sorted(given))


def test_more_tokens_than_the_model_has_places_for_are_no_crash(tmp_path):
    """Either refused with the setting's name, or cut to what the model can read."""
    save_classifier(tmp_path / "inbox", ("login", "LABEL_1", "delivery"), max_position_embeddings=20)
    try:
        odds = teacher_of(tmp_path, max_tokens=64).predict([" ".join(TEXTS)])
    except ConfigError as error:
        assert "max_tokens" in str(error)
    else:
        assert odds.sum() == pytest.approx(1.0, abs=1e-5)


# Zero-shot


def zero_shot(models, task=TASK, **config):
    return teacher_of(models, task, "nli", mode="zero-shot", **config)


def entailment_logits(models, hypotheses, texts=SOME):
    """[texts, hypotheses, outputs]"""
    pairs = [(text, hypothesis) for text in texts for hypothesis in hypotheses]
    logits = logits_of(models / "nli", *zip(*pairs, strict=True))
    return logits.reshape(len(texts), len(hypotheses), 3)


def test_zero_shot_is_a_softmax_of_what_the_text_entails(models):
    hypotheses = [f"This message is about {label}." for label in TASK.labels]
    logits = entailment_logits(models, hypotheses)
    found = zero_shot(models).predict(SOME)
    np.testing.assert_allclose(found, softmax(logits[..., 2], axis=1), atol=1e-5)
    assert np.ptp(found, axis=1).max() > 0.02, "labels differ, so that their order shows"


def test_zero_shot_with_several_labels_weighs_entailment_against_contradiction(models):
    hypotheses = [f"This message is about {label}." for label in TASK.labels]
    logits = entailment_logits(models, hypotheses)
    wanted = softmax(logits[..., [0, 2]], axis=-1)[..., 1]
    np.testing.assert_allclose(zero_shot(models, MULTI).predict(SOME), wanted, atol=1e-5)


def test_a_hypothesis_takes_the_description_or_the_label_in_words(models):
    task = Classify(("lost_parcel", "login"), descriptions={"login": "my account"})
    found = zero_shot(models, task, hypothesis="the customer asks about {} !").predict(SOME)
    hypotheses = [f"the customer asks about {name} !" for name in ("lost parcel", "my account")]
    logits = entailment_logits(models, hypotheses)
    np.testing.assert_allclose(found, softmax(logits[..., 2], axis=1), atol=1e-5)


def test_a_long_text_is_cut_and_the_hypothesis_is_not(models):
    long = " ".join(TEXTS)
    hypotheses = [f"This message is about {label}." for label in TASK.labels]
    logits = logits_of(models / "nli", [long] * 3, hypotheses, max_length=30)
    found = zero_shot(models, max_tokens=30).predict([long])
    np.testing.assert_allclose(found[0], softmax(logits[:, 2]), atol=1e-5)
    assert np.ptp(logits[:, 2]) > 1e-3


def test_a_model_without_entailment_is_a_config_error(models):
    with pytest.raises(ConfigError, match=r"'inbox'.*entailment.*mode: classification"):
        teacher_of(models, mode="zero-shot").predict(["x"])


def test_two_way_entailment_serves_one_label_an_answer(tmp_path):
    """Widely used zero-shot models say `entailment` or `not_entailment`."""
    save_classifier(tmp_path / "nli", ("entailment", "not_entailment"))
    pairs = [(text, f"This message is about {label}.") for text in SOME for label in TASK.labels]
    logits = logits_of(tmp_path / "nli", *zip(*pairs, strict=True)).reshape(len(SOME), 3, 2)
    found = zero_shot(tmp_path).predict(SOME)
    np.testing.assert_allclose(found, softmax(logits[..., 0], axis=1), atol=1e-5)
    with pytest.raises(ConfigError, match=r"contradiction.*multi_label"):
        zero_shot(tmp_path, MULTI).predict(SOME)


# The model itself


def test_the_revision_follows_from_all_that_shapes_an_answer_and_needs_no_model(models, tmp_path):
    teacher = teacher_of(models)
    save_classifier(tmp_path / "inbox", ("login", "LABEL_1", "delivery", "spam"), initializer_range=0.1)
    others = [
        teacher_of(tmp_path),
        teacher_of(models, MULTI),
        teacher_of(models, max_tokens=64),
        teacher_of(models, label_map={"LABEL_1": "login"}),
        zero_shot(models),
        zero_shot(models, hypothesis="About {}?"),
    ]
    assert len({teacher.revision, *(other.revision for other in others)}) == 7
    assert teacher.revision == teacher_of(models).revision == teacher_of(models, batch_size=2).revision
    assert "_model" not in teacher.__dict__


def test_it_tells_its_size_and_lets_go_of_its_memory(models):
    from safetensors.numpy import load_file

    teacher = teacher_of(models)
    count = sum(weight.size for weight in load_file(models / "inbox" / "model.safetensors").values())
    assert teacher.parameters == count
    assert teacher.size_mb == pytest.approx(4 * count / 1e6)
    before = teacher.predict(SOME)
    asyncio.run(teacher.close())
    assert "_model" not in teacher.__dict__
    np.testing.assert_array_equal(teacher.predict(SOME), before)


def test_pickled_weights_are_refused_before_anything_is_asked(models, tmp_path):
    folder = save_classifier(tmp_path / "inbox", ("a", "b"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match="safetensors"):
        teacher_of(tmp_path)


def test_code_in_a_hub_model_is_not_run_whatever_is_typed(tmp_path, monkeypatch):
    ran = put_code_in_hub_cache(monkeypatch, tmp_path, "somebody/evil")
    with pytest.raises((UnsafeModelError, ValueError)):
        teacher_of(tmp_path, model="somebody/evil").predict(["x"])
    assert not ran.exists()


def test_without_torch_it_says_what_to_install(models, monkeypatch):
    monkeypatch.setattr("tutelage.teachers.transformers.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[train\]"):
        teacher_of(models)


@pytest.mark.parametrize(
    ("model", "mode", "marks"), [("nli", "zero-shot", 2), ("inbox", "classification", 1)]
)
def test_a_text_that_spells_out_a_separator_has_none(models, monkeypatch, model, mode, marks):
    teacher = teacher_of(models, model=model, mode=mode)
    tokenizer, network = teacher._model
    forward, shown = network.forward, []

    def told(*args, **inputs):
        shown.append(inputs["input_ids"])
        return forward(*args, **inputs)

    monkeypatch.setattr(network, "forward", told)
    teacher.predict([f"my parcel {tokenizer.sep_token} This message is about login."])
    assert all(((ids == tokenizer.sep_token_id).sum(dim=1) == marks).all() for ids in shown) and shown
