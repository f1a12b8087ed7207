"""Students that write: how they're made of a base, what they answer, and what lies on disk."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from stepping import step

from tiny_world import TEXTS, put_code_in_hub_cache, save_checkpoint, save_writer
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.errors import ConfigError, DataError, IntegrityError, UnsafeModelError
from tutelage.records import AnswerStatus, Fields
from tutelage.students import Student, Writer, load_student, new_writing_learner
from tutelage.tasks import Classify, Extract, Generate, Judge, RationaleMode

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

LABELS = Classify(("billing", "billing other", "delivery", "login"))
RECORD = Extract({"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]})
FAMILIES = {"causal": ("llama", "gpt2"), "seq2seq": ("t5", "bart")}
KINDS = [(family, kind) for family, kinds in FAMILIES.items() for kind in kinds]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    corpus = [*TEXTS, '{"what": "parcel"}', "Answer: Reasons:"] * 3
    for _, kind in KINDS:
        save_writer(folder / kind, kind, layers=4, corpus=corpus)
    return folder


def learner_of(models, family="causal", kind=None, task=LABELS, form=None, **config):
    config = StudentConfig(family=family, base=kind or FAMILIES[family][0], **config)
    return new_writing_learner(config, task, models, **(form or {}))


def oracle(student, text, label, said=()):
    """The log-likelihood of a label's whole answer, run by itself without any cache."""
    codec, model = student._codec, student._model.model
    prompt = codec.prompt(text, 200)
    answer = [*said, *codec.labels[student.labels.index(label)]]
    with torch.inference_mode():
        if student.family == "seq2seq":
            start = model.config.decoder_start_token_id
            logits = model(
                input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[start, *answer[:-1]]])
            ).logits[0]
        else:
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    steps = torch.log_softmax(logits.double(), -1)[torch.arange(len(answer)), torch.tensor(answer)]
    return float(steps[len(said) :].sum())


# Where it starts


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_all_layers_of_the_base_are_taken_by_default(models, family, kind):
    from safetensors.torch import load_file

    module = learner_of(models, family, kind).module
    weights = load_file(models / kind / "model.safetensors")
    for name, weight in weights.items():
        assert torch.equal(module.state_dict()[name], weight), name


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_a_cut_student_has_the_layers_it_was_given_and_works(models, family, kind):
    whole, cut = (learner_of(models, family, kind, layers=layers) for layers in (4, 3))
    before, after = whole.module.state_dict(), cut.module.state_dict()
    stacks = {"llama": ["model.layers"], "gpt2": ["transformer.h"], "t5": ["encoder.block", "decoder.block"]}
    for stack in stacks.get(kind, ["model.encoder.layers", "model.decoder.layers"]):
        rows = {name for name in after if name.startswith(f"{stack}.")}
        assert {name.removeprefix(f"{stack}.").split(".")[0] for name in rows} == {"0", "1", "2"}
        for name in rows:
            number, rest = name.removeprefix(f"{stack}.").split(".", 1)
            old = [0, 2, 3][int(number)]  # 1.5 is rounded to the even
            assert torch.equal(after[name], before[f"{stack}.{old}.{rest}"]), name
    student = cut.finished()
    assert np.isfinite(student.predict(TEXTS[:2])).all()
    assert cut.finished().write(TEXTS[:2]) == student.write(TEXTS[:2])


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_a_student_of_its_own_shape_is_random_and_follows_its_seed(models, tmp_path, family, kind):
    shutil.copytree(models / kind, tmp_path / kind)
    (tmp_path / kind / "model.safetensors").unlink()  # only configuration and tokenizer are read
    own = {"layers": 2, "hidden_size": 48, "heads": 6, "intermediate_size": 96}
    first, same, other = (learner_of(tmp_path, family, kind, seed=seed, **own) for seed in (1, 1, 2))
    shapes = {tuple(weight.shape) for weight in first.module.state_dict().values()}
    assert (48, 96) in shapes and (48, 48) in shapes and not any(32 in shape for shape in shapes)
    pairs = zip(first.module.parameters(), same.module.parameters(), other.module.parameters(), strict=True)
    equal = [(torch.equal(a, b), torch.equal(a, c)) for a, b, c in pairs]
    assert all(one for one, _ in equal) and not all(two for _, two in equal)
    assert np.isfinite(first.finished().predict(TEXTS[:2])).all()


