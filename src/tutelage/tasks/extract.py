"""`extract`: a record that follows a JSON schema, some of whose fields may be written anew."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

from tutelage.config import FieldConfig
from tutelage.records import AnswerStatus, Fields, Value
from tutelage.storage import hash_json
from tutelage.tasks._asking import (
    DATA_NOT_ORDERS,
    RATIONALE_KEY,
    fixed_messages,
    messages,
    object_schema,
    object_text,
    ordered_keys,
    prompting_parts,
    rationale_text,
    shape_text,
)
from tutelage.tasks._open import OpenSpace
from tutelage.tasks._reading import (
    NoAnswer,
    answer_text,
    attempted,
    load_strictly,
    read_json,
    read_rationale,
    require_keys,
    unparseable,
)
from tutelage.tasks._rules import rules_of
from tutelage.tasks._schema import (
    checked_schema,
    for_providers,
    hold_to,
    inside,
    is_strict,
    json_type,
    validator_of,
)
from tutelage.tasks.comparison import Node, Outcome, compare_records, outcomes_of
from tutelage.tasks.protocol import (
    PLAIN,
    CellFault,
    CellFaultKind,
    Comparison,
    Parsed,
    Prompting,
    RationaleMode,
)

_RECORD_KEY = "record"  # under which the record stands where reasons stand beside it
_NOTHING = Fields({})


@dataclass(frozen=True)
class Extract(OpenSpace):
    """The task, resolved. `record` is the JSON schema as given, `fields` how some of its fields are compared.

    Raises ConfigError for a schema that can't be used, and for `fields` that don't fit it.
    """

    record: Mapping[str, Any]
    instruction: str = "Extract the fields from the message."
    fields: Mapping[str, FieldConfig] = field(default_factory=dict)
    prompting: Prompting = PLAIN

    def __post_init__(self) -> None:
        _ = self._rules  # every fault of the schema shows here, before anything is asked

    @property
    def kind(self) -> str:
        """`extract`."""
        return "extract"

    @property
    def version(self) -> str:
        """A hash of all that shapes an answer, the order of the schema's fields too."""
        return hash_json(
            ["extract", json.dumps(self.record), self.instruction, *prompting_parts(self.prompting)]
        )

    @property
    def comparing(self) -> str:
        """See `Task.comparing`: the fields' rules."""
        return hash_json({name: rule.model_dump() for name, rule in self.fields.items()})

    def with_prompting(self, prompting: Prompting, instruction: str | None = None) -> Extract:
        """The same task asked otherwise."""
        return replace(self, prompting=prompting, instruction=instruction or self.instruction)

    @cached_property
    def _closed(self) -> dict[str, Any]:
        return checked_schema(self.record, "task.record")

    @cached_property
    def _validator(self) -> Any:
        return validator_of(self._closed)

    @cached_property
    def _rules(self) -> Node:
        return rules_of(self._closed, self.fields)

    @property
    def _asks_reasons(self) -> bool:
        return self.prompting.rationale is not RationaleMode.NONE

    @property
    def _keys(self) -> list[str]:
        return ordered_keys(_RECORD_KEY, self.prompting.rationale)

    def render(self, text: str) -> list[dict[str, str]]:
        """Chat messages that ask for the record in `text`; instruction, schema and examples stand first."""
        return messages(self._fixed, text)

    @cached_property
    def _fixed(self) -> list[dict[str, str]]:
        return fixed_messages(self._system, self.prompting, self._answer_of)

    def _answer_of(self, value: Value) -> str:
        record = dict(value) if isinstance(value, Fields) else value
        return json.dumps({_RECORD_KEY: record} if self._asks_reasons else record, ensure_ascii=False)

    @cached_property
    def _system(self) -> str:
        shape = "one object that follows the schema"
        if self._asks_reasons:
            shape = shape_text(self._keys, {_RECORD_KEY: "{...}"}) + ", the record following the schema"
        return (
            f"{self.instruction}\n\nJSON schema of the record:\n"
            f"{json.dumps(self._closed, ensure_ascii=False)}"
            f"\n\nAnswer with JSON only: {shape}.{rationale_text(self.prompting.rationale)} {DATA_NOT_ORDERS}"
        )

    @cached_property
    def _schema(self) -> dict[str, Any]:
        record = for_providers(self._closed)
        if not self._asks_reasons:
            return record
        record = inside(record, _RECORD_KEY)
        names: tuple[str, ...] = ("$defs", "definitions")
        shared = {name: record.pop(name) for name in names if name in record}
        return {**object_schema({_RECORD_KEY: record}, self._keys), **shared}

    def answer_text(self, value: Value, rationale: str = "") -> str:
        """See `Task.answer_text`."""
        record = dict(value) if isinstance(value, Fields) else value
        if self._asks_reasons:
            return object_text({_RECORD_KEY: record}, self._keys, rationale)
        return json.dumps(record, ensure_ascii=False)

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, without limits that providers differ on; `parse` holds to those."""
        return self._schema

    @property
    def strict(self) -> bool:
        """Whether providers' strict modes take that schema: all fields required, no conditions in it."""
        return is_strict(self._schema)

    def parse(self, raw: str) -> Parsed:
        """Read an answer's text: the JSON object asked for, alone or in a code fence. Nothing is coerced."""
        return attempted(lambda: self._parse(raw))

    def _parse(self, raw: str) -> Parsed:
        content = read_json(answer_text(raw))
        if not self._asks_reasons:
            return Parsed(AnswerStatus.OK, self._held(content))
        content = require_keys(content, self._keys)
        record = self._held(content[_RECORD_KEY])
        return Parsed(AnswerStatus.OK, record, rationale=read_rationale(content, RATIONALE_KEY))

    def _held(self, content: Any) -> Fields:
        """The record, as far as it follows the schema and can be kept. Raises NoAnswer."""
        try:
            if not isinstance(content, dict):
                raise unparseable(f"the record is {json_type(content)}, not object (type)")
            hold_to(self._validator, content)
            json.dumps(content, ensure_ascii=False).encode("utf-8")
            return Fields(content)
        except UnicodeEncodeError:
            raise unparseable("the record holds half of a surrogate pair, which is no text") from None
        except RecursionError:
            raise unparseable("the record is nested too deeply") from None

    def admit(self, value: Any) -> Parsed:
        """Hold a record that came otherwise than as text to the schema."""
        if not isinstance(value, Mapping):
            return Parsed(
                AnswerStatus.UNPARSEABLE, None, f"its value is {type(value).__name__}, not a record"
            )
        try:
            content = dict(Fields(value))
        except (TypeError, ValueError, RecursionError) as error:
            return Parsed(AnswerStatus.UNPARSEABLE, None, f"its value is no JSON: {str(error)[:120]}")
        return attempted(lambda: Parsed(AnswerStatus.OK, self._held(content)))

    def read_cell(self, cell: Any, separator: str) -> Value:
        """A record from JSON text, or from the nested object of a JSONL or Parquet cell. Raises CellFault."""
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            raise CellFault(CellFaultKind.EMPTY, "is empty")
        if not isinstance(cell, str | Mapping):
            raise CellFault(CellFaultKind.NOT_TEXT, f"holds {type(cell).__name__}")
        try:
            content = load_strictly(cell) if isinstance(cell, str) else dict(Fields(cell))
        except (TypeError, ValueError, RecursionError) as error:
            raise CellFault(CellFaultKind.MISFIT, f"not JSON: {str(error)[:120]}") from None
        try:
            return self._held(content)
        except NoAnswer as fault:
            kind = CellFaultKind.MISFIT
            if fault.parsed.status is AnswerStatus.OUT_OF_SET:
                kind = CellFaultKind.OUT_OF_SET
            raise CellFault(kind, fault.parsed.reason) from None

    def compare(self, answer: Value, reference: Value) -> Comparison:
        """All fields agree or they don't, each by its rule; see `tasks.comparison`."""
        return compare_records(answer, reference, self._rules)

    def score(self, answers: Sequence[Value | None], references: Sequence[Value]) -> dict[str, float]:
        """`n`, `accuracy` (records of which every field agrees), `mean_score`, and over fields:

        `field_accuracy` (the mean over fields of the share that agrees), `field_precision`, `field_recall`
        and `field_f1` over fields that answer or reference have, and `accuracy.<field>` for each. Empty for
        no references. Raises ValueError where lengths differ.
        """
        pairs = list(zip(answers, references, strict=True))
        if not pairs:
            return {}
        found = [
            list(self.outcomes(answer, reference))
            for answer, reference in zip(answers, references, strict=True)
        ]
        scores = [0.0 if answer is None else self.compare(answer, right).score for answer, right in pairs]
        whole = [
            answer is not None and all(item.agree for item in some)
            for (answer, _), some in zip(pairs, found, strict=True)
        ]
        return {
            "n": len(pairs),
            "accuracy": sum(whole) / len(pairs),
            "mean_score": fsum(scores) / len(pairs),
            **_over_fields([outcome for some in found for outcome in some]),
        }

    def outcomes(self, answer: Value | None, reference: Value) -> Iterator[Outcome]:
        """Of no answer every field is wrong, those too that the reference doesn't have."""
        for outcome in outcomes_of(_NOTHING if answer is None else answer, reference, self._rules):
            yield outcome if answer is not None else replace(outcome, agree=False, score=0.0)


def _over_fields(outcomes: Sequence[Outcome]) -> dict[str, float]:
    agreeing: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        agreeing[outcome.path].append(outcome.agree)
    accuracy = {path: sum(some) / len(some) for path, some in agreeing.items()}
    right = sum(outcome.agree and outcome.given and outcome.wanted for outcome in outcomes)
    given = sum(outcome.given for outcome in outcomes)
    wanted = sum(outcome.wanted for outcome in outcomes)
    return {
        "field_accuracy": fsum(accuracy.values()) / len(accuracy) if accuracy else 1.0,
        "field_precision": right / given if given else 0.0,
        "field_recall": right / wanted if wanted else 0.0,
        "field_f1": 2 * right / (given + wanted) if given + wanted else 0.0,
        **{f"accuracy.{path}": share for path, share in sorted(accuracy.items())},
    }
