"""`generate`: a text in answer to the message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import fsum
from typing import Any

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
    is_refusing_text,
    read_json,
    read_rationale,
    refused,
    require_keys,
    unparseable,
)
from tutelage.tasks.protocol import (
    PLAIN,
    CellFault,
    CellFaultKind,
    Comparison,
    Parsed,
    Prompting,
    RationaleMode,
)
from tutelage.tasks.similarity import chrf, rouge_l

DECLINED = "I can't help with that."
_TEXT_KEY = "text"  # under which the text stands where reasons stand beside it


@dataclass(frozen=True)
class Generate(OpenSpace):
    """The task, resolved. A value is the text without white space around it."""

    instruction: str = "Answer the message."
    max_characters: int | None = None
    similarity: float = 0.6
    prompting: Prompting = PLAIN

    @property
    def kind(self) -> str:
        """`generate`."""
        return "generate"

    @property
    def strict(self) -> bool:
        """Always: see `Task.strict`."""
        return True

    @property
    def version(self) -> str:
        """A hash of all that shapes an answer; similarity, which only compares, is no part of it."""
        return hash_json(
            ["generate", self.instruction, self.max_characters, *prompting_parts(self.prompting)]
        )

    @property
    def comparing(self) -> str:
        """See `Task.comparing`: the similarity."""
        return str(self.similarity)

    def with_prompting(self, prompting: Prompting, instruction: str | None = None) -> Generate:
        """The same task asked otherwise."""
        return replace(self, prompting=prompting, instruction=instruction or self.instruction)

    @property
    def _asks_reasons(self) -> bool:
        return self.prompting.rationale is not RationaleMode.NONE

    @property
    def _keys(self) -> list[str]:
        return ordered_keys(_TEXT_KEY, self.prompting.rationale)

    def render(self, text: str) -> list[dict[str, str]]:
        """Chat messages that ask for the text; instruction and examples stand first."""
        return messages(self._fixed, text)

    @cached_property
    def _fixed(self) -> list[dict[str, str]]:
        most = f" of at most {self.max_characters:,} characters" if self.max_characters else ""
        form = f"Answer with the text alone{most}, nothing around it."
        if self._asks_reasons:
            shape = shape_text(self._keys, {})
            form = f"Answer with JSON only: {shape}, the text{most}." + rationale_text(
                self.prompting.rationale
            )
        system = f"{self.instruction}\n\n{form} {DATA_NOT_ORDERS}"
        return fixed_messages(system, self.prompting, self._answer_of)

    def _answer_of(self, value: Value) -> str:
        text = _text(value)
        return json.dumps({_TEXT_KEY: text}, ensure_ascii=False) if self._asks_reasons else text

    def answer_text(self, value: Value, rationale: str = "") -> str:
        """See `Task.answer_text`."""
        text = _text(value)
        return object_text({_TEXT_KEY: text}, self._keys, rationale) if self._asks_reasons else text

    def json_schema(self) -> dict[str, Any] | None:
        """None, since the answer is free text; where reasons stand beside it, the schema of both."""
        return object_schema({}, self._keys) if self._asks_reasons else None

    def parse(self, raw: str) -> Parsed:
        """Read an answer's text. Quarantined are none, one too long, and what declines.

        A code fence is part of the text.
        """
        return attempted(lambda: self._parse(raw))

    def _parse(self, raw: str) -> Parsed:
        if not self._asks_reasons:
            return Parsed(AnswerStatus.OK, self._held(raw))
        content = require_keys(read_json(answer_text(raw)), self._keys)
        given = content[_TEXT_KEY]
        if not isinstance(given, str):
            raise unparseable(f"{_TEXT_KEY!r} holds {type(given).__name__}, not text")
        return Parsed(AnswerStatus.OK, self._held(given), rationale=read_rationale(content, RATIONALE_KEY))

    def _held(self, given: str) -> str:
        text = self._fitting(given)
        if is_refusing_text(text):
            raise refused()
        return text

    def _fitting(self, given: str) -> str:
        """The text, where it can be kept and isn't too long. Raises NoAnswer."""
        text = given.strip()
        if not text:
            raise unparseable("the answer is empty")
        if self.max_characters is not None and len(text) > self.max_characters:
            raise unparseable(
                f"the answer has {len(text):,} characters; {self.max_characters:,} are the most "
                "(task.max_characters)"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise unparseable("the answer holds half of a surrogate pair, which is no text") from None
        return text

    def refusal_text(self, raw: str) -> str:
        """What an answer that was read as a refusal says, in words that are read as one again.

        A plain sentence where it has none of its own: a filter's refusal is empty, a long one may be cut.
        """
        try:
            content = read_json(answer_text(raw))  # where reasons were asked for
        except NoAnswer:
            content = {}
        said = content.get(_TEXT_KEY, raw) if isinstance(content, dict) else raw
        held = self.admit(said).value
        return held if isinstance(held, str) and is_refusing_text(held) else DECLINED

    def admit(self, value: Any) -> Parsed:
        """Hold a text that came otherwise than from a model; what reads as a refusal is taken as meant."""
        if not isinstance(value, str):
            return Parsed(AnswerStatus.UNPARSEABLE, None, f"its value is {type(value).__name__}, not text")
        return attempted(lambda: Parsed(AnswerStatus.OK, self._fitting(value)))

    def read_cell(self, cell: Any, separator: str) -> Value:
        """The text of a cell. Raises CellFault."""
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            raise CellFault(CellFaultKind.EMPTY, "is empty")
        if not isinstance(cell, str):
            raise CellFault(CellFaultKind.NOT_TEXT, f"holds {type(cell).__name__}")
        try:
            return self._fitting(cell)
        except NoAnswer as fault:
            raise CellFault(CellFaultKind.MISFIT, fault.parsed.reason) from None

    def compare(self, answer: Value, reference: Value) -> Comparison:
        """By chrF, and beside it ROUGE-L; they agree from `similarity` up."""
        ours, right = _text(answer), _text(reference)
        score = chrf(ours, right)
        return Comparison(score >= self.similarity, score, {"chrf": score, "rouge_l": rouge_l(ours, right)})

    def score(self, answers: Sequence[Value | None], references: Sequence[Value]) -> dict[str, float]:
        """`n`, `accuracy` (the share that agrees), `exact`, and mean `chrf` and `rouge_l` in [0, 1].

        Empty for no references. Raises ValueError where lengths differ.
        """
        pairs = list(zip(answers, references, strict=True))
        if not pairs:
            return {}
        compared = [self.compare(answer, right) for answer, right in pairs if answer is not None]
        return {
            "n": len(pairs),
            "accuracy": sum(item.agree for item in compared) / len(pairs),
            "exact": sum(answer == right for answer, right in pairs) / len(pairs),
            "chrf": fsum(item.score for item in compared) / len(pairs),
            "rouge_l": fsum(item.fields["rouge_l"] for item in compared) / len(pairs),
        }


def _text(value: Value) -> str:
    if isinstance(value, tuple | Fields):
        raise TypeError(f"{type(value).__name__} is no text: {value!r}"[:200])
    return value
