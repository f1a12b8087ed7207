from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from tiny_world import MULTI, TASK, TEXTS, TRUTH, put_code_in_hub_cache, put_in_hub_cache, save_checkpoint
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.errors import ConfigError, IntegrityError, UnsafeModelError
from tutelage.students import load_student

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

LONG = " ".join(TEXTS)
ALL = np.arange(len(TEXTS))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("base"), layers=4)


def learner_of(base, task=TASK, **config):
    from tutelage.students.encoder import EncoderLearner

    config = {"layers": 2} | config
    return EncoderLearner(StudentConfig(family="encoder", base=str(base), **config), task, base.parent)


def step(learner, rate=0.01):
    """One step on a few messages, as the trainer makes it."""
    batch = np.arange(0, len(TEXTS), 10)
    learner.module.train()
    optimizer = learner.optimizer(learner.module, rate)
    logits = learner.module(**learner.examples(TEXTS).batch(batch))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(TRUTH[batch])).backward()
    optimizer.step()
    return logits


def weights_of(learner):
    return {name: weight.detach().clone() for name, weight in learner.module.named_parameters()}


# Which layers


def test_the_student_starts_as_those_layers_of_its_base(base):
    from safetensors.torch import load_file

    weights = load_file(base / "model.safetensors")
    body = learner_of(base, layers=3).module.body.state_dict()
    assert {name.split(".")[2] for name in body if name.startswith("encoder.layer.")} == {"0", "1", "2"}
    for name, weight in body.items():
        parts = name.split(".")
        if parts[:2] == ["encoder", "layer"]:
            parts[2] = str([0, 2, 3][int(parts[2])])  # 1.5 is rounded to the even
        assert torch.equal(weight, weights[".".join(parts)]), name


def test_more_layers_than_the_base_has_are_a_config_error(base):
    with pytest.raises(ConfigError, match=r"student\.layers is 5, and .* has 4"):
        learner_of(base, layers=5)


def test_a_body_whose_layers_nobody_knows_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"student\.base .* AlbertModel.*Mend: use a BERT"):
        learner_of(save_checkpoint(tmp_path, "albert"))


@pytest.mark.parametrize(
    "kind", ["bert", "distilbert", "roberta", "mpnet", "electra", "xlm-roberta", "camembert", "deberta-v2"]
)
def test_every_such_body_learns_saves_and_loads(tmp_path, kind):
    learner = learner_of(save_checkpoint(tmp_path / "base", kind))
    before = weights_of(learner)
    step(learner)
    moved = {name for name, weight in weights_of(learner).items() if not torch.equal(weight, before[name])}
    assert any(".layer.0." in name for name in moved) and any(".layer.1." in name for name in moved)
    student = learner.finished()
    (tmp_path / "student").mkdir()
    student.save(tmp_path / "student")
    shutil.rmtree(tmp_path / "base")
    loaded = load_student(tmp_path / "student")
    assert loaded.predict(TEXTS).tobytes() == student.predict(TEXTS).tobytes()
    assert loaded.parameters == student.parameters


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_base_in_half_precision_learns_in_full(tmp_path, dtype):
    learner = learner_of(save_checkpoint(tmp_path / "base", dtype=getattr(torch, dtype)))
    step(learner)
    assert {weight.dtype for weight in learner.module.parameters()} == {torch.float32}
    student = learner.finished()
    (tmp_path / "student").mkdir()
    student.save(tmp_path / "student")
    assert load_student(tmp_path / "student").predict(TEXTS).tobytes() == student.predict(TEXTS).tobytes()


@pytest.mark.parametrize("shape", [{}, {"hidden_size": 64, "heads": 2, "intermediate_size": 128}])
def test_a_student_of_a_hub_model_loads_again(base, tmp_path, monkeypatch, shape):
    from tutelage.students.encoder import EncoderLearner

    put_in_hub_cache(monkeypatch, tmp_path / "hub", "somebody/tiny", base)
    config = StudentConfig(family="encoder", base="somebody/tiny", layers=2, **shape)
    student = EncoderLearner(config, TASK, tmp_path).finished()
    student.save(tmp_path)
    assert load_student(tmp_path).predict(TEXTS).tobytes() == student.predict(TEXTS).tobytes()


