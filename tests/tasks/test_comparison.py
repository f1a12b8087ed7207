"""Two records agree where every field does, each by its own rule."""

from __future__ import annotations

import pytest

from tutelage.records import Fields
from tutelage.tasks.comparison import Branch, Leaf, Listing, Rule, compare_records, outcomes_of


def _score(answer, reference, rule=None):
    comparison = compare_records({"f": answer}, {"f": reference}, Branch({"f": Leaf(rule or Rule())}))
    return comparison.agree, comparison.fields.get("f")


@pytest.mark.parametrize(
    ("answer", "reference", "agree"),
    [
        ("a", "a", True), ("a", "A", False), ("a", "a ", False), (1, 1.0, True), (1, True, False), (0, False, False),
        ([1, 2], [1.0, 2], True), ([1, 2], [2, 1], False), ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True), ("1", 1, False),
        (None, None, True), (None, "", False), ("", None, False),
    ],
)  # fmt: skip
def test_exact_is_equality_of_json(answer, reference, agree):
    assert _score(answer, reference) == (agree, float(agree))


@pytest.mark.parametrize(
    ("answer", "reference", "tolerance", "agree"),
    [
        (1.1, 1.0, 0.1, True), (1.1000001, 1.0, 0.1, False), (0.3, 0.1 + 0.2, 0.0, False), (10**300, 10**300 + 1, 1, True),
        (1e308, -1e308, 1.0, False), (5, 5.0, 0.0, True), (True, 1, 5.0, False), ("5", 5, 5.0, False),
    ],
)  # fmt: skip
def test_numbers_agree_within_their_tolerance_as_decimals(answer, reference, tolerance, agree):
    assert _score(answer, reference, Rule("number", tolerance=tolerance)) == (agree, float(agree))


def test_texts_agree_by_similarity_and_score_it():
    rule = Rule("text", similarity=0.5)
    agree, score = _score("Refund the charge.", "Refund the charges", rule)
    assert agree and 0.5 < score < 1.0
    agree, score = _score("Refund the charge.", "Send a card", rule)
    assert not agree and 0.0 <= score < 0.5
    assert _score(3, 3, rule) == (True, 1.0)


def test_sets_count_their_members_and_not_their_order():
    rule = Rule("set")
    assert _score(["a", "b"], ["b", "a"], rule) == (True, 1.0)
    assert _score(["a", "b"], ["a", "c"], rule) == (False, 1 / 3)
    assert _score(["a", "a"], ["a"], rule) == (False, 1 / 2)
    assert _score([], [], rule) == (True, 1.0)
    assert _score([{"x": 1}], [{"x": 1.0}], rule) == (True, 1.0)


def test_what_is_ignored_is_no_field():
    comparison = compare_records(
        {"f": 1, "g": 1}, {"f": 2, "g": 1}, Branch({"f": Leaf(Rule("ignore")), "g": Leaf()})
    )
    assert comparison.agree and comparison.score == 1.0 and comparison.fields == {"g": 1.0}


LINES = Branch({"who": Branch({"name": Leaf()}), "lines": Listing(Branch({"amount": Leaf(Rule("number"))}))})


def test_fields_inside_objects_and_lists_have_dotted_paths():
    reference = Fields({"who": {"name": "Ada"}, "lines": [{"amount": 1}, {"amount": 2}]})
    answer = Fields({"who": {"name": "Bob"}, "lines": [{"amount": 1}, {"amount": 3}, {"amount": 4}]})
    comparison = compare_records(answer, reference, LINES)
    assert not comparison.agree
    assert comparison.fields == {"who.name": 0.0, "lines.amount": 1 / 3}
    assert comparison.score == pytest.approx((0 + 1 / 3) / 2)
    assert compare_records(reference, reference, LINES).agree


def test_a_part_that_one_side_lacks_counts_field_by_field():
    outcomes = list(outcomes_of({"who": None}, {"who": {"name": "Ada"}, "lines": []}, LINES))
    assert [(o.path, o.agree, o.given, o.wanted) for o in outcomes] == [
        ("who.name", False, False, True),
        ("lines", False, False, False),  # null is not an empty list, and there is nothing to be found
    ]
    # Lists that neither has, or that are empty on both sides, agree.
    assert compare_records({"lines": []}, {"lines": []}, LINES).agree
    assert compare_records({}, {"lines": None}, LINES).agree


def test_another_kind_of_thing_is_compared_exactly():
    assert compare_records({"who": "Ada"}, {"who": {"name": "Ada"}}, LINES).fields["who"] == 0.0
    assert compare_records({"extra": 1}, {"extra": 1.0}, LINES).fields["extra"] == 1.0
