from __future__ import annotations

from tutelage.data import drop_repeats, exclude_gold
from tutelage.data.arrivals import arrivals
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