def test_code_in_a_hub_model_is_not_run_whatever_is_typed(tmp_path, monkeypatch):
    from tutelage.students.encoder import EncoderLearner

    ran = put_code_in_hub_cache(monkeypatch, tmp_path, "somebody/evil")
    with pytest.raises((UnsafeModelError, ValueError)):
        EncoderLearner(StudentConfig(family="encoder", base="somebody/evil"), TASK, tmp_path)
    assert not ran.exists()


# A shape of its own


def test_a_student_of_its_own_shape(base):
    own = {"layers": 2, "hidden_size": 64, "heads": 2, "intermediate_size": 128}
    learner = learner_of(base, **own, seed=4)
    shape = learner.module.body.config
    assert (shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads) == (2, 64, 2)
    weights = weights_of(learner)
    assert weights["body.encoder.layer.1.intermediate.dense.weight"].shape == (128, 64)
    assert weights["head.weight"].shape == (3, 64)
    words = "body.embeddings.word_embeddings.weight"
    step(learner)
    assert not torch.equal(weights_of(learner)[words], weights[words]), "random embeddings have to learn"
    same, other = (weights_of(learner_of(base, **own, seed=seed)) for seed in (4, 5))
    assert all(torch.equal(same[name], weights[name]) for name in weights)
    assert not torch.equal(other[words], weights[words])


def embeddings_of(model):
    return model.get_input_embeddings().weight.detach()


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet"])
def test_a_narrower_student_begins_with_what_its_base_makes_of_tokens(tmp_path, kind):
    """Eckart and Young: no other 24 dimensions keep as much of the tokens' products with one another."""
    from tutelage.students.bodies import load_body

    theirs = embeddings_of(load_body(str(save_checkpoint(tmp_path, kind))))
    ours = embeddings_of(learner_of(tmp_path, hidden_size=24, heads=2, intermediate_size=32).body)
    best = torch.linalg.svd(theirs.double(), full_matrices=False)
    kept = best.U[:, :24] * best.S[:24]
    torch.testing.assert_close(ours.double() @ ours.double().T, kept @ kept.T, atol=1e-5, rtol=1e-4)
    same = embeddings_of(learner_of(tmp_path, hidden_size=32, heads=2, intermediate_size=48).body)
    assert torch.equal(same, theirs), "of the base's width they are the base's"


def test_places_are_on_the_same_axes_as_tokens(base):
    """So that a token's products with its place are those of the base, as far as the axes reach."""
    from tutelage.students.bodies import load_body

    def sides(body):
        parts = body.embeddings
        return parts.word_embeddings.weight.detach(), parts.position_embeddings.weight.detach()

    narrow = learner_of(base, hidden_size=24, heads=2, intermediate_size=32).body
    (tokens, places), (theirs, wide) = sides(narrow), sides(load_body(str(base)))
    axes = torch.linalg.svd(theirs.double(), full_matrices=False).Vh[:24].T
    wanted = theirs.double() @ axes @ axes.T @ wide.double().T
    torch.testing.assert_close(tokens.double() @ places.double().T, wanted, atol=1e-5, rtol=1e-4)


def test_a_wider_student_has_embeddings_of_its_own(base):
    own = {"hidden_size": 64, "heads": 2, "intermediate_size": 128}
    ours, other = (embeddings_of(learner_of(base, **own, seed=seed).body) for seed in (0, 1))
    assert ours.shape[1] == 64 and not torch.equal(ours, other)


def test_its_own_shape_holds_for_names_that_differ(tmp_path):
    """DistilBERT calls the feed-forward width `hidden_dim`."""
    learner = learner_of(
        save_checkpoint(tmp_path, "distilbert"), hidden_size=64, heads=2, intermediate_size=128
    )
    shapes = {tuple(weight.shape) for name, weight in weights_of(learner).items() if ".ffn." in name}
    assert (128, 64) in shapes


