from __future__ import annotations

import numpy as np
import pytest

from tiny_world import TASK, TEXTS, save_checkpoint
from tutelage.config import StudentConfig
from tutelage.progress import Silent

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tutelage.distillation.body_objectives import transformer_layers  # noqa: E402
from tutelage.distillation.losses import attention_scores  # noqa: E402
from tutelage.distillation.reading import Reader  # noqa: E402
from tutelage.distillation.teacher_body import TeacherBody  # noqa: E402
from tutelage.distillation.teacher_layers import Kept, Online, teacher_layers  # noqa: E402
from tutelage.students import new_learner  # noqa: E402

WANTED = transformer_layers((0, 2))


def scores(layers, learner, texts):
    """The second layer's attention scores, [texts, heads, tokens, tokens], and which are of real tokens."""
    examples = layers.examples(learner.examples(texts), texts)
    found = layers.layers(examples.batch(np.arange(len(texts))))
    projections = found.projections[2]
    both = found.mask[:, None, :, None] & found.mask[:, None, None, :]
    return attention_scores(projections["query"], projections["key"], 4, found.bias) * both, both


def kept(body, learner, folder, texts=TEXTS):
    return teacher_layers(body, learner, WANTED, texts, 2.0, folder, Silent())


@pytest.fixture
def mpnet(tmp_path):
    save_checkpoint(tmp_path / "mpnet", kind="mpnet")
    learner = new_learner(StudentConfig(base="mpnet", layers=2), TASK, TEXTS, tmp_path)
    return TeacherBody.at("mpnet", tmp_path), learner


def test_kept_attention_of_mpnet_has_the_bias_that_is_no_tokens(mpnet, tmp_path, monkeypatch):
    body, learner = mpnet
    texts = sorted(TEXTS, key=len)[:3]
    online, real = scores(Online(Reader(body.load().eval(), WANTED)), learner, texts)
    layers = kept(body, learner, tmp_path / "kept")
    assert isinstance(layers, Kept)
    found, _ = scores(layers, learner, texts)
    assert torch.allclose(found, online, atol=0.02)
    bare, _ = scores(Kept(layers.rows, layers.wanted), learner, texts)
    assert (bare - online).abs()[real.expand_as(bare)].mean() > 0.05
    monkeypatch.setattr(TeacherBody, "load", lambda self: pytest.fail("the teacher's weights were loaded"))
    again, _ = scores(kept(body, learner, tmp_path / "kept"), learner, texts)
    assert torch.equal(again, found)


def test_a_longer_text_and_another_teacher_have_their_own_bias(mpnet, tmp_path):
    body, learner = mpnet
    short = kept(body, learner, tmp_path / "kept")
    longest = max(TEXTS, key=len)
    longer = kept(body, learner, tmp_path / "kept", (*TEXTS, f"{longest} {longest}"))
    n = len(short.bias)
    assert len(longer.bias) > n and torch.equal(longer.bias[:n, :n], short.bias)
    torch.manual_seed(5)
    weights = body.load()
    torch.nn.init.normal_(weights.encoder.relative_attention_bias.weight)
    weights.save_pretrained(tmp_path / "mpnet")
    other = kept(TeacherBody.at("mpnet", tmp_path), learner, tmp_path / "kept")
    assert not torch.allclose(other.bias, longer.bias[: len(other.bias), : len(other.bias)])
