from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from tiny_world import MULTI, PAIRS, TASK, TEXTS
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.errors import IntegrityError
from tutelage.students import average_students, load_student
from tutelage.students.static import Features, StaticStudent
from tutelage.tasks import Classify

pytest.importorskip("torch")

STATIC = StudentConfig(family="static")
NASTY = [
    "",
    " \t\n ",
    "!!!",
    "Grüße aus 東京, bitte!",
    "İstanbul ΑΣ ß ﬁ",
    "👍🏽👩‍👩‍👧 a\u0301e\u0301",
    'quote " back \\ slash \x00 \x1f \u2028 end',
    "<s> </s> #<wo #ord",
    "long " * 3_000,
    "x" * 10_000,
]


def learner_of(texts, task=TASK, seed=0):
    from tutelage.students.static_learner import StaticLearner

    return StaticLearner(StudentConfig(family="static", seed=seed), task, texts)


def student_of(texts=TEXTS, task=TASK, *, scale=8.0):
    """A student whose random weights are large enough for its answers to differ."""
    learner = learner_of(texts, task)
    learner.module.embedding.weight.data *= scale
    return learner.finished()


def logits_by_hand(student, text):
    rows = [student.vocabulary[name] for name in student.features.of(text) if name in student.vocabulary]
    table, bias = student.table.astype(np.float64), student.bias.astype(np.float64)
    return table[rows].sum(axis=0) / np.sqrt(max(1, len(rows))) + bias


STUDENT = student_of()


# Features


def test_features_are_words_pairs_and_pieces():
    assert Features().of("Lost card!") == [
        *["lost", "card", "!"],
        *["<s> lost", "lost card", "card !", "! </s>"],
        *["#<los", "#lost", "#ost>", "#<car", "#card", "#ard>"],
    ]
    assert Features(pairs=False, pieces=()).of("Grüße, 東京! a_1") == ["grüße", ",", "東京", "!", "a_1"]
    assert Features(pairs=False, pieces=(3, 5)).of("ab") == ["ab", "#<ab", "#ab>"]


@given(st.text(max_size=200), st.sampled_from([(), (3,), (4,), (2, 5)]), st.booleans())
def test_every_text_has_the_features_that_its_words_call_for(text, pieces, pairs):
    features = Features(pairs=pairs, pieces=pieces)
    words = Features(pairs=False, pieces=()).of(text)
    found = features.of(text)
    assert found == features.of(text)
    assert found[: len(words)] == words
    expected = len(words) + (len(words) + 1 if pairs and words else 0)
    expected += sum(max(0, len(word) + 3 - size) for word in words for size in pieces)
    assert len(found) == expected
    assert all(word and not any(letter.isspace() for letter in word) for word in words)
    assert "".join(words) == "".join(text.lower().split())


@given(st.text(), st.integers(1, 5))
def test_words_past_the_last_one_that_counts_do_not_matter(text, most):
    words = Features(pairs=False, pieces=()).of(text)
    cut = Features(max_words=most)
    assert cut.of(text) == Features().of(" ".join(words[:most]))


# Answers


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(TEXTS), max_size=8), st.sampled_from([TASK, MULTI]))
def test_the_folded_table_answers_as_the_network_did(texts, task):
    import torch

    learner = learner_of([*texts[::2], "a parcel"], task)
    learner.module.embedding.weight.data *= 8
    learner.module.eval()
    with torch.no_grad():
        logits = learner.module(**learner.examples(texts).batch(np.arange(len(texts)))).double().numpy()
    wanted = expit(logits) if task.multi_label else softmax(logits, axis=-1)
    found = learner.finished().predict(texts)
    assert found.shape == (len(texts), 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("task", [TASK, MULTI])
def test_answers_are_those_of_the_formula(task):
    student = student_of(task=task)
    texts = [*TEXTS[::7], *NASTY]
    logits = np.stack([logits_by_hand(student, text) for text in texts])
    wanted = expit(logits) if task.multi_label else softmax(logits, axis=-1)
    np.testing.assert_allclose(student.predict(texts), wanted, rtol=2e-5, atol=1e-7)
    assert student.predict(texts).std(axis=0).min() > 0.05


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from([*TEXTS, *NASTY]), min_size=1, max_size=6))
def test_neighbours_do_not_change_an_answer_by_a_bit(texts):
    together = STUDENT.predict(texts)
    alone = np.concatenate([STUDENT.predict([text]) for text in texts])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("text", ["", "   ", "zzzz", "qqqqq vvvv 東京"])
