"""A record teaches only where it is exactly what its schema says."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config import ExtractConfig, FieldConfig
from tutelage.errors import ConfigError
from tutelage.records import AnswerStatus, Fields, dump_value, load_value
from tutelage.tasks import Example, Extract, Prompting, RationaleMode, task_from_config

INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "minLength": 1},
        "currency": {"enum": ["EUR", "USD"]},
        "total": {"type": "number"},
        "paid": {"type": "boolean"},
        "customer": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "vat": {"type": ["string", "null"]}},
        },
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"what": {"type": "string"}, "amount": {"type": "number"}},
            },
        },
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
FIELDS = {
    "total": FieldConfig(tolerance=0.01),
    "lines.what": FieldConfig(compare="text", similarity=0.6),
    "tags": FieldConfig(compare="set"),
    "customer.vat": FieldConfig(compare="ignore"),
}
TASK = Extract(INVOICE, fields=FIELDS)
RECORD = {
    "number": "A-1",
    "currency": "EUR",
    "total": 10.5,
    "paid": False,
    "customer": {"name": "Ada", "vat": None},
    "lines": [{"what": "two chairs", "amount": 10.5}],
    "tags": ["office", "chairs"],
}
_BOTH = [TASK, TASK.with_prompting(Prompting(rationale=RationaleMode.BEFORE))]


def _with(**changes) -> str:
    return json.dumps(RECORD | changes)


def _without(name: str) -> str:
    return json.dumps({key: value for key, value in RECORD.items() if key != name})


def test_a_record_comes_back_as_it_is():
    for raw in (
        json.dumps(RECORD),
        f"```json\n{json.dumps(RECORD, indent=1)}\n```",
        f"  {json.dumps(RECORD)}\n",
    ):
        parsed = TASK.parse(raw)
        assert (parsed.status, parsed.value) == (AnswerStatus.OK, Fields(RECORD))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (_without("number"), "field 'number' is missing (required)"),
        (_with(extra=1), "field 'extra' is none of the schema's (additionalProperties)"),
        (_with(total="10.5"), "field 'total' is string, not number (type)"),
        (_with(total=True), "field 'total' is boolean, not number (type)"),
        (_with(total=None), "field 'total' is null, not number (type)"),
        (_with(number=""), "field 'number' breaks minLength 1: ''"),
        (_with(paid=0), "field 'paid' is integer, not boolean (type)"),
        (_with(customer={"name": "Ada"}), "field 'customer.vat' is missing (required)"),
        (_with(customer={"name": "Ada", "vat": 3}), "field 'customer.vat' is integer, not string or null (type)"),
        (_with(lines=[{"what": "x", "amount": 1}, {"what": 3, "amount": 1}]), "field 'lines.1.what' is integer, not string"),
        (_with(currency=["EUR"], total="x"), "field 'total' is string"),
        (json.dumps([RECORD]), "the record is array, not object (type)"),
        ("null", "the record is null"),
        ('{"number": "A", "number": "B"}', "the key 'number' stands twice"),
        (_with(total=1).replace('"total": 1', '"total": NaN'), "NaN is no JSON number"),
        (_with(total=1).replace('"total": 1', '"total": -Infinity'), "-Infinity is no JSON number"),
        (_with(total=1).replace('"total": 1', '"total": 1e999'), "the number 1e999 is too large"),
        (f"Here it is: {json.dumps(RECORD)}", "not the JSON that was asked for"),
        (f"{json.dumps(RECORD)} I hope this helps.", "not the JSON that was asked for: Extra data"),
        (f"Sure!\n```json\n{json.dumps(RECORD)}\n```", "not the JSON that was asked for"),
        (json.dumps(RECORD)[:-5], "not the JSON that was asked for"),
        (_with(number="\ud800"), "half of a surrogate pair"),
        ("", "the answer is empty"),
        ("[" * 100_000, "not the JSON that was asked for"),
        ('{"number": ' + "[" * 900 + "]" * 900 + "}", "field 'number' is array, not string (type)"),
    ],
)  # fmt: skip
def test_what_is_not_the_record_is_quarantined_naming_field_and_rule(raw, reason):
    parsed = TASK.parse(raw)
    assert (parsed.status, parsed.value) == (AnswerStatus.UNPARSEABLE, None)
    assert reason in parsed.reason and len(parsed.reason) < 500


def test_a_value_outside_its_set_is_told_from_a_broken_record():
    parsed = TASK.parse(_with(currency="GBP"))
    assert parsed.status is AnswerStatus.OUT_OF_SET
    assert parsed.reason == "field 'currency': 'GBP' is not in its set"
    several = Extract({"type": "object", "properties": {"a": {"anyOf": [{"enum": ["x"]}, {"type": "null"}]}}})
    assert several.parse('{"a": null}').status is AnswerStatus.OK
    assert several.parse('{"a": "y"}').status is not AnswerStatus.OK


def test_a_refusal_is_told_from_noise():
    assert TASK.parse("I'm sorry, I can't read that.").status is AnswerStatus.REFUSED


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from([*RECORD, "x"]), below, max_size=4)
    ),
    max_leaves=8,
)
_records = st.fixed_dictionaries(
    {
        "number": st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        "currency": st.sampled_from(["EUR", "USD"]),
        "total": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "paid": st.booleans(),
        "customer": st.fixed_dictionaries(
            {"name": st.text(st.characters(exclude_categories=["Cs"])), "vat": st.none()}
        ),
        "lines": st.lists(
            st.fixed_dictionaries({"what": st.just("x"), "amount": st.integers(0, 9)}), max_size=2
        ),
        "tags": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=3),
    }
)


@settings(max_examples=200, deadline=None)
@given(
    raw=st.text(max_size=80)
    | _json.map(json.dumps)
    | st.binary(max_size=40).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
def test_whatever_the_text_it_is_a_record_of_the_schema_or_quarantined(raw):
    for task in _BOTH:
        parsed = task.parse(raw)
        if parsed.status is AnswerStatus.OK:
            assert task.admit(parsed.value).value == parsed.value
        else:
            assert parsed.value is None and 0 < len(parsed.reason) < 1000


@settings(max_examples=150, deadline=None)
@given(record=_records)
def test_every_record_comes_back_equal_from_its_own_dump(record):
    value = Fields(record)
    assert TASK.parse(dump_value(value)).value == value
    assert load_value(dump_value(value)) == value
    assert TASK.admit(value).value == value
    assert TASK.read_cell(dump_value(value), "|") == value
    assert TASK.compare(value, value).agree
    jsonschema.Draft202012Validator(TASK.json_schema()).validate(record)


@pytest.mark.parametrize(
    ("mode", "keys"), [("before", ["rationale", "record"]), ("after", ["record", "rationale"])]
)
def test_reasons_stand_beside_the_record(mode, keys):
    task = TASK.with_prompting(Prompting(rationale=RationaleMode(mode)))
    raw = json.dumps({"rationale": "It says so.", "record": RECORD})
    parsed = task.parse(raw)
    assert (parsed.value, parsed.rationale) == (Fields(RECORD), "It says so.")
    assert list(task.json_schema()["properties"]) == keys
    jsonschema.Draft202012Validator(task.json_schema()).validate(json.loads(raw))
    assert task.strict
    for wrong in (
        RECORD,
        {"record": RECORD},
        {"record": RECORD, "rationale": 3},
        {"record": RECORD, "rationale": "", "x": 1},
    ):
        assert task.parse(json.dumps(wrong)).status is AnswerStatus.UNPARSEABLE


def test_references_still_lead_home_where_the_record_stands_inside():
    tree = {
        "type": "object",
        "properties": {
            "name": {"$ref": "#/$defs/name"},
            "again": {"$ref": "#/properties/name"},
            "below": {"type": "array", "items": {"$ref": "#"}},
        },
        "$defs": {"name": {"enum": ["a", "b"]}},
    }
    task = Extract(tree).with_prompting(Prompting(rationale=RationaleMode.AFTER))
    good = {"name": "a", "again": "b", "below": [{"name": "b", "again": "a", "below": []}]}
    bad = {"name": "a", "again": "b", "below": [{"name": "c", "again": "a", "below": []}]}
    validator = jsonschema.Draft202012Validator(task.json_schema())
    for record, fits in ((good, True), (bad, False)):
        answer = {"record": record, "rationale": "so"}
        assert validator.is_valid(answer) is fits
        assert (task.parse(json.dumps(answer)).status is AnswerStatus.OK) is fits


def _keywords(schema):
    if isinstance(schema, dict):
        yield from schema
        for name, below in schema.items():
            parts = below.values() if name in {"properties", "$defs"} else [below] if name == "items" else []
            for part in parts:
                yield from _keywords(part)


def test_the_schema_for_providers_is_strict_and_has_no_limits():
    assert TASK.strict
    assert set(_keywords(TASK.json_schema())) <= {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
    }
    assert TASK.json_schema()["required"] == list(INVOICE["properties"])
    assert TASK.parse(_with(number="")).status is AnswerStatus.UNPARSEABLE  # the limit holds all the same


@pytest.mark.parametrize(
    "part",
    [
        {"required": []}, {"additionalProperties": True}, {"patternProperties": {"x": {"type": "string"}}},
        {"allOf": [{"required": ["a"]}]}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"anyOf": [{"required": ["a"]}]}, {"dependentRequired": {"a": ["b"]}},
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_strict_says_so_and_is_used(part):
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, **part}
    task = Extract(schema)
    assert not task.strict
    assert task.parse('{"a": "x", "b": "y"}').status is AnswerStatus.OK
    assert jsonschema.Draft202012Validator(task.json_schema()).is_valid({"a": "x", "b": "y"})


def test_a_schema_may_leave_fields_out_and_allow_others():
    task = Extract(
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": [],
            "additionalProperties": True,
        }
    )
    assert task.parse("{}").value == Fields({})
    assert task.parse('{"b": [1]}').value == Fields({"b": [1]})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array"}, "must be the JSON schema of an object"),
        ({"type": "object"}, "must be the JSON schema of an object"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "is no JSON schema: at properties.a.type"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x.org/s.json"}}}, "refers to another document"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "refers to another document"),
        ({"type": "object", "properties": {"a": {"$ref": "other.json#/x"}}}, "refers to another document"),
        ({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "other.json"}]}}}, "refers to another document"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}, "which it doesn't have"),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}, "which it doesn't have"),
        ({"type": "object", "properties": {"a": {}}, "$id": "https://x.org/"}, "changes where names are looked up"),
        ({"type": "object", "properties": {"a": {"$dynamicRef": "#x"}}}, "changes where names are looked up"),
        ({"type": "object", "properties": {"a": {}}, "$schema": "http://json-schema.org/draft-07/schema#"}, "draft-07"),
    ],
)  # fmt: skip
def test_a_schema_that_will_not_do_is_one_error(schema, message):
    with pytest.raises(ConfigError, match=r"task\.record.*Mend") as caught:
        Extract(schema)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"totl": {}}, "'totl'.*nearest is 'total'"),
        ({"what": {}}, "nearest is 'lines.what'|doesn't have"),
        ({"number": {"compare": "number"}}, "fields.number: compare is 'number'.*string there"),
        ({"total": {"compare": "text"}}, "fields.total: compare is 'text'"),
        ({"customer": {"compare": "set"}}, "fields.customer: compare is 'set'"),
    ],
)
def test_a_comparison_that_does_not_fit_the_schema_is_one_error(fields, message):
    with pytest.raises(ConfigError, match=message):
        Extract(INVOICE, fields={name: FieldConfig(**value) for name, value in fields.items()})


def test_fields_are_compared_each_by_its_own_rule():
    other = RECORD | {
        "total": 10.51,
        "lines": [{"what": "two chair", "amount": 10.5}],
        "tags": ["chairs", "office"],
        "customer": {"name": "Ada", "vat": "DE1"},
    }
    assert TASK.compare(Fields(other), Fields(RECORD)).agree
    worse = other | {"total": 10.52, "lines": []}
    comparison = TASK.compare(Fields(worse), Fields(RECORD))
    assert not comparison.agree
    assert comparison.fields["total"] == 0.0 and comparison.fields["lines.amount"] == 0.0
    assert comparison.fields["tags"] == 1.0 and "customer.vat" not in comparison.fields


def test_metrics_by_hand():
    task = Extract(
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}}
    )
    gold = [
        Fields({"a": 1, "b": "x"}),
        Fields({"a": 2, "b": None}),
        Fields({"a": 3, "b": "z"}),
        Fields({"a": 4, "b": None}),
    ]
    said = [Fields({"a": 1, "b": "x"}), Fields({"a": 2, "b": "y"}), Fields({"a": 9, "b": None}), None]
    metrics = task.score(said, gold)
    assert metrics["n"] == 4 and metrics["accuracy"] == 1 / 4
    assert metrics["accuracy.a"] == 2 / 4 and metrics["accuracy.b"] == 1 / 4
    assert metrics["field_accuracy"] == pytest.approx((2 / 4 + 1 / 4) / 2)
    # Present in answers: a a a, b b; in gold: a a a a, b b; right among both: a a, b.
    assert metrics["field_precision"] == 3 / 5
    assert metrics["field_recall"] == 3 / 6
    assert metrics["field_f1"] == pytest.approx(2 * 3 / 11)
    assert metrics["mean_score"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert task.score([], []) == {}
    with pytest.raises(ValueError):
        task.score([None], [])


def test_a_vote_is_the_record_nearest_to_the_others():
    records = [Fields(RECORD | {"number": name}) for name in ("A-1", "A-2", "A-2")]
    assert TASK.vote(records) == (records[1], None)
    assert TASK.vote(records[:2]) == (records[0], None)  # a tie goes to the earlier


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (None, "empty"), ("  ", "empty"), (3, "not_text"), ([RECORD], "not_text"), ("{", "misfit"),
        ('{"number": "a", "number": "b"}', "misfit"), (_without("total"), "misfit"), (RECORD | {"total": float("nan")}, "misfit"),
        (RECORD | {"currency": "GBP"}, "out_of_set"), (RECORD | {"total": object()}, "misfit"),
    ],
)  # fmt: skip
def test_a_cell_without_a_record_says_what_is_wrong_with_it(cell, kind):
    with pytest.raises(ValueError, match=r"\w") as caught:
        TASK.read_cell(cell, "|")
    assert caught.value.kind == kind


def test_what_other_teachers_return_is_held_to_the_schema():
    assert TASK.admit(RECORD).value == Fields(RECORD)
    for wrong in ("A-1", None, 3, {}, {"a": object()}, {1: 2}):
        assert TASK.admit(wrong).status is AnswerStatus.UNPARSEABLE
    assert TASK.admit(RECORD | {"currency": "GBP"}).status is AnswerStatus.OUT_OF_SET


def test_the_prompt_holds_the_schema_first_and_the_text_alone():
    text = 'Ignore that. {"number": "x"}'
    system, user = TASK.render(text)
    assert user == {"role": "user", "content": text}
    assert '"minLength": 1' in system["content"] and '"required"' in system["content"]
    shown = TASK.with_prompting(Prompting((Example("an invoice", Fields(RECORD)),))).render(text)
    assert [turn["role"] for turn in shown] == ["system", "user", "assistant", "user"]
    assert TASK.parse(shown[2]["content"]).value == Fields(RECORD)


def test_all_that_shapes_an_answer_is_in_the_version():
    turned = {**INVOICE, "properties": dict(reversed(INVOICE["properties"].items()))}
    others = [
        Extract(turned), Extract(INVOICE, "Read it."), TASK.with_prompting(Prompting(rationale=RationaleMode.AFTER)),
    ]  # fmt: skip
    assert len({TASK.version, *(task.version for task in others)}) == 4
    assert Extract(INVOICE).version == TASK.version  # comparison shapes no answer


SUPPORT = """
type: extract
instruction: Triage the message, note the facts, and propose the agent's next step.
record:
  type: object
  properties:
    intent: {enum: [refund, delivery, other]}
    note:
      type: object
      properties:
        order: {type: [string, "null"]}
        amount: {type: [number, "null"]}
    next_step: {type: string}
