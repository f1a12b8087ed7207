"""How `tutelage serve` answers, what it keeps, and when it takes a right back."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tutelage.config.people import PeopleConfig
from tutelage.config.retention import Sensitivity
from tutelage.config.section import Section, Share


def _pattern(value: str | None) -> str | None:
    if value is not None:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
    return value


class RecogniseConfig(Section):
    """Which chat requests are the task; all others pass through to the teacher untouched."""

    models: tuple[str, ...] = Field(
        (),
        description="Model names that always mean the task, beside the name of the programme's folder. Else "
        "a request is the task where its messages before the last are the programme's own, or `system` fits.",
    )
    system: str | None = Field(
        None, description="A regular expression; a request whose system message it is found in is the task."
    )
    input: str | None = Field(
        None,
        description="A regular expression with a group `input`, which is the task's input in the last "
        "message; where absent the whole message is. A message that it doesn't match passes through.",
    )

    @field_validator("system", "input")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        return _pattern(value)

    @field_validator("input")
    @classmethod
    def _has_its_group(cls, value: str | None) -> str | None:
        if value is not None and "input" not in re.compile(value).groupindex:
            raise ValueError(f"{value!r} has no group named input. Mend: write (?P<input>...) into it")
        return value


class AuditConfig(Section):
    """Student's answers that the teacher is asked for as well, and what becomes of disagreement."""

    share: float = Field(0.05, ge=0.0, le=1.0, description="Of what the student answered, drawn at random.")
    limit: Share = Field(
        0.05,
        description="Most disagreement with the teacher; the alarm rings where it is, or has come to be, "
        "above.",
    )
    delta: Share = Field(0.05, description="Probability that the alarm ever rings although it isn't.")
    slices: bool = Field(True, description="Whether each slice has an alarm of its own.")
    drift: Share = Field(
        0.01,
        description="Probability that an alert ever tells of drift (of labels, confidence or length of "
        "requests) although they are what they were at first.",
    )


class PromotionConfig(Section):
    """Evidence from live traffic that a step of the rollout needs."""

    shadow: int = Field(
        300,
        ge=0,
        description="Requests that the student would have answered itself, compared with the teacher's "
        "answers, before it may answer any.",
    )
    audits: int = Field(
        100,
        ge=0,
        description="Audits of what it answered in canary, before cascade; and in cascade, before full.",
    )


class ServingConfig(Section):
    """The server in front of teacher and student."""

    form: Literal["int8", "float32"] | None = Field(
        None, description="Which of `tutelage export`'s forms answers; where absent int8 if it was kept."
    )
    isolated: bool = Field(
        False,
        description="Run the student in a process of its own, which may crash or hang without the server; "
        "costs about half a millisecond a request.",
    )
    threads: int = Field(1, ge=1, description="Of the processor, for one prediction.")
    database: str | None = Field(
        None,
        description="Where captures and state are kept, as an SQLAlchemy URL; `${NAME}` takes it from the "
        "environment. Where absent an SQLite file in the programme's folder; replicas share a PostgreSQL.",
    )
    recognise: RecogniseConfig = Field(RecogniseConfig(), description="Which chat requests are the task.")
    reply: str | None = Field(
        None,
        description="An answer's text as the application expects it, with `{value}` in the place of the "
        "label, e.g. `Intent: {value}`; the teacher's are read by it too. Where absent the task's own JSON.",
    )
    canary: Share = Field(0.05, description="Share of keys that the student may answer in stage canary.")
    promotion: PromotionConfig = Field(
        PromotionConfig(), description="What a step of the rollout needs to have been seen."
    )
    audit: AuditConfig = Field(AuditConfig(), description="The watch on what the student answers.")
    people: PeopleConfig = Field(PeopleConfig(), description="Requests that are put before people.")
    deadline: float = Field(30.0, gt=0.0, description="Seconds within which every request is answered.")
    student_timeout: float = Field(
        0.25, gt=0.0, description="Seconds after which the student is too slow, and the teacher is asked."
    )
    teacher_timeout: float = Field(20.0, gt=0.0, description="Seconds for one call of the teacher.")
    hedge_after: float | None = Field(
        None,
        gt=0.0,
        description="Seconds after which a second call is made beside one without an answer; both are "
        "booked.",
    )
    teacher_down: Literal["student", "queue"] = Field(
        "student",
        description="Who answers what only the teacher may, while it is down: the student, flagged, or "
        "people (503 meanwhile).",
    )
    capture: Literal["written", "durable", "batched"] = Field(
        "written",
        description="What holds of a capture when its answer goes out. `written`: it was handed to the "
        "operating system; a server that is killed loses none, a power cut those of the last moments. "
        "`durable`: it is on disk, which each answer waits for. "
        "`batched`: it waits in memory for a tenth of a second.",
    )
    keep_text: bool = Field(True, description="Whether inputs are kept; else only their hash is.")
    redact: tuple[str, ...] = Field(
        (), description="Regular expressions; what they match is cut out of inputs before they are kept."
    )
    sensitivity: Sensitivity = Field(
        "personal", description="How sensitive captures are, and prompts that are taken from them."
    )
    retention_days: float | None = Field(
        None,
        gt=0.0,
        description="Captures older than that are removed, or than `retention` allows their class; where "
        "both are absent none are.",
    )
    webhook: str | None = Field(
        None, description="An address to which alerts are posted as JSON, on one of `allowed_hosts`."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Hosts that the server may call, beside the teacher's own."
    )
    max_body_kb: int = Field(1024, gt=0, description="Largest body of a request.")
    max_characters: int = Field(
        20_000, gt=0, description="Longest input that the student is given; longer ones are the teacher's."
    )
    page_hosts: tuple[str, ...] = Field(
        (),
        description="Names by which browsers reach the pages, e.g. that of a proxy in front; requests by "
        "others are turned away. Loopback's and `--host` always do.",
    )
    requests_per_minute: float | None = Field(
        None, gt=0.0, description="Of one API key; more are turned away with 429."
    )

    @field_validator("redact")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            _pattern(pattern)
        return value

    @field_validator("reply")
    @classmethod
    def _has_one_place(cls, value: str | None) -> str | None:
        if value is not None and value.count("{value}") != 1:
            raise ValueError(f"reply {value!r} needs exactly one {{value}} for the answer")
        return value

    @model_validator(mode="after")
    def _timeouts_fit(self) -> ServingConfig:
        longest = self.student_timeout + self.teacher_timeout
        if longest > self.deadline:
            raise ValueError(
                f"student_timeout and teacher_timeout make {longest:g} s, and deadline is "
                f"{self.deadline:g} s. Mend: lower them, or allow more"
            )
        return self
