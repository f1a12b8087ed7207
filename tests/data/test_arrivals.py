from __future__ import annotations

from tutelage.data import drop_repeats, exclude_gold
from tutelage.data.arrivals import arrivals, draw_came_in
from tutelage.data.sources import RejectReason
from tutelage.records import Prompt, Rejection


def _prompts(*texts, prefix="t"):
    return [Prompt(f"{prefix}{number}", text) for number, text in enumerate(texts)]


def test_all_that_came_in_counts_again():
    gold = _prompts("please send the invoice to my accountant", prefix="g")
    traffic = _prompts(
        "where is my parcel",
        "Where is  my parcel",
        "where is my parcel",
        "Please send the invoice to my accountant",
        "please send the invoice to my accountants",
        "a lamp arrived broken",
    )
    distinct, repeats = drop_repeats(traffic)
    kept, in_gold = exclude_gold(distinct, gold, 0.85)
    found = arrivals(kept, [*repeats, *in_gold], gold)
    assert sum(item.count for item in found) == len(traffic)
    by_text = {item.prompt.text: item for item in found}
    assert by_text["where is my parcel"].count == 3
    assert by_text["please send the invoice to my accountant"].prompt.hash == gold[0].hash
    assert [item.prompt.id for item in found[:2]] == [prompt.id for prompt in kept]


def test_a_repeat_of_a_long_text_is_found_by_its_beginning():
    long = "word " * 100
    kept, repeats = drop_repeats(_prompts(long, long.upper()))
    [one] = arrivals(kept, repeats, [])
    assert (one.prompt.text, one.count) == (long, 2)


def test_rows_that_could_not_be_read_never_came_in():
    broken = Rejection("f", 1, "x", RejectReason.TOO_LONG, "", "some text")
    assert arrivals([], [broken], []) == []


def _repeats(count, text="asked all day"):
    return [Rejection("f", row, f"r{row}", RejectReason.DUPLICATE_TEXT, "", text) for row in range(count)]


def test_of_little_all_of_it_came_in_in_its_order():
    prompts, repeats = _prompts("a", "b", "c"), _repeats(2)
    broken = Rejection("f", 9, "x", RejectReason.TOO_LONG, "", "some text")
    drawn = draw_came_in(iter(prompts), iter([broken, *repeats]), 5, 0)
    assert (drawn.prompts, drawn.rejected, drawn.of) == (prompts, repeats, 5)
    nothing = draw_came_in([], [], 5, 0)
    assert (nothing.prompts, nothing.rejected, nothing.of) == ([], [], 0)


def test_what_is_drawn_has_each_texts_share_and_none_that_was_passed_over_before():
    prompts, repeats = _prompts(*(f"text {n}" for n in range(6_000)), "asked all day"), _repeats(4_000)
    drawn = draw_came_in(prompts, repeats, 1_000, 3)
    assert len(drawn.prompts) + len(drawn.rejected) == 1_000 and drawn.of == 10_001
    found = {item.prompt.text: item.count for item in arrivals(drawn.prompts, drawn.rejected, [])}
    # 400 are expected of a thousand draws without replacement; 4.9 standard deviations are one in a million
    assert abs(found["asked all day"] - 400) < 4.9 * (1_000 * 0.4 * 0.6) ** 0.5
    assert drawn == draw_came_in(prompts, repeats, 1_000, 3) != draw_came_in(prompts, repeats, 1_000, 4)
    grown = draw_came_in([*prompts, *_prompts(*(f"later {n}" for n in range(5_000)))], repeats, 1_000, 3)
    old = {prompt.text for prompt in grown.prompts if not prompt.text.startswith("later")}
    assert old < {prompt.text for prompt in drawn.prompts} and len(grown.prompts) > len(old)
    assert {item.row for item in grown.rejected} < {item.row for item in drawn.rejected}
