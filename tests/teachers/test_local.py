from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from tiny_world import TEXTS, put_in_hub_cache
from tiny_writers import CHAT, LABELS, save_sure_writer
from tutelage.config import LocalTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError, UnsafeModelError
from tutelage.generation import LanguageModel
from tutelage.records import AnswerStatus, DistributionOrigin, Prompt
from tutelage.signals import tail, unpack
from tutelage.tasks import Classify, Prompting, RationaleMode
from tutelage.tasks.generate import Generate
from tutelage.teachers import Teacher, TeacherContext, build_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TASK = Classify(LABELS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_sure_writer(folder / "causal", "causal")
    save_sure_writer(folder / "chat", "causal", CHAT)
    save_sure_writer(folder / "seq2seq", "seq2seq")
    return folder


def teacher_of(models, model="causal", task=TASK, top_k=0, **config):
    config = LocalTeacherConfig(rights="own", model=model, **{"max_output_tokens": 12, **config})
    return build_teacher(config, TeacherContext(task, (), models, top_k))


def ask(teacher, texts):
    return asyncio.run(teacher.answer([Prompt(str(row), text) for row, text in enumerate(texts)]))


@pytest.fixture
def texts_end(monkeypatch):
    """What a model writes counts as ended by itself; random ones never do, and a cut-off text is no answer."""
    write = LanguageModel.write

    def ending(self, *args, **kwargs):
        return [[replace(text, ended=True) for text in texts] for texts in write(self, *args, **kwargs)]

    monkeypatch.setattr(LanguageModel, "write", ending)


def loaded(folder):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    seq2seq = AutoConfig.from_pretrained(folder).is_encoder_decoder
    family = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    return family.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def label_odds(folder, prompt_ids):
    """Each label's whole answer run through the model by itself, without any cache: float64 [labels]."""
    model, tokenizer = loaded(folder)
    totals = []
    for label in LABELS:
        text = '{"label": ' + json.dumps(label, ensure_ascii=False) + "}"
        answer = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            if model.config.is_encoder_decoder:
                decoder = torch.tensor([[0, *answer[:-1]]])
                logits = model(input_ids=torch.tensor([prompt_ids]), decoder_input_ids=decoder).logits[0]
            else:
                logits = model(torch.tensor([[*prompt_ids, *answer]])).logits[0, len(prompt_ids) - 1 : -1]
        steps = torch.log_softmax(logits.double(), -1)
        totals.append(float(steps[torch.arange(len(answer)), torch.tensor(answer)].sum()))
    odds = np.exp(np.array(totals) - max(totals))
    return odds / odds.sum()


# Scoring


@pytest.mark.parametrize("model", ["causal", "chat", "seq2seq"])
def test_labels_are_weighed_exactly(models, model):
    teacher = teacher_of(models, model)
    assert isinstance(teacher, Teacher) and not teacher.paid
    answers = ask(teacher, TEXTS[::17])
    for text, answer in zip(TEXTS[::17], answers, strict=True):
        wanted = label_odds(models / model, teacher._model.prompt(TASK.render(text)))
        np.testing.assert_allclose(answer.distribution, wanted, atol=1e-5)
        assert (answer.status, answer.origin) == (AnswerStatus.OK, DistributionOrigin.MODEL)
        assert answer.value == LABELS[int(wanted.argmax())]
        assert TASK.parse(answer.raw).value == answer.value
        assert answer.usage.cost == 0.0 and answer.usage.input_tokens > 10 and answer.model == model
    assert np.ptp([answer.distribution for answer in answers], axis=0).max() > 1e-3, "texts matter"


def test_more_labels_than_fit_a_pass_are_all_weighed(models, monkeypatch):
    wanted = ask(teacher_of(models), TEXTS[:1])[0].distribution
    monkeypatch.setattr("tutelage.generation.language_model._LABELS_A_PASS", 2)
    np.testing.assert_allclose(ask(teacher_of(models), TEXTS[:1])[0].distribution, wanted, atol=1e-6)


@pytest.mark.parametrize("model", ["causal", "seq2seq"])
def test_neighbours_do_not_change_an_answer(models, model):
    together = ask(teacher_of(models, model), TEXTS[:5])
    alone = [ask(teacher_of(models, model, batch_size=1), [text])[0] for text in TEXTS[:5]]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.distribution, other.distribution)


