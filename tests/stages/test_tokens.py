"""A programme whose student learns from its local teacher's distributions over tokens, kept or online."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tokens_world as world

from tutelage import storage
from tutelage.config import OpenAITeacherConfig
from tutelage.errors import ConfigError, IntegrityError
from tutelage.generation import LanguageModel
from tutelage.programme import Programme
from tutelage.signals import read_token_manifest, write_token_manifest
from tutelage.stages import run_stage
from tutelage.stages.signals import check_signals, kept_tokens, scoring_teacher, signals_folder

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SHAPE = {"layers": 2, "hidden_size": 32, "heads": 4, "intermediate_size": 64, "epochs": 2}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programme")
    world.save_base(folder / "causal")
    world.save_teacher(folder)
    gold = "".join(json.dumps({"text": text, "label": "red"}) + "\n" for text in world.TEXTS[40:])
    (folder / "gold.jsonl").write_text(gold)
    (folder / "traffic.csv").write_text("text\n" + "\n".join(world.TEXTS[:40]) + "\n")
    content = {
        "task": {"type": "generate", "instruction": "Say it."},
        "gold": {"path": "gold.jsonl", "margin": 0.4},
        "traffic": {"path": "traffic.csv"},
        "teacher": {
            "type": "local",
            "rights": "own-model",
            "model": "causal-teacher",
            "max_output_tokens": 8,
            "temperature": 1.0,
        },
        "labelling": {"signals": ["tokens"], "top_k": 6, "max_failed_share": 1.0},
        "student": {"family": "causal", "base": "causal", "recipe": "tokens", **SHAPE},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(folder)
    for name in ("gold", "collect", "label"):
        run_stage(programme, name)
    return programme


def test_train_learns_from_what_is_kept_and_loads_no_teacher(labelled, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", None)
    run_stage(labelled, "train")
    run = storage.read_json(labelled.student / "run.json")
    assert run["student"]["recipe"]["source"] == "cache"
    assert run["control"]["recipe"]["name"] == "sequence" and run["control"]["labels"] == "answers"
    texts = storage.read_table(labelled.transfer).column("text").to_pylist()
    cache = kept_tokens(labelled, texts)
    assert cache.manifest == read_token_manifest(signals_folder(labelled)) and cache.manifest.k == 6
    assert all(cache.packed) and scoring_teacher(labelled) is None


def test_online_the_weights_are_those_that_answered(labelled):
    online = Programme.open(labelled.folder, ["student.tokens.source=online"])
    assert kept_tokens(online, world.TEXTS[:2]) is None
    teacher = scoring_teacher(online)
    assert teacher.name == "causal-teacher"
    record = storage.read_json(labelled.teacher_record)
    storage.write_json(labelled.teacher_record, {**record, "revision": "an older one"})
    try:
        with pytest.raises(IntegrityError, match=r"revision an older one.*Mend: `tutelage label`"):
            scoring_teacher(online)
    finally:
        storage.write_json(labelled.teacher_record, record)
    endpoint = OpenAITeacherConfig(rights="own-model", model="m", base_url="http://127.0.0.1:9/v1")
    config = Programme.open(labelled.folder, ["student.recipe=on-policy"]).config
    other = replace(labelled, config=config.model_copy(update={"teacher": endpoint}))
    with pytest.raises(ConfigError, match=r"type openai.*labelling\.signals \[tokens\].*sequence"):
        scoring_teacher(other)


def test_a_cache_of_another_k_or_revision_is_refused(labelled):
    manifest = read_token_manifest(signals_folder(labelled))
    try:
        write_token_manifest(signals_folder(labelled), replace(manifest, k=9))
        with pytest.raises(IntegrityError, match=r"holds 9 alternatives a token.*top_k is 6.*label --force"):
            check_signals(labelled)
        write_token_manifest(signals_folder(labelled), replace(manifest, revision="an older one"))
        with pytest.raises(IntegrityError, match=r"an older one.*label --force"):
            check_signals(labelled)
    finally:
        write_token_manifest(signals_folder(labelled), manifest)