def test_a_text_of_unknown_words_gets_what_the_bias_says(text):
    student = student_of()
    assert not any(name in student.vocabulary for name in student.features.of(text))
    np.testing.assert_allclose(
        student.predict([text])[0], softmax(student.bias.astype(np.float64)), rtol=1e-6
    )


def test_no_text_gets_no_answer():
    assert student_of().predict([]).shape == (0, 3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_extreme_weights_neither_overflow_nor_warn(multi_label):
    table = np.array([[-500.0, 500.0, 0.0]], np.float32)
    student = StaticStudent("abc", multi_label, Features(), {"word": 0}, table, np.zeros(3, np.float32))
    wanted = [0.0, 1.0, 0.5] if multi_label else [0.0, 1.0, 0.0]
    assert student.predict(["word"])[0] == pytest.approx(wanted)


# Learning


def test_a_vocabulary_is_what_the_transfer_set_holds():
    student = student_of(["a b", "b c"])
    assert set(student.vocabulary) == {*Features().of("a b"), *Features().of("b c")}
    assert student.table.shape == (len(student.vocabulary), 3)
    assert student.parameters == 3 * len(student.vocabulary) + 3


def test_only_the_longest_text_allowed_is_read():
    from tutelage.students.static_learner import StaticLearner

    student = StaticLearner(StudentConfig(family="static", max_tokens=2), TASK, TEXTS).finished()
    assert student.features.max_words == 4
    (cut,) = student.predict(["the price of the parcel courier"])
    assert cut.tobytes() == student.predict(["the price of the"])[0].tobytes()


def test_weights_follow_from_the_seed():
    first, again, other = (learner_of(TEXTS, seed=seed).finished().table for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert not np.allclose(first, other)


def test_features_are_left_out_only_while_it_learns():
    import torch

    learner = learner_of(TEXTS)
    batch = learner.examples(TEXTS).batch(np.arange(len(TEXTS)))
    with torch.no_grad():
        learner.module.train()
        assert not torch.equal(learner.module(**batch), learner.module(**batch))
        learner.module.eval()
        assert torch.equal(learner.module(**batch), learner.module(**batch))


def test_a_step_moves_only_the_rows_of_its_batch():
    import torch

    learner = learner_of(TEXTS)
    before = learner.module.embedding.weight.detach().clone()
    bags, chosen = learner.examples(TEXTS), np.array([3, 50])
    optimizer = learner.optimizer(learner.module, 0.01)
    learner.module.eval()  # every feature counts
    loss = torch.nn.functional.cross_entropy(learner.module(**bags.batch(chosen)), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    moved = (learner.module.embedding.weight.detach() != before).any(dim=1).numpy()
    rows = np.concatenate([bags.rows[bags.offsets[i] : bags.offsets[i + 1]] for i in chosen])
    assert set(np.flatnonzero(moved)) == set(rows)


# Ensembles


def test_the_mean_of_students_answers_with_their_mean_logits():
    members = [learner_of(TEXTS, MULTI, seed) for seed in range(3)]
    for member in members:
        member.module.embedding.weight.data *= 8
    students = [member.finished() for member in members]
    mean = average_students(students)
    logits = np.mean([[logits_by_hand(one, text) for text in TEXTS] for one in students], axis=0)
    np.testing.assert_allclose(mean.predict(TEXTS), expit(logits), rtol=2e-5, atol=1e-7)
    assert (mean.labels, mean.multi_label, mean.parameters) == (MULTI.labels, True, students[0].parameters)
    assert mean.table.dtype == mean.bias.dtype == np.float32


# On disk


@pytest.mark.parametrize("task", [TASK, MULTI])
@pytest.mark.parametrize("texts", [TEXTS, NASTY, ["", " "]], ids=["inbox", "nasty", "wordless"])
def test_what_was_saved_answers_alike_to_the_last_bit(tmp_path, task, texts):
    student = student_of(texts, task)
    student.save(tmp_path)
    loaded = load_student(tmp_path)
    assert isinstance(loaded, StaticStudent)
    assert (loaded.labels, loaded.multi_label) == (task.labels, task.multi_label)
    assert loaded.features == student.features
    assert list(loaded.vocabulary) == list(student.vocabulary)
    assert loaded.predict([*TEXTS, *NASTY]).tobytes() == student.predict([*TEXTS, *NASTY]).tobytes()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_any_vocabulary_survives_the_disk(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("student")
    student = student_of(texts)
    student.save(folder)
    loaded = load_student(folder)
    assert loaded.vocabulary == student.vocabulary
    assert loaded.predict(texts).tobytes() == student.predict(texts).tobytes()


def _empty(path):
    path.write_bytes(b"")


def _halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _shorten(path):
    path.write_bytes(path.read_bytes()[:-3])


def _overwrite(path):
    path.write_bytes(b"\xff\x00garbage" * 40)


def _remove(path):
    path.unlink()


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "student.json"])
@pytest.mark.parametrize("damage", [_empty, _halve, _shorten, _overwrite, _remove])
def test_a_damaged_file_is_an_integrity_error_that_names_it(tmp_path, name, damage):
    student_of().save(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(IntegrityError, match=name):
        load_student(tmp_path)


def test_a_changed_bit_in_the_weights_is_noticed(tmp_path):
    student_of().save(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        load_student(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "student.json"])
def test_parts_of_two_students_are_not_one(tmp_path, name):
    for folder, texts, labels in (("one", TEXTS, ("a", "b", "c")), ("other", TEXTS[1:], ("a", "b"))):
        (tmp_path / folder).mkdir()
        student_of(texts, Classify(labels)).save(tmp_path / folder)
    (tmp_path / "one" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(IntegrityError):
        load_student(tmp_path / "one")


@pytest.mark.parametrize("tensors", [("table",), ("bias",), ("table", "short_bias")])
def test_weights_that_lack_a_part_are_damaged(tmp_path, tensors):
    from safetensors.numpy import save

    student = student_of()
    student.save(tmp_path)
    parts = {"table": student.table, "bias": student.bias, "short_bias": student.bias[:1]}
    content = save({name.removeprefix("short_"): parts[name].copy() for name in tensors})
    storage.write_bytes(tmp_path / "model.safetensors", content)
    with pytest.raises(IntegrityError):
        load_student(tmp_path)


def test_a_family_that_nobody_knows_is_an_integrity_error(tmp_path):
    storage.write_json(tmp_path / "student.json", {"family": "oracle"})
    with pytest.raises(IntegrityError, match="oracle"):
        load_student(tmp_path)


def test_it_loads_and_answers_without_torch(tmp_path):
    student = student_of()
    student.save(tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tutelage.students import load_student\n"
        "answers = load_student(Path(sys.argv[1])).predict(['the parcel', 'my invoice'])\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules), 'something heavy'\n"
        "print(answers.tobytes().hex())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == student.predict(["the parcel", "my invoice"]).tobytes().hex()


def test_its_answers_differ_where_messages_do():
    """What the tests above compare is not one constant."""
    assert len({row.tobytes() for row in STUDENT.predict([text for text, _ in PAIRS])}) == len(PAIRS)


def test_one_text_is_not_taken_for_its_characters():
    with pytest.raises(TypeError, match="list of texts"):
        student_of().predict("my parcel")


@pytest.mark.parametrize("task", [TASK, MULTI])
def test_a_temperature_divides_the_logits_and_is_saved(task, tmp_path):
    student = student_of(task=task)
    tempered = student.tempered(2.5)
    logits = np.array([logits_by_hand(student, text) for text in TEXTS]) / 2.5
    expected = expit(logits) if task is MULTI else softmax(logits, axis=1)
    assert tempered.predict(TEXTS) == pytest.approx(expected, abs=1e-5)
    tempered.save(tmp_path)
    assert (load_student(tmp_path).predict(TEXTS) == tempered.predict(TEXTS)).all()
    assert student.tempered(1.0).predict(TEXTS) == pytest.approx(student.predict(TEXTS), abs=1e-7)
