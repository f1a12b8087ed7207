"""What stages leave is the same by workers of a cluster, row for row."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from inbox import inbox_programme, letter_counting_inbox

from faulty_teacher import Outcome, completion
from tutelage import storage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_all, run_stage
from tutelage.stages.judging import ask_judge
from tutelage.stages.plan import open_pool
from tutelage.stages.vote import open_poll

SIGNALS = {"signals": ["embeddings"]}
ENDPOINT = {"type": "openai", "rights": "own-model", "model": "scripted-1", "samples": 1}


class Told(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    @property
    def reached(self):
        return any("2 workers on 2 nodes" in line for line in self.lines)


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


def says(teacher, request):
    """Prompts where they are asked for, of the card's words turned round; else that the first answer is better."""
    text = request["messages"][-1]["content"]
    if not request["messages"][0]["content"].startswith("You are shown"):
        return completion(json.dumps({"reasons": "So it seems.", "verdict": "first"}))
    words = text.split()[::-1]
    made = (f"{n}. {n} nine {words[n % len(words)]} {' '.join(words)} ten {n * 7}" for n in range(5))
    return completion("\n".join(made))


@pytest.mark.long
def test_plan_synthesise_and_the_judge_work_there_too(tmp_path, faulty_teacher, nodes):
    faulty_teacher.default = Outcome(body=says)
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    letter_counting_inbox(
        near,
        gold={"path": "gold.csv", "margin": 0.1},
        student={"family": "static", "epochs": 4, "members": 1},
    )
    run_all(Programme.open(near))
    shutil.copytree(near, far)
    teacher = {**ENDPOINT, "base_url": faulty_teacher.url}
    found = []
    for folder, engine in ((near, "local"), (far, {"type": "ray", "address": nodes.address})):
        there, before = f"engine={json.dumps(engine)}", len(faulty_teacher.requests)
        told = [Told(), Told(), Told()]
        judging = Programme.open(folder, [f"judging.teacher={json.dumps(teacher)}", there])
        poll = open_poll(judging, Silent(), most=6)
        for ballot in poll.ballots:
            poll.cast("Ada", ballot.key, "a")
        judged = ask_judge(judging, told[0])
        assert judged["pairs"]["judged"] == 6
        with open_pool(judging, told[1], 0) as pool:
            doubt = pool.uncertainty
        writer = json.dumps({"writer": teacher, "share": 0.2, "least_in_cluster": 40})
        writing = Programme.open(folder, [f"synthesis={writer}", there])
        run_stage(writing, "synthesise", told[2])
        written = left_by(writing, writing.synthetic)
        assert written and [one.reached for one in told] == [engine != "local"] * 3
        found.append((judged, doubt.tolist(), written, len(faulty_teacher.requests) - before))
    assert found[0] == found[1]
