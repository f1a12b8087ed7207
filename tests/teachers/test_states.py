"""What teachers that run here reveal: hidden states of any layers, and embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_world import TEXTS, save_classifier
from tiny_writers import CHAT, LABELS, save_sure_writer
from tutelage.config import EncoderTeacherConfig, LocalTeacherConfig, TransformersTeacherConfig
from tutelage.errors import ConfigError
from tutelage.progress import Silent
from tutelage.records import Gold, Prompt
from tutelage.signals import Revealing, collect_signals, require_signals
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext, build_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TASK = Classify(LABELS)
PROMPTS = [Prompt(str(row), text) for row, text in enumerate([*TEXTS[::20], "parcel", " ".join(TEXTS[:4])])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_sure_writer(folder / "chat", "causal", CHAT)
    save_sure_writer(folder / "seq2seq", "seq2seq")
    save_classifier(folder / "inbox", LABELS)
    return folder


CONFIGS = {
    "chat": lambda: LocalTeacherConfig(rights="own", model="chat", batch_size=3),
    "seq2seq": lambda: LocalTeacherConfig(rights="own", model="seq2seq", batch_size=3),
    "transformers": lambda: TransformersTeacherConfig(rights="own", model="inbox", batch_size=3),
    "encoder": lambda: EncoderTeacherConfig(rights="own", model="inbox", batch_size=3),
}


def teacher_of(models, kind, layers=(-1,), task=TASK, **changes):
    training = [Gold(Prompt(label, label), label) for label in LABELS]
    config = CONFIGS[kind]().model_copy(update=changes)
    return build_teacher(config, TeacherContext(task, training, models, hidden_layers=layers))


def alone(folder, kind, ids):
    """Every layer's states of one row of ids, so without padding: [layers + 1][tokens, width]."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    reader = model.get_encoder() if kind == "seq2seq" else model
    with torch.inference_mode():
        found = reader(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return [layer[0].numpy() for layer in found]


def read_by(models, kind, teacher, text):
    """What the model is shown of a text, and where the text stands in it."""
    from transformers import AutoTokenizer

    if kind not in ("chat", "seq2seq"):
        ids = AutoTokenizer.from_pretrained(models / "inbox")(text)["input_ids"]
        return ids, slice(0, len(ids))
    ids = teacher._model.prompt(TASK.render(text))
    own = teacher._model.text_ids(f" {text}" if kind == "seq2seq" else text)
    start = next(at for at in range(len(ids)) if ids[at : at + len(own)] == own)
    return ids, slice(start, start + len(own))


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_hidden_states_are_the_models_own_of_the_layers_asked_for(models, kind):
    teacher = teacher_of(models, kind, layers=(0, 2))
    assert isinstance(teacher, Revealing)
    manifest = teacher.manifest("hidden_states")
    assert (manifest.layers, manifest.width, manifest.dtype) == ((0, 2), 64, "float16")
    folder = models / ("inbox" if kind in ("transformers", "encoder") else kind)
    for prompt, found in zip(PROMPTS, teacher.reveal(PROMPTS, "hidden_states"), strict=True):
        ids, place = read_by(models, kind, teacher, prompt.text)
        layers = alone(folder, kind, ids)
        wanted = np.concatenate([layers[0], layers[2]], axis=1)[place]
        np.testing.assert_allclose(found, wanted, atol=2e-2, rtol=2e-3)
        assert found.dtype == np.float16


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_embeddings_are_the_mean_of_the_last_layer_whatever_layers_are_asked_for(models, kind):
    teacher = teacher_of(models, kind, layers=(0, 1))
    rows = teacher.reveal(PROMPTS, "embeddings")
    manifest = teacher.manifest("embeddings")
    assert manifest.layers == (2,) and manifest.pooling.startswith("mean")
    states = teacher_of(models, kind).reveal(PROMPTS, "hidden_states")
    for row, one in zip(rows, states, strict=True):
        wanted = one.astype(np.float32).mean(axis=0)
        if manifest.pooling == "mean, l2":
            wanted /= np.linalg.norm(wanted)
        assert row.shape == (1, manifest.width)
        np.testing.assert_allclose(row[0], wanted, atol=2e-2)


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_a_layer_that_is_not_there_is_named(models, kind):
    teacher = teacher_of(models, kind, layers=(1, -4))
    for call in (teacher.manifest, lambda kind: teacher.reveal(PROMPTS[:1], kind)):
        with pytest.raises(ConfigError, match=r"hidden_layers has -4.*layers 0 \(its embeddings\) to 2"):
            call("hidden_states")
    teacher.manifest("embeddings")
    with pytest.raises(ValueError, match="not 'attention'"):
        teacher.manifest("attention")


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_the_manifest_needs_no_weights_and_follows_from_all_that_shapes_the_states(models, kind, tmp_path):
    teacher = teacher_of(models, kind)
    manifest = teacher.manifest("hidden_states")
    assert not {"_model", "_encoder"} & set(teacher.__dict__)
    assert manifest.vocabulary > 100 and len(manifest.tokenizer) == len(manifest.revision) == 32
    assert bool(manifest.template) == (kind == "chat")
    assert teacher_of(models, kind, layers=(1,)).manifest("hidden_states").differences(manifest)
    if kind in ("chat", "seq2seq"):
        other = teacher_of(models, kind, task=Classify(LABELS, "Which one is it?"))
        assert [part[:5] for part in other.manifest("hidden_states").differences(manifest)] == ["task:"]
    collect_signals(PROMPTS, teacher, tmp_path, ["hidden_states", "embeddings"], Silent())
    hashes = [prompt.hash for prompt in PROMPTS]
    require_signals(tmp_path, {name: teacher.manifest(name) for name in teacher.reveals}, hashes)


def test_a_text_too_long_to_be_answered_is_cut_and_an_empty_one_has_a_row(models):
    shown = len(teacher_of(models, "chat")._model.prompt(TASK.render("")))
    teacher = teacher_of(models, "chat", max_input_tokens=shown + 10)
    long, empty = teacher.reveal([Prompt("1", " ".join(TEXTS)), Prompt("2", "")], "hidden_states")
    assert 8 <= len(long) <= 12 and len(empty) == 1
    assert np.isfinite(long).all() and np.isfinite(empty).all()


def test_numbers_beyond_float16_stay_finite():
    from tutelage.teachers._states import halved

    kept = halved(np.array([[1e5, -1e5, 0.5]], dtype=np.float32))
    np.testing.assert_array_equal(kept, np.array([[65504, -65504, 0.5]], dtype=np.float16))