def test_bases_of_another_family_and_too_many_layers_are_refused(models, tmp_path):
    with pytest.raises(ConfigError, match=r"'t5' is a model of family seq2seq.*student.family seq2seq"):
        learner_of(models, "causal", "t5")
    with pytest.raises(ConfigError, match=r"'llama' is a model of family causal"):
        learner_of(models, "seq2seq", "llama")
    with pytest.raises(ConfigError, match=r"student.layers is 5, and 't5' has 4"):
        learner_of(models, "seq2seq", "t5", layers=5)
    with pytest.raises(ConfigError, match=r"student.base 'none.gguf': .* is no file"):
        learner_of(models, "causal", "none.gguf")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UnsafeModelError, match="safetensors"):
        learner_of(tmp_path, "causal", "pickled")


def test_code_in_a_hub_model_is_not_run_whatever_is_typed(tmp_path, monkeypatch):
    ran = put_code_in_hub_cache(monkeypatch, tmp_path, "somebody/evil")
    with pytest.raises((UnsafeModelError, ValueError)):
        learner_of(tmp_path, "causal", "somebody/evil")
    assert not ran.exists()


# Labels


@pytest.mark.parametrize(("family", "kind"), KINDS)
@pytest.mark.parametrize("mode", list(RationaleMode))
def test_labels_are_weighed_exactly(models, family, kind, mode):
    student = learner_of(models, family, kind, form={"rationale": mode}, max_answer_tokens=24).finished()
    texts = [TEXTS[0], "", "😀 </s>", " ".join(TEXTS)]
    found = student.predict(texts)
    for text, row in zip(texts, found, strict=True):
        (said,) = student._reasons([text])
        assert bool(said) == (mode is RationaleMode.BEFORE)
        logs = np.array([oracle(student, text, label, said) for label in LABELS.labels])
        wanted = logs - logs.max() - np.log(np.exp(logs - logs.max()).sum())
        np.testing.assert_allclose(np.log(row), wanted, atol=1e-3)
    assert found.dtype == np.float32 and np.ptp(np.log(found), axis=0).max() > 1e-2
    np.testing.assert_array_equal(found[1], student.predict([""])[0])
    assert student.predict([]).shape == (0, 4)
    assert isinstance(student, Writer)
    is_student: Student = student
    assert is_student.labels == LABELS.labels


def test_the_teachers_template_weighs_what_the_teacher_weighs(models):
    """Within what an end adds: the label's JSON, as `generation` scores it for teachers."""
    student = learner_of(models, template="teacher").finished()
    model = student._model
    for text in TEXTS[:3]:
        prompt = model.prompt(LABELS.render(text))
        answers = [[*model.text_ids(LABELS.answer_text(label)), 1] for label in LABELS.labels]
        logs = model.weigh(prompt, answers)
        odds = np.exp(logs - logs.max())
        np.testing.assert_allclose(student.predict([text])[0], odds / odds.sum(), atol=2e-5)


def test_scores_and_verdicts_are_labels_too(models):
    task = Judge(("1", "2", "3"), "Is it kind?", scored=True)
    student = learner_of(models, task=task).finished()
    found = student.answers(TEXTS[:5], task)
    assert [parsed.value for parsed in found] == task.decide(student.predict(TEXTS[:5]))
    assert {parsed.status for parsed in found} == {AnswerStatus.OK}


