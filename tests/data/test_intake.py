from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import storage
from tutelage.data import drop_repeats, exclude_gold, prompts_from_table
from tutelage.data.intake import Collected, Intake, _gathered
from tutelage.data.known_rows import KnownRows
from tutelage.data.preparation import Batch, Preparation, batches_of
from tutelage.data.processes import map_batches
from tutelage.records import Prompt

GOLD = [Prompt("g", "please send the invoice to my accountant today")]
LONG = "my parcel was marked as delivered on monday but nobody ever rang the bell"


def _files(folder):
    names = ("kept.parquet", "rejected.parquet", "known.parquet", "scratch")
    return Collected(*(folder / name for name in names))


def _run(folder, prompts, near="group", gold=GOLD, most=1, threshold=0.85, known=()):
    batches = [replace(batch, known=True) for batch in batches_of("a", None, known)]
    batches += batches_of("a", None, prompts)
    with Intake(_files(folder), threshold=threshold) as intake:
        for prepared in map_batches(Preparation(None, gold, threshold), batches, most=most):
            intake.add(prepared)
        intake.finish(near, KnownRows.none(), lambda _: None)
    assert not (folder / "scratch").exists()
    kept = prompts_from_table(storage.read_table(folder / "kept.parquet"))
    return kept, storage.read_table(folder / "rejected.parquet").to_pylist()


def test_each_prompt_has_the_first_fate_that_fits(tmp_path):
    kept, rejected = _run(
        tmp_path,
        [
            Prompt("a", "where is my card"),
            Prompt("a", "another text with that id", row=2),
            Prompt("b", "Where is  MY card", row=3),
            Prompt("c", "Please send the INVOICE to my accountant today!", row=4),
            Prompt("d", "today my accountant, please send the invoice to", row=5),
            Prompt("e", "an answer"),
        ],
    )
    assert [prompt.id for prompt in kept] == ["a", "e"]
    assert {(item["id"], item["row"], item["reason"]) for item in rejected} == {
        ("a", 2, "duplicate_id"),
        ("b", 3, "duplicate_text"),
        ("c", 4, "near_duplicate_of_gold"),
        ("d", 5, "near_duplicate_of_gold"),
    }


@pytest.mark.parametrize("near", ["group", "drop", "ignore"])
def test_near_repeats_are_grouped_dropped_or_left(tmp_path, near):
    prompts = [Prompt("a", LONG), Prompt("b", "quite another question"), Prompt("c", LONG + "!")]
    kept, rejected = _run(tmp_path, prompts, near)
    groups = {prompt.id: prompt.group for prompt in kept}
    assert (
        groups
        == {
            "group": {"a": "a", "b": "", "c": "a"},
            "drop": {"a": "", "b": ""},
            "ignore": {"a": "", "b": "", "c": ""},
        }[near]
    )
    assert [item["reason"] for item in rejected] == ["near_duplicate_text"] * (near == "drop")


def test_what_a_source_groups_is_joined_with_what_is_nearly_the_same(tmp_path):
    prompts = [
        Prompt("a", LONG, group="anna"),
        Prompt("b", "quite another question", group="ben"),
        Prompt("c", LONG + "!", group="ben"),
        Prompt("d", "something that nobody else asks", group="carla"),
    ]
    kept, _ = _run(tmp_path, prompts)
    assert [prompt.group for prompt in kept] == ["anna", "anna", "anna", "carla"]


def test_known_prompts_keep_their_ids_and_groups_and_new_ones_join_them(tmp_path):
    ben = "i never got the letter that you say you sent me in march"
    first = [Prompt("a", LONG, group="anna", subject="anna"), Prompt("b", ben, group="ben", subject="ben")]
    kept, _ = _run(tmp_path, [*first, Prompt("b2", LONG + "!", group="ben", subject="ben")])
    assert [prompt.group for prompt in kept] == ["anna"] * 3
    new = [
        Prompt("a", "an id that is known, and another text"),
        Prompt("c", LONG.upper()),
        Prompt("d", "quite another question", group="ben", subject="ben"),
        Prompt("e", f"{ben} already"),
        Prompt("f", "something that nobody else asks"),
    ]
    after, rejected = _run(tmp_path, new, known=kept)
    assert [(prompt.id, prompt.group) for prompt in after] == [
        ("a", "anna"), ("b", "anna"), ("b2", "anna"), ("d", "anna"), ("e", "anna"), ("f", "")
    ]  # fmt: skip
    assert [item["reason"] for item in rejected] == ["duplicate_id", "duplicate_text"]
    without, rejected = _run(tmp_path, [], known=after, gold=[Prompt("g", ben)])
    assert [prompt.id for prompt in without] == ["a", "b2", "d", "f"]
    assert {item["reason"] for item in rejected} == {"duplicate_of_gold", "near_duplicate_of_gold"}


