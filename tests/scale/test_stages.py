"""What `collect`, `label` and `evaluate` leave is the same by workers of a cluster, row for row."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from inbox import inbox_programme

from tutelage import storage
from tutelage.programme import Programme
from tutelage.stages import run_stage

SIGNALS = {"signals": ["embeddings"]}


def with_engine(programme, engine):
    path = programme.folder / "tutelage.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"engine": engine}))
    return Programme.open(programme.folder)


def left_by(programme, path, without=()):
    table = storage.read_table(path)
    return table.drop_columns([name for name in without if name in table.column_names]).to_pylist()


@pytest.mark.long
def test_stages_leave_the_same_rows(tmp_path, nodes):
    programme = Programme.open(inbox_programme(tmp_path, labelling=SIGNALS, privacy={}))
    with (tmp_path / "traffic.csv").open("a") as file:
        file.write("write to ann@example.org about the parcel please\n")
    found = []
    for engine in ("local", {"type": "ray", "address": nodes.address}):
        here = with_engine(programme, engine)
        run_stage(here, "gold", force=True)
        run_stage(here, "collect", force=True)
        prompts = left_by(here, here.prompts)
        assert any("write to" in row["text"] and "ann@example.org" not in row["text"] for row in prompts)
        run_stage(here, "coverage", force=True)
        if engine != "local":
            (tmp_path / "answers" / "answers.sqlite").unlink()
            for path in (tmp_path / "answers" / "signals").rglob("*"):
                path.unlink() if path.is_file() else None
        run_stage(here, "label", force=True)
        run_stage(with_engine(programme, "local"), "train")
        run_stage(with_engine(programme, engine), "evaluate", force=True)
        shard = next((tmp_path / "answers" / "signals" / "embeddings").glob("*.safetensors"))
        found.append(
            (
                prompts,
                left_by(here, here.transfer, ("latency", "created", "distribution")),
                storage.hash_file(shard),
                left_by(here, here.evaluation / "predictions.parquet"),
                np.array(storage.read_table(here.transfer).column("distribution").to_pylist()),
            )
        )
    (*near, at_home), (*far, away) = found
    for one, other in zip(near, far, strict=True):
        assert one == other
    np.testing.assert_allclose(at_home, away, atol=1e-5)