def test_a_student_of_its_own_shape_is_not_warmed_up(base):
    learner = learner_of(base, hidden_size=16, heads=2, intermediate_size=32)
    before = weights_of(learner)
    learner.warm_up(learner.examples(TEXTS), TRUTH)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(learner).items())


# Answers


@pytest.mark.parametrize("task", [TASK, MULTI])
def test_padding_and_neighbours_do_not_change_an_answer(base, task):
    student = learner_of(base, task, max_tokens=60).finished()
    texts = [*TEXTS, "", "parcel", LONG, "😀 東京"]
    together = student.predict(texts)
    alone = np.concatenate([student.predict([text]) for text in texts])
    assert together.shape == (len(texts), 3) and together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)
    backwards = student.predict(texts[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-6)
    assert len(np.unique(together.round(5), axis=0)) > len(TEXTS) / 2
    assert student.predict([]).shape == (0, 3)


@pytest.mark.parametrize("task", [TASK, MULTI])
def test_answers_are_those_of_the_network(base, task):
    learner = learner_of(base, task)
    with torch.no_grad():
        learner.module.head.weight *= 20
        learner.module.eval()
        logits = learner.module(**learner.examples(TEXTS).batch(ALL)).double().numpy()
    wanted = expit(logits) if task.multi_label else softmax(logits, axis=-1)
    np.testing.assert_allclose(learner.finished().predict(TEXTS), wanted, atol=1e-6)


def test_the_head_reads_the_mean_of_the_tokens_at_length_one(base):
    from transformers import AutoModel, AutoTokenizer

    learner = learner_of(base, layers=4)
    learner.module.eval()
    encoded = learner.examples(["my parcel", LONG])
    with torch.no_grad():
        found = learner.module.embed(**encoded.batch(np.arange(2)))[0].numpy()
        inputs = AutoTokenizer.from_pretrained(base)("my parcel", return_tensors="pt")
        hidden = AutoModel.from_pretrained(base).eval()(**inputs).last_hidden_state[0].double().numpy()
    mean = hidden.mean(axis=0)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


def test_longer_texts_are_cut(base):
    learner = learner_of(base, max_tokens=12)
    assert learner.examples([LONG, "my parcel"]).lengths.tolist() == [12, 4]
    student = learner.finished()
    ten_words = " ".join(LONG.split()[:10])
    np.testing.assert_allclose(student.predict([LONG]), student.predict([ten_words]), atol=1e-7)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "mpnet", "electra", "camembert"])
def test_texts_are_cut_to_what_the_base_has_places_for(tmp_path, kind):
    base = save_checkpoint(tmp_path, kind, max_position_embeddings=20)
    learner = learner_of(base, max_tokens=64)
    (length,) = learner.examples([LONG]).lengths
    assert length == (18 if kind in {"roberta", "mpnet", "camembert"} else 20)
    assert np.isfinite(learner.finished().predict([LONG])).all()


def test_a_finished_student_does_not_learn_on(base):
    learner = learner_of(base)
    student = learner.finished()
    before = student.predict(TEXTS)
    step(learner, rate=0.1)
    assert student.predict(TEXTS).tobytes() == before.tobytes()
    assert not np.allclose(learner.finished().predict(TEXTS), before, atol=1e-3)


# Learning


def test_embeddings_of_words_are_frozen_and_the_rest_learns(base):
    learner = learner_of(base)
    before = weights_of(learner)
    step(learner)
    after = weights_of(learner)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {"body.embeddings.word_embeddings.weight"}


def test_each_weight_that_learns_has_one_rate(base):
    learner = learner_of(base)
    optimizer = learner.optimizer(learner.module, 1e-3)
    names = {id(weight): name for name, weight in learner.module.named_parameters() if weight.requires_grad}
    groups = [
        ({names[id(w)] for w in g["params"]}, g["lr"], g["weight_decay"]) for g in optimizer.param_groups
    ]
    assert sorted(name for group, _, _ in groups for name in group) == sorted(names.values())
    for group, rate, decay in groups:
        is_head = {name.startswith("head.") for name in group}
        assert len(is_head) == 1
        assert rate == pytest.approx(7e-3 if is_head == {True} else 1e-3)
        if decay:
            assert not any("bias" in name or "LayerNorm" in name for name in group)


