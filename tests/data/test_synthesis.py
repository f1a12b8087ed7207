from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.synthesis import (
    Card,
    clusters_of,
    instruction,
    least_prompts,
    of_thin_clusters,
    read_messages,
    variations,
)
from tutelage.data.synthetic import Kind
from tutelage.records import Prompt


def _prompts(*texts: str, slice_: str = "normal") -> list[Prompt]:
    return [Prompt(str(n), text, slice=slice_) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    "answer",
    [
        "where is it\nis it lost",
        "1. where is it\n2. is it lost",
        "1) where is it\n\n2) is it lost\n",
        "- where is it\n* is it lost",
        '"where is it"\n“is it lost”',
        "Here are two messages:\nwhere is it\nis it lost",
        "```\nwhere is it\nis it lost\n```",
        '["where is it", "is it lost"]',
        "Message 1: where is it\nMessage 2: is it lost",
        "where is it\nis it lost\nand a third that nobody asked for",
    ],
)
def test_messages_are_read_however_a_model_lists_them(answer):
    assert read_messages(answer, 2) == ["where is it", "is it lost"]


def test_one_message_is_the_whole_answer_its_lines_included():
    assert read_messages("Hello,\n\nwhere is it?\nBye", 1) == ["Hello,\n\nwhere is it?\nBye"]
    assert read_messages("  ", 1) == [] == read_messages("\n\n", 3)


def test_what_only_looks_like_a_list_is_text():
    assert read_messages("3.5 per cent is too much\n2nd letter came", 2) == [
        "3.5 per cent is too much",
        "2nd letter came",
    ]
    assert read_messages('"it" is "lost"', 1) == ['"it" is "lost"']
    assert read_messages("[not json\nbut text", 2) == ["[not json", "but text"]


@given(st.text(max_size=200), st.integers(1, 5))
def test_any_answer_gives_at_most_so_many_messages_and_none_that_is_empty(answer, count):
    found = read_messages(answer, count)
    assert len(found) <= count and all(text.strip() == text != "" for text in found)


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5))
def test_a_json_list_is_read_as_it_is(texts):
    wanted = [read_messages(text, 1) for text in texts]
    found = read_messages(json.dumps(texts), len(texts))
    assert found == [text for one in wanted for text in one] or any("```" in text for text in texts)


def test_hard_prompts_are_varied_each_once_in_an_order_that_prompts_dont_shape():
    prompts = [*_prompts("a", "b"), *_prompts("c", "d", "e", slice_="hard"), *_prompts("c", slice_="hard")]
    cards = variations(prompts, ("hard", "critical"), 0)
    assert sorted(card.text for card in cards) == ["c", "d", "e"]
    assert all((card.kind, card.count, card.slice) == (Kind.VARIATION, 3, "hard") for card in cards)
    assert variations(prompts[::-1], ("hard",), 0) == cards
    assert variations(prompts, (), 0) == []
    assert (
        variations(prompts[:-1], ("hard",), 0, 2) == cards[:2]
        and variations(prompts, ("hard",), 0, 9) == cards
    )


def test_thin_clusters_are_asked_for_in_turns_the_thinnest_first():
    clusters = {
        "full": _prompts(*(f"full {n}" for n in range(20))),
        "thin": _prompts(*(f"thin {n}" for n in range(8))),
        "thinner": _prompts("a", "b"),
        "empty": [],
    }
    assert least_prompts(clusters) == 2
    cards = of_thin_clusters(clusters, 10, 0)
    assert [card.cluster for card in cards[:2]] == ["thinner", "thin"]
    assert {card.cluster for card in cards} == {"thinner", "thin"}
    by_cluster = {name: [card for card in cards if card.cluster == name] for name in ("thin", "thinner")}
    assert sum(card.count for card in by_cluster["thin"]) >= 2
    assert len({card.text for card in cards}) == len(cards)
    assert all(len(card.seeds) == 5 and card.count == 2 for card in by_cluster["thin"])
    assert all(set(card.seeds) == set(clusters["thinner"]) for card in by_cluster["thinner"])
    assert of_thin_clusters(clusters, 10, 0) == cards
    assert of_thin_clusters({}, 10, 0) == []
    assert least_prompts({}) == 1


def test_prompts_of_several_lines_are_written_one_at_a_time():
    [card] = variations(_prompts("Dear sirs,\nwhere is it?", slice_="hard"), ("hard",), 0)
    assert card.count == 1
    assert "line of its own" not in instruction(card.kind, 1)
    assert "5 new messages" in instruction(Kind.CLUSTER, 5)


def test_a_card_shows_its_seeds_and_nothing_else():
    one, two = _prompts("a", "b")
    assert Card(Kind.VARIATION, (one,), 3).text == "a"
    assert Card(Kind.CLUSTER, (one, two), 5, "x").text == "Message 1:\na\n\nMessage 2:\nb"


def test_clusters_of_one_name_are_told_apart():
    one, two, three = _prompts("a", "b", "c")
    found = clusters_of([one, two, three], {one.hash: 0, two.hash: 1}, {0: "card", 1: "card"})
    assert found == {"card (0)": [one], "card (1)": [two]}
