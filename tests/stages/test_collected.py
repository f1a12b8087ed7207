"""The traffic's prompts, some at a time: the same as all of them at once, over the seams of batches."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tutelage import storage
from tutelage.config import StudentConfig, parse_config
from tutelage.data import prompts_from_table, prompts_to_table
from tutelage.programme import Programme
from tutelage.records import Prompt, prompt_schema
from tutelage.stages.arms import layer_teaching
from tutelage.stages.collected import (
    are_among,
    drawn_texts,
    each_prompt,
    each_text,
    every_prompt,
    hash_batches,
    prompts_where,
    prompts_with,
)

SETTINGS = {"gold": {"path": "g.csv"}, "traffic": {"path": "t.csv"}, "teacher": {"type": "human"}}
ROWS = 70_000  # a batch that is read has 65,536


def _programme(folder):
    return Programme(folder, parse_config(SETTINGS, "here"))


@pytest.fixture(scope="module")
def programme(tmp_path_factory):
    made = _programme(tmp_path_factory.mktemp("collected"))
    names = [str(row) for row in range(ROWS)]
    columns = {name: pa.array([""] * ROWS) for name in prompt_schema().names}
    columns |= {
        "id": pa.array(names),
        "text": pa.array([f"text {name}" for name in names]),
        "hash": pa.array([f"hash {name}" for name in names]),
        "slice": pa.array(["normal"] * ROWS),
        "time": pa.array(np.arange(ROWS, dtype=np.float64)),
    }
    storage.write_table(made.prompts, pa.table(columns).select(prompt_schema().names))
    return made


def test_pieces_together_are_the_whole(programme):
    whole = storage.read_table(programme.prompts)
    assert sum(1 for _ in storage.table_batches(programme.prompts)) > 1
    assert list(each_prompt(programme)) == prompts_from_table(whole)
    every = every_prompt(programme)
    assert len(every) == ROWS and list(every) == prompts_from_table(whole) == list(every)
    assert list(each_text(programme)) == whole["text"].to_pylist()
    assert [hash_ for batch in hash_batches(programme) for hash_ in batch] == whole["hash"].to_pylist()


def test_rows_are_found_by_hash_and_by_place_on_either_side_of_a_seam(programme):
    wanted = [0, 65_535, 65_536, ROWS - 1]
    chosen = are_among(programme, {*(f"hash {row}" for row in wanted), "hash of none"})
    assert chosen.shape == (ROWS,) and np.flatnonzero(chosen).tolist() == wanted
    by_place, by_hash = (
        prompts_where(programme, chosen),
        prompts_with(programme, {f"hash {row}" for row in wanted}),
    )
    assert by_place == by_hash and [prompt.id for prompt in by_place] == [str(row) for row in wanted]
    assert prompts_with(programme, ()) == []


def test_texts_are_drawn_from_all_of_it_once_each(programme):
    drawn = drawn_texts(programme, 1_000, 5)
    places = [int(text.removeprefix("text ")) for text in drawn]
    assert len(set(places)) == 1_000 and places == sorted(places)
    # the mean of 1,000 uniform places lies this near the middle but in one of a million draws
    assert abs(np.mean(places) - ROWS / 2) < 4.9 * ROWS / np.sqrt(12 * 1_000)
    assert drawn == drawn_texts(programme, 1_000, 5) != drawn_texts(programme, 1_000, 6)
    assert drawn_texts(programme, ROWS, 5) == list(each_text(programme))


def test_layers_are_learned_from_texts_that_are_drawn_where_there_are_many(programme, monkeypatch):
    config = StudentConfig(family="encoder", recipe="minilm", seed=5)
    left_out = drawn_texts(programme, 1_000, 5)[0]
    assert len(layer_teaching(programme, config, {left_out}).unlabelled) == ROWS - 1
    monkeypatch.setattr("tutelage.stages.arms.MOST_TEXTS", 1_000)
    texts = layer_teaching(programme, config, {left_out}).unlabelled
    assert [left_out, *texts] == drawn_texts(programme, 1_000, 5)


def test_one_column_is_read_where_one_is_asked_for(programme):
    assert next(storage.table_batches(programme.prompts, ["hash"])).column_names == ["hash"]


def test_of_none_there_are_none(tmp_path):
    empty = _programme(tmp_path)
    storage.write_table(empty.prompts, prompts_to_table([]))
    assert (list(each_prompt(empty)), list(each_text(empty)), drawn_texts(empty, 3, 0)) == ([], [], [])
    assert len(every_prompt(empty)) == 0 and not every_prompt(empty)
    assert are_among(empty, {"x"}).shape == (0,) and are_among(empty, {"x"}).dtype == np.bool_
    storage.write_table(empty.prompts, prompts_to_table([Prompt("a", "one")]))
    assert [prompt.id for prompt in prompts_with(empty, {Prompt("a", "one").hash})] == ["a"]
