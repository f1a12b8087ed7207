from __future__ import annotations

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import storage
from tutelage.data import gold_to_table, prompts_from_table, prompts_to_table, rejections_to_table
from tutelage.data.tables import gold_from_table
from tutelage.records import Gold, Prompt, Rejection, gold_schema, prompt_schema, rejection_schema

_prompts = st.builds(
    Prompt,
    id=st.text(),
    text=st.text(),
    source=st.text(),
    slice=st.text(),
    group=st.text(),
    subject=st.text(),
    time=st.none() | st.floats(allow_nan=False),
)
_values = st.text() | st.sampled_from(['["a"]', "null", "3"]) | st.lists(st.text()).map(tuple)
_gold = st.builds(Gold, prompt=_prompts, value=_values)


@settings(max_examples=60, deadline=None)
@given(prompts=st.lists(_prompts, max_size=4))
def test_prompts_come_back_from_disk_as_they_were(tmp_path_factory, prompts):
    path = tmp_path_factory.getbasetemp() / "prompts.parquet"
    storage.write_table(path, prompts_to_table(prompts))
    table = storage.read_table(path)
    assert table.schema.equals(prompt_schema())
    assert prompts_from_table(table) == prompts
    assert table.column("hash").to_pylist() == [prompt.hash for prompt in prompts]


@settings(max_examples=60, deadline=None)
@given(examples=st.lists(_gold, max_size=4))
def test_gold_comes_back_from_disk_as_it_was(tmp_path_factory, examples):
    path = tmp_path_factory.getbasetemp() / "gold.parquet"
    storage.write_table(path, gold_to_table(examples))
    table = storage.read_table(path)
    assert table.schema.equals(gold_schema())
    back = gold_from_table(table)
    assert back == examples
    assert [type(item.value) for item in back] == [type(item.value) for item in examples]
    assert prompts_from_table(table) == [item.prompt for item in examples]


@settings(max_examples=40, deadline=None)
@given(
    rejections=st.lists(
        st.builds(
            Rejection, st.text(), st.integers(1, 2**62), st.text(), st.text(), st.text(), st.text(max_size=9)
        ),
        max_size=3,
    )
)
def test_rejections_stand_in_a_table_that_any_tool_reads(tmp_path_factory, rejections):
    path = tmp_path_factory.getbasetemp() / "rejected.parquet"
    storage.write_table(path, rejections_to_table(rejections))
    table = pq.read_table(path)
    assert table.schema.equals(rejection_schema())
    assert [Rejection(**row) for row in table.to_pylist()] == rejections


def test_a_table_of_before_there_were_groups_subjects_and_times_is_read():
    prompts = [Prompt("1", "one", "a.csv", "hard", group="g", subject="s", time=1.0)]
    old = prompts_to_table(prompts).drop_columns(["group", "subject", "time", "sensitivity"])
    assert prompts_from_table(old) == [Prompt("1", "one", "a.csv", "hard")]


def test_the_same_examples_are_the_same_bytes(tmp_path):
    # The seal is a hash of the file: sealing the same gold anew must not look like a change.
    examples = [Gold(Prompt(str(n), f"text {n}", "a.csv"), ("a", "b")) for n in range(1000)]
    for name in ("one", "two"):
        storage.write_table(tmp_path / name, gold_to_table(examples))
    assert storage.hash_file(tmp_path / "one") == storage.hash_file(tmp_path / "two")
