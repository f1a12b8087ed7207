"""`traffic.semantic_duplicate` with the embedded encoder, over an inbox in which gold is said in other words."""

from __future__ import annotations

import csv
import json

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.checkpoints import resolve_checkpoint
from tutelage.config import parse_config
from tutelage.data import read_sealed
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import read_coverage, run_stage


@pytest.fixture
def programme(tmp_path):
    try:
        resolve_checkpoint("minilm-l6", tmp_path)
    except MissingExtraError as error:
        pytest.skip(str(error))
    made = inbox_programme(
        tmp_path,
        coverage={"embedding": "minilm-l6", "clusters": 4},
        traffic={"path": "traffic.csv", "near_duplicate": 0.97, "semantic_duplicate": 0.9},
    )
    return Programme.open(made)


class Told(Silent):
    """Keeps what a stage says."""

    def __init__(self):
        self.lines = []

    def warn(self, text):
        self.lines.append(text)


@pytest.mark.slow
def test_what_gold_has_in_other_words_is_told_and_not_asked_and_the_rest_is_grouped(
    programme, one_torch_thread
):
    run_stage(programme, "gold")
    sealed = read_sealed(programme.sealed, programme.seal)[0].prompt.text
    other = (
        sealed.replace("please", "kindly").replace("there is a problem", "there is some problem") + " thanks"
    )
    planted = [other, "how do I bake bread at home", "how can I bake a bread at home"]
    path = programme.folder / "traffic.csv"
    with path.open("a", newline="") as file:
        csv.writer(file).writerows((text,) for text in planted)
    for name in ("collect", "coverage"):
        run_stage(programme, name)
    meaning = read_coverage(programme)["leakage"]["meaning"]
    assert (
        meaning["least"] == 0.9
        and 0 <= meaning["traffic"] <= 1
        and meaning["known"] == len(meaning["listed"]) > 0
    )
    assert all(one["cosine"] >= 0.9 for one in meaning["listed"])
    told = Told()
    run_stage(programme, "label", told)
    rows = {row["text"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    assert other not in rows
    assert any("aren't asked, since gold has them in other words" in line for line in told.lines)
    assert rows[planted[1]]["group"] == rows[planted[2]]["group"] != ""


def test_words_tell_no_meaning():
    content = {
        "gold": {"path": "g", "training": {"share": 0.3}},
        "traffic": {"path": "t", "semantic_duplicate": 0.9},
        "teacher": {"type": "encoder"},
    }
    with pytest.raises(ConfigError, match="coverage.embedding is words"):
        parse_config(content, "x")
    parse_config(json.loads(json.dumps({**content, "coverage": {"embedding": "minilm-l6"}})), "x")