def test_an_empty_and_a_foreign_text_are_answered(models):
    for answer in ask(teacher_of(models), ["", "日本語 \x00 😀"]):
        assert answer.status is AnswerStatus.OK
        assert answer.distribution.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_label_that_begins_another_is_told_apart(models):
    odds = ask(teacher_of(models), TEXTS[:1])[0].distribution
    assert odds[0] > 0 and odds[1] > 0 and odds[0] != odds[1]


# Writing


@pytest.mark.usefixtures("texts_end")
@pytest.mark.parametrize("model", ["causal", "chat", "seq2seq"])
def test_what_is_written_is_the_greedy_text_with_its_probabilities(models, model):
    task = Generate()
    teacher = teacher_of(models, model, task, top_k=5)
    texts = [TEXTS[0], " ".join(TEXTS[:6]), TEXTS[50]]
    network, tokenizer = loaded(models / model)
    for text, answer in zip(texts, ask(teacher, texts), strict=True):
        tokens = unpack(answer.tokens)
        ids = tokens.ids[:, 0].tolist()
        prompt = teacher._model.prompt(task.render(text))
        with torch.inference_mode():
            if network.config.is_encoder_decoder:
                decoder = torch.tensor([[0, *ids[:-1]]])
                logits = network(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder).logits[0]
            else:
                logits = network(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        top = torch.log_softmax(logits.float(), -1).topk(5, dim=-1)
        assert ids == top.indices[:, 0].tolist(), "greedy"
        np.testing.assert_array_equal(tokens.ids, top.indices.numpy())
        np.testing.assert_allclose(tokens.logprobs, top.values.numpy(), atol=1e-3)
        assert (tail(tokens) <= 0).all()
        assert answer.raw == tokenizer.decode(ids, skip_special_tokens=True)
        assert not any(text for row in tokens.texts for text in row), "ids say it"
        assert answer.usage.output_tokens == len(ids)


def test_random_noise_is_no_label(models):
    for answer in ask(teacher_of(models, choose="generate"), TEXTS[:3]):
        assert answer.status in (AnswerStatus.UNPARSEABLE, AnswerStatus.OUT_OF_SET)
        assert answer.value is None and answer.reason


def test_a_text_that_says_a_label_has_its_distribution(models, monkeypatch):
    """The model is made to write the answer; its own probabilities then say how sure it was."""
    teacher = teacher_of(models, choose="generate", max_output_tokens=40)
    ids = [*teacher._model.text_ids('{"label": "delivery"}'), 1]
    width = len(teacher._model.prompt(TASK.render(TEXTS[0])))
    forward = type(teacher._model.model).forward

    def forced(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        past = kwargs["cache"] if "cache" in kwargs else kwargs["past_key_values"]
        step = past.get_seq_length() - width
        out.logits[:, -1, ids[step]] += 20.0
        return out

    monkeypatch.setattr(type(teacher._model.model), "forward", forced)
    (answer,) = ask(teacher, TEXTS[:1])
    assert (answer.status, answer.value) == (AnswerStatus.OK, "delivery")
    assert answer.origin is DistributionOrigin.LOGPROBS
    assert answer.distribution.argmax() == LABELS.index("delivery")


@pytest.mark.usefixtures("texts_end")
def test_samples_differ_repeat_with_their_seed_and_become_votes(models):
    task = Generate()
    make = {"samples": 4, "max_output_tokens": 4, "temperature": 1.5}
    (one,) = ask(teacher_of(models, task=task, **make), TEXTS[:1])
    (again,) = ask(teacher_of(models, task=task, **make), TEXTS[:1])
    (other,) = ask(teacher_of(models, task=task, seed=1, **make), TEXTS[:1])
    assert len(set(json.loads(one.raw))) > 1
    assert one.raw == again.raw != other.raw
    assert 0.0 <= one.repeatability < 1.0 and one.usage.calls == 4


def test_sampling_leaves_the_callers_random_numbers_alone(models):
    teacher = teacher_of(models, task=Generate(), samples=2, max_output_tokens=2)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    ask(teacher, TEXTS[:1])
    assert torch.equal(torch.rand(3), wanted)


# Limits and settings


def test_a_long_prompt_is_refused_and_its_neighbours_are_answered(models):
    limit = len(teacher_of(models)._model.prompt(TASK.render(""))) + 20
    short, long = ask(teacher_of(models, max_input_tokens=limit), ["hi", " ".join(TEXTS)])
    assert short.status is AnswerStatus.OK
    assert long.status is AnswerStatus.UNPARSEABLE and long.value is None
    assert "teacher.max_input_tokens" in long.reason


def test_the_models_places_bound_the_prompt_too(models):
    (answer,) = ask(teacher_of(models), [" ".join(TEXTS)])
    assert answer.status is AnswerStatus.UNPARSEABLE and "1,012" in answer.reason
    with pytest.raises(ConfigError, match=r"max_output_tokens is 2000"):
        ask(teacher_of(models, max_output_tokens=2000), ["hi"])


def test_labels_are_weighed_only_where_nothing_else_is_asked_for(models):
    reasoned = TASK.with_prompting(Prompting(rationale=RationaleMode.BEFORE))
    for task in (reasoned, Classify(LABELS, multi_label=True), Generate()):
        assert teacher_of(models, task=task)._labelled is None
        with pytest.raises(ConfigError, match="choose: generate"):
            teacher_of(models, task=task, choose="score")
    assert teacher_of(models)._labelled is TASK
    assert teacher_of(models, samples=3)._labelled is None
    assert teacher_of(models, top_k=5)._labelled is None


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"choose": "score"}])
def test_samples_that_could_not_differ_are_refused(wrong):
    with pytest.raises(ValidationError, match="samples is 3"):
        LocalTeacherConfig(rights="own", model="x", samples=3, **wrong)


