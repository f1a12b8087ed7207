"""`classify`: one label of a fixed set, or with `multi_label` any number of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import fsum
from typing import Any

from tutelage.config import LONGEST_NAME
from tutelage.records import AnswerStatus, Value
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
from tutelage.tasks._labelled import LabelSpace, nearest_label
from tutelage.tasks._reading import (
    NoAnswer,
    answer_text,
    attempted,
    out_of_set,
    read_json,
    read_rationale,
    require_keys,
    unparseable,
)
from tutelage.tasks.agreement import mean_f1
from tutelage.tasks.protocol import (
    PLAIN,
    CellFault,
    CellFaultKind,
    Comparison,
    Parsed,
    Prompting,
    RationaleMode,
)

_SHOWN = 80


@dataclass(frozen=True)
class Classify(LabelSpace):
    """The task, resolved: `labels` in their fixed order, which is that of every distribution.

    Without any label, before gold has told which there are, `read_cell` takes every one.
    """

    labels: tuple[str, ...]
    instruction: str = "Classify the message."
    descriptions: Mapping[str, str] | None = None
    multi_label: bool = False
    out_of_scope: str | None = None
    prompting: Prompting = PLAIN

    @property
    def kind(self) -> str:
        """`classify`."""
        return "classify"

    @property
    def version(self) -> str:
        """A hash of all that shapes an answer: part of the key under which answers are kept."""
        own = [self.labels, self.instruction, self.descriptions, self.multi_label, self.out_of_scope]
        return hash_json([*own, *prompting_parts(self.prompting)])

    def with_prompting(self, prompting: Prompting, instruction: str | None = None) -> Classify:
        """The same task asked otherwise."""
        return replace(self, prompting=prompting, instruction=instruction or self.instruction)

    @property
    def answer_key(self) -> str:
        """The key under which the label stands in an answer's object."""
        return "labels" if self.multi_label else "label"

    @property
    def _keys(self) -> list[str]:
        return ordered_keys(self.answer_key, self.prompting.rationale)

    def label_text(self, label: str) -> str:
        """A label as it stands in an answer's JSON."""
        return json.dumps(label, ensure_ascii=False)

    def render(self, text: str) -> list[dict[str, str]]:
        """Chat messages that ask a prompted teacher for the answer to `text`.

        The instruction, labels and examples stand first and never change, so that providers' prefix caches
        serve.
        """
        return messages(self._fixed, text)

    @cached_property
    def _fixed(self) -> list[dict[str, str]]:
        """Made once: a labelling run renders every prompt twice."""
        descriptions = self.descriptions or {}
        lines = [
            f"- {name}: {descriptions[name]}" if descriptions.get(name) else f"- {name}"
            for name in self.labels
        ]
        shape = shape_text(self._keys, {"labels": "[...]"})
        if self.multi_label:
            shape += " with every label that applies"
        scope = f"\nIf none of them fits, answer {self.out_of_scope!r}." if self.out_of_scope else ""
        system = (
            f"{self.instruction}\n\nLabels:\n"
            + "\n".join(lines)
            + scope
            + f"\n\nAnswer with JSON only: {shape}."
            + rationale_text(self.prompting.rationale)
            + f" {DATA_NOT_ORDERS}"
        )
        return fixed_messages(system, self.prompting, self._answer_of)

    def _answer_of(self, value: Value) -> str:
        names = self.names_of(value)
        given: Any = list(names) if self.multi_label else names[0]
        return json.dumps({self.answer_key: given}, ensure_ascii=False)

    def answer_text(self, value: Value, rationale: str = "") -> str:
        """See `Task.answer_text`."""
        names = self.names_of(value)
        given = list(names) if self.multi_label else names[0]
        return object_text({self.answer_key: given}, self._keys, rationale)

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, for endpoints that hold a model to one."""
        label = {"type": "string", "enum": list(self.labels)}
        body = {"type": "array", "items": label} if self.multi_label else label
        return object_schema({self.answer_key: body}, self._keys)

    @property
    def strict(self) -> bool:
        """Always: see `Task.strict`."""
        return True

    def parse(self, raw: str) -> Parsed:
        """Read an answer's text. Nothing is coerced: a label differs from one of the set or it doesn't.

        Accepted are the JSON object asked for (alone or in a code fence) and, where neither several labels
        nor reasons are wanted, a bare label; in this order.
        """
        return attempted(lambda: self._parse(raw))

    def _parse(self, raw: str) -> Parsed:
        text = answer_text(raw)
        bare_will_do = not self.multi_label and self.prompting.rationale is RationaleMode.NONE
        try:
            content = require_keys(read_json(text), self._keys)
            value = self._value(content[self.answer_key])
        except NoAnswer:
            if bare_will_do and text in self.labels:
                return Parsed(AnswerStatus.OK, text)
            raise
        asked = self.prompting.rationale is not RationaleMode.NONE
        return Parsed(
            AnswerStatus.OK, value, rationale=read_rationale(content, RATIONALE_KEY) if asked else ""
        )

    def _value(self, given: Any) -> Value:
        names = given if self.multi_label else [given]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise unparseable(f"{self.answer_key!r} holds {type(given).__name__}")
        return self._known(names)

    def _known(self, names: Sequence[str]) -> Value:
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise out_of_set(f"{unknown[0][:_SHOWN]!r} is not in the label set")
        return self.value_of(names)

    def admit(self, value: Any) -> Parsed:
        """Hold a value that came otherwise than as text to the label set."""
        names = value if self.multi_label else [value]
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            wanted = "a tuple of labels" if self.multi_label else "a label"
            reason = f"its value is {type(value).__name__}, not {wanted}"
            return Parsed(AnswerStatus.UNPARSEABLE, None, reason)
        return attempted(lambda: Parsed(AnswerStatus.OK, self._known(names)))

    def read_cell(self, cell: Any, separator: str) -> Value:
        """The label or labels of a cell, without white space around them. Raises CellFault."""
        given = "" if cell is None else cell
        if self.multi_label and isinstance(given, str):
            parts: list[Any] = given.split(separator)
        else:
            parts = given if self.multi_label and isinstance(given, list) else [given]
        names = []
        for part in parts:
            if not isinstance(part, str | int):
                raise CellFault(CellFaultKind.NOT_TEXT, f"holds {type(part).__name__}")
            if name := str(part).strip():
                names.append(name)
        if not names and not self.multi_label:
            raise CellFault(CellFaultKind.EMPTY, "is empty")
        return self._cell_value(names)

    def _cell_value(self, names: Sequence[str]) -> Value:
        if too_long := next((name for name in names if len(name) > LONGEST_NAME), None):
            raise CellFault(
                CellFaultKind.TOO_LONG,
                f"label of {len(too_long):,} characters; {LONGEST_NAME} are the most",
            )
        unknown = [name for name in names if self.labels and name not in self.labels]
        if unknown:
            said = f"{unknown[0][:_SHOWN]!r} is not in the label set"
            raise CellFault(CellFaultKind.OUT_OF_SET, said + nearest_label(unknown[0], self.labels))
        return self.value_of(names)

    def compare(self, answer: Value, reference: Value) -> Comparison:
        """Equal or not; the score of several labels is their Jaccard similarity, 1 where neither has any."""
        if not self.multi_label:
            return Comparison(answer == reference, float(answer == reference))
        given, right = set(self.names_of(answer)), set(self.names_of(reference))
        score = len(given & right) / len(given | right) if given | right else 1.0
        return Comparison(given == right, score)

    def score(self, answers: Sequence[Value | None], references: Sequence[Value]) -> dict[str, float]:
        """`n`, `accuracy` (of sets, exact match), `macro_f1`, and of several labels `mean_score` (Jaccard).

        Empty for no references. Raises ValueError where lengths differ.
        """
        pairs = list(zip(answers, references, strict=True))
        if not pairs:
            return {}
        compared = [
            Comparison(False, 0.0) if answer is None else self.compare(answer, reference)
            for answer, reference in pairs
        ]
        metrics: dict[str, float] = {
            "n": len(pairs),
            "accuracy": sum(item.agree for item in compared) / len(pairs),
            "macro_f1": mean_f1(
                [set() if answer is None else set(self.names_of(answer)) for answer in answers],
                [set(self.names_of(reference)) for reference in references],
            ),
        }
        if self.multi_label:
            metrics["mean_score"] = fsum(item.score for item in compared) / len(pairs)
        return metrics
