"""What people fill in becomes a value of the task, or is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import UsageError
from tutelage.records import Fields
from tutelage.tasks import Classify, Extract, FormKind, Generate, Judge, filled_in, form_of, read_form

RECORD = {
    "type": "object",
    "properties": {
        "order": {"type": ["string", "null"], "description": "its number"},
        "amount": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "kind": {"enum": ["refund", "card"]},
        "urgent": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "place": {"$ref": "#/$defs/place"},
        "note": {"type": "string"},
    },
    "required": ["kind", "urgent", "names", "place", "order", "amount"],
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
TASK = Extract(RECORD)


def test_each_kind_of_task_has_its_form():
    assert form_of(Classify(("x", "y"))).kind is FormKind.CHOICE
    assert form_of(Classify(("x", "y"), multi_label=True)).kind is FormKind.CHOICES
    assert [option.text for option in form_of(Judge(("1", "2"), "rubric", scored=True)).options] == ["1", "2"]
    assert form_of(Generate()).kind is FormKind.TEXT
    widgets = [(field.widget.value, field.optional) for field in form_of(TASK).fields]
    assert widgets == [
        ("line", True),
        ("number", True),
        ("options", False),
        ("options", False),
        ("lines", False),
        ("json", False),
        ("line", True),
    ]
    with pytest.raises(UsageError, match="set task.labels"):
        form_of(Classify(()))


def test_a_record_is_read_field_by_field():
    sent = {
        "field-0": " 42-1 ",
        "field-1": "12.5",
        "field-2": "1",
        "field-3": "0",
        "field-4": "Ada\r\n\r\nBob\r\n",
        "field-5": '{"city": "Bern"}',
    }
    found = read_form(TASK, sent)
    assert dict(found) == {
        "order": "42-1",
        "amount": 12.5,
        "kind": "card",
        "urgent": True,
        "names": ["Ada", "Bob"],
        "place": {"city": "Bern"},
    }
    empty = read_form(TASK, sent | {"field-0": "", "field-1": "", "field-4": ""})
    assert (empty["order"], empty["amount"], empty["names"]) == (None, None, [])
    assert "note" not in empty, "a field that need not be there is left out"
    assert read_form(TASK, filled_in(TASK, found)) == found


@pytest.mark.parametrize(
    "change, told",
    [
        ({"field-1": "twelve"}, "amount is 'twelve', which isn't a number"),
        ({"field-1": '"12"'}, "amount"),
        ({"field-2": ""}, "kind is empty"),
        ({"field-2": "7"}, "kind: no choice '7'"),
        ({"field-5": "{"}, "place is '{', which isn't JSON"),
        ({"field-5": '{"town": "Bern"}'}, "place.city"),
    ],
)
def test_what_does_not_fit_is_told(change, told):
    sent = {"field-2": "0", "field-3": "1", "field-5": '{"city": "Bern"}'}
    with pytest.raises(UsageError, match=r"Mend:") as fault:
        read_form(TASK, sent | change)
    assert told in str(fault.value)


def test_choices():
    one, several = Classify(("x", "y")), Classify(("x", "y", "z"), multi_label=True)
    assert read_form(one, {"choice": "1"}) == "y"
    for sent in ({}, {"choice": "2"}, {"choice": "y"}, {"save": "yes"}):
        with pytest.raises(UsageError, match="no answer was chosen"):
            read_form(one, sent)
    assert read_form(several, {"choice-2": "on", "choice-0": "on"}) == ("x", "z")
    assert read_form(several, {}) == ()


def test_texts():
    task = Generate(max_characters=10)
    assert read_form(task, {"text": "one\r\ntwo"}) == "one\ntwo"
    for text, told in (("  ", "is empty"), ("x" * 11, "10")):
        with pytest.raises(UsageError, match=told):
            read_form(task, {"text": text})


@given(st.lists(st.sampled_from(["x|y", "z", "ü"]), unique=True))
def test_sets_come_back_as_they_were(names):
    task = Classify(("x|y", "z", "ü"), multi_label=True)
    value = tuple(sorted(names))
    assert read_form(task, filled_in(task, value)) == value


@given(st.dictionaries(st.sampled_from([f"field-{n}" for n in range(7)]), st.text(max_size=20)))
def test_whatever_is_sent_gives_a_record_or_is_told(sent):
    try:
        found = read_form(TASK, sent)
    except UsageError:
        return
    assert isinstance(found, Fields) and TASK.admit(found).value == found
