"""What a student that writes is shown and what it says, as texts; the inverse reads its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tutelage.errors import ConfigError
from tutelage.records import AnswerStatus, Value
from tutelage.tasks import PLAIN, Parsed, Prompting, RationaleMode, Task, with_labels

# What stands after the text, and between reasons and answer, in a form of the student's own. Words rather
# than marks, since a pretrained model knows them.
_ANSWER = "\nAnswer:"
_REASONS = "\nReasons:"


@dataclass(frozen=True)
class Form:
    """How a student is asked, and the shape of what it says. Frozen, and part of `student.json`.

    With the template `own` it sees `prefix`, the text and a cue, and says a label as it is, a record as JSON,
    or the text. With `teacher` it sees the task's messages, of which `fixed` are those before the text, and
    says what the task's `parse` reads. `labels` are the answers in the task's order, empty where they are
    open. `rationale` tells whether its reasons stand before or after the answer, or aren't said.
    """

    template: Literal["own", "teacher"] = "own"
    labels: tuple[str, ...] = ()
    fixed: tuple[Mapping[str, str], ...] = ()
    rationale: RationaleMode = RationaleMode.NONE
    prefix: str = ""

    @property
    def cue(self) -> str:
        """What stands between the text and what a causal student says, in a form of its own."""
        return _REASONS if self.rationale is RationaleMode.BEFORE else _ANSWER

    @property
    def bridge(self) -> str:
        """What stands between reasons and answer, in a form of its own; empty without reasons."""
        if self.rationale is RationaleMode.NONE:
            return ""
        return _ANSWER if self.rationale is RationaleMode.BEFORE else _REASONS

    def messages(self, text: str) -> list[dict[str, str]]:
        """The chat messages that ask for the answer to `text`, of the template `teacher`."""
        return [*({**turn} for turn in self.fixed), {"role": "user", "content": text}]

    def to_json(self) -> dict[str, Any]:
        """For `student.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Form:
        """The inverse of `to_json`."""
        return cls(
            content["template"],
            tuple(content["labels"]),
            tuple(content["fixed"]),
            RationaleMode(content["rationale"]),
            content["prefix"],
        )


def form_of(
    task: Task,
    template: Literal["own", "teacher"] = "own",
    rationale: RationaleMode = RationaleMode.NONE,
    prefix: str = "",
) -> Form:
    """The form of a student of `task`.

    With the template `teacher` the task's own prompting holds, and `rationale` and `prefix` mean nothing.
    Raises ConfigError where labels couldn't be weighed: several at once, or after a teacher's reasons.
    """
    labelled = with_labels(task)
    if task.multi_label:
        raise ConfigError(
            "task.multi_label is true, and students of family causal and seq2seq weigh one label against "
            "the others. Mend: student.family encoder or static"
        )
    names = labelled.labels if labelled is not None else ()
    if template == "own":
        return Form(template, names, (), rationale, prefix)
    if labelled is not None and len((task.json_schema() or {}).get("properties", {})) > 1:
        raise ConfigError(
            "student.template is teacher, and the task asks the teacher for reasons beside the label. "
            "Mend: student.template own, or ask for no reasons (prompting.rationale, task.reasons)"
        )
    return Form(template, tuple(map(task.answer_text, names)), tuple(task.render("")[:-1]))


def answer_parts(form: Form, task: Task, value: Value, rationale: str = "") -> tuple[str, ...]:
    """What the student is to say, in the parts that are tokenised each by itself."""
    if form.template == "teacher":
        return (task.answer_text(value, rationale),)
    labelled = with_labels(task)
    answer = plain(task).answer_text(value) if labelled is None else labelled.names_of(value)[0]
    if form.rationale is RationaleMode.BEFORE:
        return (rationale, form.bridge, answer)
    return (answer, form.bridge, rationale) if form.bridge else (answer,)


def read_answer(form: Form, task: Task, text: str) -> Parsed:
    """What the student said, held to the task as a teacher's answer is: nothing is coerced."""
    if form.template == "teacher":
        return task.parse(text)
    answer, reasons = _split(form, text)
    if answer is None:
        reason = f"the text has no {form.bridge.strip()!r}, after which the answer would stand"
        return Parsed(AnswerStatus.UNPARSEABLE, None, reason)
    parsed = plain(task).parse(answer) if with_labels(task) is None else task.admit(answer.strip())
    return replace(parsed, rationale=reasons.strip())


def _split(form: Form, text: str) -> tuple[str | None, str]:
    """The answer, None where there is none, and the reasons.

    The bridge counts whatever white space stands before it: some vocabularies have no line's end.
    """
    if form.rationale is RationaleMode.NONE:
        return text, ""
    places = [found.span() for found in re.finditer(rf"(?:\A|\s){re.escape(form.bridge.strip())}", text)]
    if form.rationale is RationaleMode.BEFORE:
        # The last: reasons may speak of answers, and an answer is the last thing that is said.
        return (text[places[-1][1] :], text[: places[-1][0]]) if places else (None, text)
    return (text[: places[0][0]], text[places[0][1] :]) if places else (text, "")


def plain(task: Task) -> Task:
    """The task without examples and reasons."""
    return task if task.prompting == PLAIN else task.with_prompting(Prompting())