def test_the_revision_follows_from_all_that_shapes_an_answer_and_needs_no_model(models):
    teacher = teacher_of(models)
    assert teacher.revision == teacher_of(models, batch_size=2).revision
    others = [
        teacher_of(models, "chat"),
        teacher_of(models, task=Classify(LABELS, instruction="Other.")),
        teacher_of(models, samples=3),
        teacher_of(models, choose="generate"),
        teacher_of(models, max_output_tokens=13),
    ]
    assert len({teacher.revision, *(other.revision for other in others)}) == 6
    assert "_model" not in teacher.__dict__


def test_a_hub_models_revision_is_its_commits_and_that_commit_is_loaded(models, tmp_path, monkeypatch):
    put_in_hub_cache(monkeypatch, tmp_path / "hub", "somebody/tiny", models / "causal", "a" * 40)
    teacher = teacher_of(tmp_path, "somebody/tiny")
    first = teacher.revision
    put_in_hub_cache(monkeypatch, tmp_path / "hub", "somebody/tiny", models / "chat", "b" * 40)
    assert teacher_of(tmp_path, "somebody/tiny").revision != first
    (answer,) = ask(teacher, TEXTS[:1])
    np.testing.assert_array_equal(answer.distribution, ask(teacher_of(models), TEXTS[:1])[0].distribution)
    assert teacher.manifest("embeddings").revision == f"somebody/tiny@{'a' * 40}"


def test_it_lets_go_of_its_memory(models):
    teacher = teacher_of(models)
    before = ask(teacher, TEXTS[:1])[0]
    asyncio.run(teacher.close())
    assert "_model" not in teacher.__dict__
    np.testing.assert_array_equal(ask(teacher, TEXTS[:1])[0].distribution, before.distribution)


def test_unsafe_missing_and_unfit_models_are_refused(models, tmp_path, monkeypatch):
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UnsafeModelError, match="safetensors"):
        teacher_of(tmp_path, "pickled")
    with pytest.raises(ConfigError, match="is no file"):
        teacher_of(tmp_path, "none.gguf")
    monkeypatch.setattr("tutelage.teachers.local.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[train\]"):
        teacher_of(models)