def test_warm_up_fits_the_head_and_nothing_else(base):
    learner = learner_of(base)
    before, cold = weights_of(learner), learner.finished().predict(TEXTS)
    encoded = learner.examples(TEXTS)
    learner.warm_up(encoded, TRUTH)
    after, warm = weights_of(learner), learner.finished().predict(TEXTS)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"head.weight", "head.bias"}
    truth = TRUTH.argmax(axis=1)
    assert accuracy_score(truth, warm.argmax(axis=1)) > accuracy_score(truth, cold.argmax(axis=1)) + 0.2
    assert log_loss(truth, warm) < log_loss(truth, cold) - 0.1
    with torch.no_grad():
        embeddings = learner.module.eval().embed(**encoded.batch(ALL)).numpy()
    oracle = LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000).fit(embeddings, truth)
    np.testing.assert_allclose(warm, oracle.predict_proba(embeddings), atol=5e-3)


def test_warm_up_takes_distributions_and_several_labels(base):
    learner = learner_of(base, MULTI)
    targets = (0.8 * TRUTH + 0.1).astype(np.float32)
    learner.warm_up(learner.examples(TEXTS), targets)
    warm = learner.finished().predict(TEXTS)
    np.testing.assert_allclose(warm.mean(axis=0), targets.mean(axis=0), atol=0.01)
    assert warm[TRUTH > 0].mean() > warm[TRUTH == 0].mean() + 0.03


# On disk


def _saved(base, folder):
    student = learner_of(base).finished()
    student.save(folder)
    return folder


def test_what_was_saved_is_a_model_that_transformers_opens(base, tmp_path):
    from transformers import AutoTokenizer

    about = storage.read_json(_saved(base, tmp_path) / "student.json")
    told = {"family": "encoder", "labels": list(TASK.labels), "multi_label": False, "max_tokens": 128}
    assert about.items() >= told.items()
    ids = AutoTokenizer.from_pretrained(tmp_path)("my parcel")["input_ids"]
    assert ids == AutoTokenizer.from_pretrained(base)("my parcel")["input_ids"]
    assert not list(tmp_path.glob("*.bin")) and not list(tmp_path.glob("*.pt"))


def _halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _remove(path):
    path.unlink()


def _overwrite(path):
    path.write_bytes(b"\xff\x00garbage" * 40)


@pytest.mark.parametrize("name", ["model.safetensors", "student.json", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", [_halve, _overwrite, _remove])
def test_a_damaged_file_is_an_integrity_error(base, tmp_path, name, damage):
    damage(_saved(base, tmp_path) / name)
    with pytest.raises(IntegrityError):
        load_student(tmp_path)


def test_a_changed_bit_in_the_weights_is_noticed(base, tmp_path):
    path = _saved(base, tmp_path) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        load_student(tmp_path)


def test_weights_of_another_student_do_not_fit(base, tmp_path):
    for layers in (2, 3):
        (tmp_path / str(layers)).mkdir()
        learner_of(base, layers=layers).finished().save(tmp_path / str(layers))
    shutil.copy(tmp_path / "3" / "model.safetensors", tmp_path / "2" / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors is damaged"):
        load_student(tmp_path / "2")


def test_a_temperature_divides_the_logits_and_leaves_the_student_as_it_was(base, tmp_path):
    student = learner_of(base).finished()
    before = student.predict(TEXTS[:8])
    tempered = student.tempered(2.0)
    expected = np.sqrt(before) / np.sqrt(before).sum(axis=1, keepdims=True)
    assert tempered.predict(TEXTS[:8]) == pytest.approx(expected, abs=1e-5)
    assert (student.predict(TEXTS[:8]) == before).all()
    tempered.save(tmp_path)
    assert load_student(tmp_path).predict(TEXTS[:8]) == pytest.approx(tempered.predict(TEXTS[:8]), abs=1e-6)