# Writing


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_what_is_written_is_the_greedy_text_whatever_its_neighbours(models, family, kind):
    student = learner_of(models, family, kind, Generate()).finished()
    texts = [TEXTS[0], " ".join(TEXTS[:6]), "!", ""]
    together = student.write(texts, max_new_tokens=6)
    model = student._model.model
    for text, written in zip(texts, together, strict=True):
        prompt, ids = student._codec.prompt(text, 200), list(written.tokens)
        with torch.inference_mode():
            if family == "seq2seq":
                start = torch.tensor([[model.config.decoder_start_token_id, *ids[:-1]]])
                logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=start).logits[0]
            else:
                logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        steps = torch.log_softmax(logits.float(), -1)
        assert ids == steps.argmax(-1).tolist()
        assert written.confidence == pytest.approx(float(steps.max(-1).values.mean()), abs=1e-4)
        assert written.ended == (ids[-1] == 1) and len(ids) <= 6


def test_a_bases_own_settings_do_not_change_what_is_written(models):
    """Hub models come with penalties, beams and forced tokens; what is written is the distribution's."""
    student = learner_of(models, task=Generate()).finished()
    before = student.write(TEXTS[:4], max_new_tokens=8)
    own = student._model.model.generation_config
    own.repetition_penalty, own.no_repeat_ngram_size, own.forced_eos_token_id = 9.0, 1, 3
    assert student.write(TEXTS[:4], max_new_tokens=8) == before
    assert student._model.model.generation_config is own


def test_samples_differ_and_repeat_with_their_seed(models):
    student = learner_of(models, task=Generate()).finished()
    make = {"samples": 3, "temperature": 1.5, "max_new_tokens": 5}
    one, again, other = (student.sample(TEXTS[:3], seed=seed, **make) for seed in (7, 7, 8))
    assert one == again != other
    assert [len(texts) for texts in one] == [3, 3, 3] and len(set(one[0])) > 1
    with pytest.raises(ValueError, match="temperature is 0"):
        student.sample(TEXTS[:1], samples=2, temperature=0.0, seed=0)


def test_random_noise_is_no_answer_and_counted_so(models):
    for task in (RECORD, Generate(max_characters=1)):
        found = learner_of(models, task=task).finished().answers(TEXTS[:3], task)
        assert all(parsed.status is AnswerStatus.UNPARSEABLE and parsed.reason for parsed in found)


def test_one_text_is_no_list_and_open_values_are_not_weighed(models):
    student = learner_of(models, task=RECORD).finished()
    assert student.labels == ()
    with pytest.raises(TypeError, match="list of texts"):
        student.write("parcel")
    with pytest.raises(TypeError, match="open values"):
        student.predict(["parcel"])


# Learning


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", [LABELS, RECORD, Generate()])
def test_it_learns_to_answer(models, family, task):
    values = {
        "classify": ["delivery", "login"],
        "extract": [Fields({"what": "parcel"}), Fields({"what": "code"})],
        "generate": ["my parcel", "your account code"],
    }[task.kind]
    learner = learner_of(models, family, task=task, layers=2)
    encoded = learner.encode(["the parcel !", "code again"], values)
    losses = [step(learner, encoded) for _ in range(80)]
    assert losses[-1] < 0.1 < losses[0]
    student = learner.finished()
    assert [parsed.value for parsed in student.answers(["the parcel !", "code again"], task)] == values
    before = student.write(["code again"])
    step(learner, encoded, rate=0.5)
    assert student.write(["code again"]) == before, "a finished student doesn't learn on"


def test_reasons_are_learned_and_said_before_the_label(models):
    learner = learner_of(models, form={"rationale": RationaleMode.BEFORE})
    encoded = learner.encode(["the parcel !", "code again"], ["delivery", "login"], ["a parcel", "a code"])
    for _ in range(80):
        step(learner, encoded)
    student = learner.finished()
    assert student.predict(["the parcel !"])[0].argmax() == LABELS.labels.index("delivery")
    (parsed,) = student.answers(["code again"], LABELS)
    assert (parsed.value, parsed.rationale) == ("login", "a code")