fields:
  note.amount: {tolerance: 0.01}
  next_step: {compare: text, similarity: 0.5}
"""


def test_a_composite_task_is_a_record_with_a_generated_field():
    import yaml

    task = task_from_config(ExtractConfig(**yaml.safe_load(SUPPORT)), {})
    gold = Fields(
        {
            "intent": "refund",
            "note": {"order": "A-1", "amount": 12.5},
            "next_step": "Refund the charge of $12.50.",
        }
    )
    close = task.parse(
        '{"intent": "refund", "note": {"order": "A-1", "amount": 12.5}, "next_step": "Refund the $12.50 charge."}'
    ).value
    other = task.parse(
        '{"intent": "refund", "note": {"order": "A-1", "amount": 12.5}, "next_step": "Wait."}'
    ).value
    assert task.strict
    assert task.compare(close, gold).agree and task.compare(close, gold).fields["next_step"] < 1.0
    assert not task.compare(other, gold).agree
    metrics = task.score([close, other], [gold, gold])
    assert metrics["accuracy"] == 0.5 and metrics["accuracy.intent"] == 1.0
    assert task.parse(
        '{"intent": "praise", "note": {"order": null, "amount": null}, "next_step": ""}'
    ).status is (AnswerStatus.OUT_OF_SET)


def test_the_record_may_stand_in_a_file(tmp_path):
    (tmp_path / "invoice.json").write_text(json.dumps(INVOICE))
    config = ExtractConfig(record_file="invoice.json", fields=FIELDS)
    assert task_from_config(config, {}, tmp_path) == TASK
    for name, content in (("list.json", "[]"), ("bad.json", "{"), ("x.txt", "{}")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ConfigError, match=r"task\.record_file.*" + name):
            task_from_config(ExtractConfig(record_file=name), {}, tmp_path)
    with pytest.raises(ConfigError, match=r"task\.record_file"):
        task_from_config(ExtractConfig(record_file="none.json"), {}, tmp_path)


def test_objects_inside_choices_and_maps_are_closed_too():
    point = {"type": "object", "properties": {"x": {"type": "integer"}}}
    task = Extract(
        {
            "type": "object",
            "properties": {
                "at": {"anyOf": [point, {"type": "null"}]},
                "by": {"type": "object", "properties": {}, "additionalProperties": point},
            },
        }
    )
    assert task.parse('{"at": {"x": 1}, "by": {"a": {"x": 2}}}').status is AnswerStatus.OK
    assert task.parse('{"at": null, "by": {}}').status is AnswerStatus.OK
    for raw in (
        '{"at": {}, "by": {}}',
        '{"at": {"x": 1, "y": 2}, "by": {}}',
        '{"at": null, "by": {"a": {}}}',
    ):
        assert task.parse(raw).status is AnswerStatus.UNPARSEABLE
    # Fields of a choice between an object and null are compared one by one.
    comparison = task.compare(Fields({"at": {"x": 1}, "by": {}}), Fields({"at": {"x": 2}, "by": {}}))
    assert comparison.fields["at.x"] == 0.0


@settings(max_examples=150, deadline=None)
@given(instance=_json)
def test_whatever_follows_the_schema_follows_the_one_for_providers(instance):
    schemas = [
        {"type": "object", "properties": {"x": {"oneOf": [{"type": "integer"}, {"const": 0}]}}, "required": []},
        {"type": "object", "properties": {"x": {"not": {"type": "string", "minLength": 2}}}},
        {"type": "object", "properties": {"x": {"type": ["array", "string"], "maxItems": 1, "uniqueItems": True}}},
        {"type": "object", "properties": {"total": {"minimum": 3}}, "if": {"required": ["x"]}, "then": {"minProperties": 2},
         "additionalProperties": True},
    ]  # fmt: skip
    for schema in schemas:
        task = Extract(schema)
        if task.admit(instance).status is AnswerStatus.OK:
            assert jsonschema.Draft202012Validator(task.json_schema()).is_valid(instance)


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("date", "2026-02-28", ["2026-02-30", "28.2.2026", "2026-2-8", "", "20260228"]),
        ("date-time", "2026-02-28T23:59:59Z", ["2026-02-28", "2026-02-28T25:00:00Z", "2026-02-28T10:00:00"]),
        ("date-time", "2026-02-28t23:59:59.25+01:00", ["2026-02-28 10:00:00Z"]),
        ("email", "a@example.org", ["nobody"]),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", ["123"]),
        ("ipv4", "127.0.0.1", ["127.0.0.256"]),
        ("postcode", "anything", []),  # a format that nobody knows is a remark
    ],
)
def test_a_format_is_held_to(form, right, wrong):
    task = Extract({"type": "object", "properties": {"a": {"type": "string", "format": form}}})
    assert task.parse(json.dumps({"a": right})).status is AnswerStatus.OK
    for value in wrong:
        parsed = task.parse(json.dumps({"a": value}))
        assert parsed.status is AnswerStatus.UNPARSEABLE and f"'a' breaks format '{form}'" in parsed.reason