def test_a_prompt_that_was_paid_for_is_never_dropped_as_a_near_repeat(tmp_path):
    words = "my parcel was marked as delivered on monday but nobody ever rang the bell at my door".split()
    one, two = " ".join(words), " ".join([*words[:-2], "that", "day"])
    between = " ".join([*words[:-2], "that", "door"])
    known, _ = _run(tmp_path, [Prompt("a", one), Prompt("b", two)], "drop", threshold=0.9)
    assert len(known) == 2
    kept, rejected = _run(tmp_path, [Prompt("c", between)], "drop", threshold=0.8, known=known)
    assert [prompt.id for prompt in kept] == ["a", "b"]
    assert [prompt.group for prompt in kept] == ["", ""]
    assert [item["id"] for item in rejected] == ["c"]


def test_no_rows_make_empty_tables(tmp_path):
    assert _run(tmp_path, []) == ([], [])


def test_a_batch_of_which_no_row_was_read_makes_empty_tables(tmp_path):
    with Intake(_files(tmp_path), threshold=0.85) as intake:
        intake.add(Preparation(None, GOLD, 0.85)(Batch("a", None, [])))
        intake.finish("group", KnownRows.none(), lambda _: None)
    assert storage.read_table(tmp_path / "kept.parquet").num_rows == 0


def test_an_error_leaves_what_was_there(tmp_path):
    before = _run(tmp_path, [Prompt("a", "where is my card")])[0]
    with (
        pytest.raises(RuntimeError),
        Intake(_files(tmp_path), threshold=0.85) as intake,
    ):
        intake.add(
            Preparation(None, GOLD, 0.85)(next(batches_of("a", None, [Prompt("z", "a text of its own")])))
        )
        raise RuntimeError
    assert prompts_from_table(storage.read_table(tmp_path / "kept.parquet")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kept.parquet",
        "known.parquet",
        "rejected.parquet",
    ]


@pytest.mark.long
def test_several_processes_give_the_same(tmp_path):
    prompts = [Prompt(str(n), f"question {n % 9_000} about parcel {n % 7} and card") for n in range(13_500)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert _run(tmp_path / "one", prompts, most=1) == _run(tmp_path / "two", prompts, most=2)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=12))
def test_nothing_is_lost_and_it_agrees_with_the_lists(tmp_path_factory, texts):
    prompts = [Prompt(str(n), text) for n, text in enumerate(texts)]
    kept, rejected = _run(tmp_path_factory.mktemp("intake"), prompts)
    distinct, _ = drop_repeats(prompts)
    wanted, _ = exclude_gold(distinct, GOLD, 0.85)
    assert [prompt.id for prompt in kept] == [prompt.id for prompt in wanted]
    assert len(kept) + len(rejected) == len(prompts)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_texts_are_gathered_across_chunks(sizes, wanted):
    names = iter(range(sum(sizes)))
    column = pa.chunked_array([[str(next(names)) for _ in range(size)] for size in sizes], pa.string())
    indices = np.array([index % len(column) for index in wanted if len(column)], np.int64)
    assert _gathered(column, indices) == [str(index) for index in indices]


def test_siblings_of_gold_go_and_what_others_ask_in_the_same_words_stays(tmp_path):
    prompts = [
        Prompt("a", "where is my card", group="anna"),
        Prompt("b", "where is my card", group="ben"),
        Prompt("c", LONG, group="anna"),
        Prompt("d", LONG + "!", group="carla"),
        Prompt("e", "nobody's question"),
        Prompt("f", GOLD[0].text, group="anna"),
    ]
    gold = [Prompt("g", GOLD[0].text, group="anna")]
    with Intake(_files(tmp_path), threshold=0.85) as intake:
        prepare = Preparation(None, gold, 0.85, groups=frozenset({"anna"}))
        for prepared in map_batches(prepare, batches_of("a", None, prompts), most=1):
            intake.add(prepared)
        intake.finish("group", KnownRows.none(), lambda _: None)
    kept = prompts_from_table(storage.read_table(tmp_path / "kept.parquet"))
    assert [(prompt.id, prompt.group) for prompt in kept] == [("b", "ben"), ("d", "carla"), ("e", "")]
    rejected = storage.read_table(tmp_path / "rejected.parquet").to_pylist()
    assert {item["id"]: item["reason"] for item in rejected} == {
        "a": "sibling_of_gold",
        "c": "sibling_of_gold",
        "f": "duplicate_of_gold",
    }