def test_it_may_write_a_quarter_more_than_the_longest_answer(models):
    learner = learner_of(models, task=Generate())
    encoded = learner.encode(["a"], ["x" * 40])
    assert learner.finished()._limits.answer == int(np.ceil(1.25 * len(encoded.pairs[0].answer)))
    fixed = learner_of(models, task=Generate(), max_answer_tokens=3)
    fixed.encode(["a"], ["x" * 40])
    assert len(fixed.finished().write(["a"])[0].tokens) <= 3


def test_another_tasks_texts_have_a_prefix_of_their_own(models):
    learner = learner_of(models, "seq2seq", form={"prefix": "[label] "})
    decode = learner.codec.model.decode
    (label,) = learner.encode(["code"], ["login"]).pairs
    (reason,) = learner.encode_texts(["code"], ["it is a code"], "[rationale] ").pairs
    assert (decode(label.prompt), decode(label.answer)) == ("[label] code", "login")
    assert (decode(reason.prompt), decode(reason.answer)) == ("[rationale] code", "it is a code")


def test_a_tokenizer_that_cannot_write_the_answers_is_refused(models, tmp_path):
    from tokenizers import Tokenizer, decoders, models as kinds, pre_tokenizers  # noqa: I001
    from transformers import PreTrainedTokenizerFast

    shutil.copytree(models / "t5", tmp_path / "words")
    vocabulary = {
        word: row for row, word in enumerate(["<pad>", "</s>", "<unk>", "what", "parcel", ":", '"'])
    }
    made = Tokenizer(kinds.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.Fuse()
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **marks).save_pretrained(tmp_path / "words")
    learner = learner_of(tmp_path, "seq2seq", "words", RECORD)
    with pytest.raises(DataError, match="can't write 2 of 2 answers"):
        learner.encode(["a", "b"], [Fields({"what": "parcel"})] * 2)
    with pytest.raises(ConfigError, match="labels apart"):
        learner_of(tmp_path, "seq2seq", "words", LABELS)


# On disk


@pytest.mark.parametrize(("family", "kind"), KINDS)
@pytest.mark.parametrize("task", [LABELS, RECORD])
def test_it_is_the_same_again_from_disk(models, tmp_path, family, kind, task):
    student = learner_of(models, family, kind, task, layers=2).finished()
    student.save(tmp_path)
    again = load_student(tmp_path)
    assert (again.family, again.labels, again.multi_label) == (family, student.labels, False)
    assert again.form == student.form and again.parameters == student.parameters
    assert again.write(TEXTS[:4]) == student.write(TEXTS[:4])
    if task is LABELS:
        assert again.predict(TEXTS[:4]).tobytes() == student.predict(TEXTS[:4]).tobytes()
    assert not list(tmp_path.glob("*.bin")) and not list(tmp_path.glob("*.pt"))
    about = storage.read_json(tmp_path / "student.json")
    assert set(about["files"]) >= {"model.safetensors", "config.json", "tokenizer.json"}


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"]
)
def test_a_changed_file_is_an_integrity_error(models, tmp_path, name):
    learner_of(models).finished().save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[-20] ^= 0x40
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        load_student(tmp_path)


def test_an_encoder_is_no_base(tmp_path):
    save_checkpoint(tmp_path / "bert")
    for layers in ({}, {"layers": 2}):
        with pytest.raises(ConfigError, match="'bert' is a model of family encoder"):
            learner_of(tmp_path, "causal", "bert", **layers)


def test_layers_that_are_not_known_are_refused(tmp_path):
    save_writer(tmp_path / "mpt", "mpt")
    assert np.isfinite(learner_of(tmp_path, "causal", "mpt").finished().predict(TEXTS[:1])).all()
    with pytest.raises(ConfigError, match="doesn't know how to take"):
        learner_of(tmp_path, "causal", "mpt", layers=1)
