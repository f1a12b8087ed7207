"""`judge`: a verdict, or a score on a scale, on a text by a rubric, with reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import fsum
from typing import Any

from tutelage.records import AnswerStatus, Value
from tutelage.storage import hash_json
from tutelage.tasks._asking import (
    DATA_NOT_ORDERS,
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
from tutelage.tasks.agreement import kappa
from tutelage.tasks.protocol import (
    PLAIN,
    CellFault,
    CellFaultKind,
    Comparison,
    Parsed,
    Prompting,
    RationaleMode,
)

_REASONS_KEY = "reasons"
_SHOWN = 80


@dataclass(frozen=True)
class Judge(LabelSpace):
    """The task, resolved. `labels` are the verdicts, or the scores from lowest to highest as digits.

    `scored` tells which. `reasons` holds where `prompting` asks for none itself.
    """

    labels: tuple[str, ...]
    rubric: str
    scored: bool = False
    descriptions: Mapping[str, str] | None = None
    instruction: str = "Judge the text by the rubric."
    reasons: RationaleMode = RationaleMode.BEFORE
    tolerance: int = 0
    prompting: Prompting = PLAIN

    @property
    def kind(self) -> str:
        """`judge`."""
        return "judge"

    @property
    def out_of_scope(self) -> str | None:
        """None: a judge judges."""
        return None

    @property
    def version(self) -> str:
        """A hash of all that shapes an answer; tolerance, which only compares, is no part of it."""
        own = [self.labels, self.rubric, self.scored, self.descriptions, self.instruction, str(self.reasons)]
        return hash_json(["judge", *own, *prompting_parts(self.prompting)])

    @property
    def comparing(self) -> str:
        """See `Task.comparing`: the tolerance."""
        return str(self.tolerance or "")

    def with_prompting(self, prompting: Prompting, instruction: str | None = None) -> Judge:
        """The same task asked otherwise; without a rationale in `prompting`, its own `reasons` hold."""
        return replace(self, prompting=prompting, instruction=instruction or self.instruction)

    @property
    def answer_key(self) -> str:
        """The key under which verdict or score stands in an answer's object."""
        return "score" if self.scored else "verdict"

    @property
    def strict(self) -> bool:
        """Always: see `Task.strict`."""
        return True

    @property
    def _mode(self) -> RationaleMode:
        asked = self.prompting.rationale
        return self.reasons if asked is RationaleMode.NONE else asked

    @property
    def _keys(self) -> list[str]:
        return ordered_keys(self.answer_key, self._mode, _REASONS_KEY)

    def label_text(self, label: str) -> str:
        """A verdict in quotes, or a score's digits."""
        return label if self.scored else json.dumps(label, ensure_ascii=False)

    def render(self, text: str) -> list[dict[str, str]]:
        """Chat messages that ask for the judgement of `text`; instruction and rubric stand first."""
        return messages(self._fixed, text)

    @cached_property
    def _fixed(self) -> list[dict[str, str]]:
        effective = replace(self.prompting, rationale=self._mode)
        return fixed_messages(self._system, effective, self._answer_of, _REASONS_KEY)

    @cached_property
    def _system(self) -> str:
        shape = shape_text(self._keys, {"score": self.labels[-1]})
        return (
            f"{self.instruction}\n\nRubric:\n{self.rubric}\n\n{self._choices()}"
            f"\n\nAnswer with JSON only: {shape}."
            + rationale_text(self._mode, _REASONS_KEY)
            + f" {DATA_NOT_ORDERS}"
        )

    def _choices(self) -> str:
        if self.scored:
            return f"Score: a whole number from {self.labels[0]} (lowest) to {self.labels[-1]} (highest)."
        meanings = self.descriptions or {}
        lines = [f"- {name}: {meanings[name]}" if meanings.get(name) else f"- {name}" for name in self.labels]
        return "Verdicts:\n" + "\n".join(lines)

    def _answer_of(self, value: Value) -> str:
        return f"{{{json.dumps(self.answer_key)}: {self.label_text(self.names_of(value)[0])}}}"

    def answer_text(self, value: Value, rationale: str = "") -> str:
        """See `Task.answer_text`."""
        (label,) = self.names_of(value)
        return object_text({self.answer_key: int(label) if self.scored else label}, self._keys, rationale)

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, for endpoints that hold a model to one."""
        body: dict[str, Any] = {"type": "string", "enum": list(self.labels)}
        if self.scored:
            body = {"type": "integer", "enum": [int(label) for label in self.labels]}
        return object_schema({self.answer_key: body}, self._keys)

    def parse(self, raw: str) -> Parsed:
        """Read an answer's text: the JSON object asked for, alone or in a code fence. Nothing is coerced:

        a score is a whole number, not text that holds one, and 4.0 is none either.
        """
        return attempted(lambda: self._parse(raw))

    def _parse(self, raw: str) -> Parsed:
        content = require_keys(read_json(answer_text(raw)), self._keys)
        value = self._known(content[self.answer_key])
        asked = self._mode is not RationaleMode.NONE
        rationale = read_rationale(content, _REASONS_KEY) if asked else ""
        return Parsed(AnswerStatus.OK, value, rationale=rationale)

    def _known(self, given: Any) -> str:
        wanted: type = int if self.scored else str
        if type(given) is not wanted:
            what = "a whole number" if self.scored else "text"
            raise unparseable(f"{self.answer_key!r} holds {type(given).__name__}, not {what}")
        return self._in_set(str(given))

    def _in_set(self, label: str) -> str:
        if label not in self.labels:
            allowed = f"on the scale {self.labels[0]} to {self.labels[-1]}" if self.scored else "a verdict"
            raise out_of_set(f"{label[:_SHOWN]!r} is not {allowed}")
        return label

    def admit(self, value: Any) -> Parsed:
        """Hold a verdict or score that came otherwise than as text to the set; a score may be a number."""
        if self.scored and type(value) is int:
            value = str(value)
        if not isinstance(value, str):
            reason = f"its value is {type(value).__name__}, not a {self.answer_key}"
            return Parsed(AnswerStatus.UNPARSEABLE, None, reason)
        given = value
        return attempted(lambda: Parsed(AnswerStatus.OK, self._in_set(given)))

    def read_cell(self, cell: Any, separator: str) -> Value:
        """The verdict or the score's digits, without white space around them. Raises CellFault."""
        if isinstance(cell, bool) or not isinstance(cell, str | int | None):
            raise CellFault(CellFaultKind.NOT_TEXT, f"holds {type(cell).__name__}")
        label = "" if cell is None else str(cell).strip()
        if not label:
            raise CellFault(CellFaultKind.EMPTY, "is empty")
        try:
            return self._in_set(label)
        except NoAnswer as fault:
            said = fault.parsed.reason + nearest_label(label, self.labels)
            raise CellFault(CellFaultKind.OUT_OF_SET, said) from None

    def compare(self, answer: Value, reference: Value) -> Comparison:
        """Equal or not; scores agree within `tolerance`, and their distance over the scale is lost of 1."""
        if not self.scored:
            return Comparison(answer == reference, float(answer == reference))
        apart = abs(self._place(answer) - self._place(reference))
        return Comparison(apart <= self.tolerance, 1.0 - apart / (len(self.labels) - 1))

    def _place(self, value: Value) -> int:
        return self.labels.index(self.names_of(value)[0])

    def score(self, answers: Sequence[Value | None], references: Sequence[Value]) -> dict[str, float]:
        """`n`, `accuracy` (the share within tolerance), `exact`, and `kappa`, of answers there are.

        Of scores also `quadratic_kappa`, `mean_distance` in points (likewise of answers there are) and
        `mean_score`. A kappa that chance leaves undefined is left out. Empty for no references. Raises
        ValueError where lengths differ.
        """
        pairs = list(zip(answers, references, strict=True))
        if not pairs:
            return {}
        there = [(self._place(answer), self._place(right)) for answer, right in pairs if answer is not None]
        compared = [self.compare(answer, right) for answer, right in pairs if answer is not None]
        metrics: dict[str, float] = {
            "n": len(pairs),
            "accuracy": sum(item.agree for item in compared) / len(pairs),
            "exact": sum(ours == right for ours, right in there) / len(pairs),
            "kappa": self._kappa(there, quadratic=False),
        }
        if self.scored:
            metrics["quadratic_kappa"] = self._kappa(there, quadratic=True)
            metrics["mean_score"] = fsum(item.score for item in compared) / len(pairs)
            if there:
                metrics["mean_distance"] = sum(abs(ours - right) for ours, right in there) / len(there)
        return {name: value for name, value in metrics.items() if value == value}  # NaN isn't itself

    def _kappa(self, pairs: Sequence[tuple[int, int]], *, quadratic: bool) -> float:
        ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
        return kappa(ours, theirs, len(self.labels), quadratic=quadratic)
