"""The kinds of behaviour that `task` may describe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tutelage.config.section import Section

LONGEST_NAME = 200  # characters of a label, an id or a slice
MOST_SCORES = 101  # of a judge's scale: 0 to 100


def _misread(what: str, given: Any) -> ValueError:
    kind = type(given).__name__
    return ValueError(f"{what} is read as {repr(given)[:60]} ({kind}), not as text. Mend: quote it")


def _label_name(given: Any) -> str:
    """A label as it is spelt in gold. Raises ValueError where YAML has read it as something else."""
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise _misread("a label", given)
    name = str(given).strip()
    if not name:
        raise ValueError("a label is empty")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a label has {len(name):,} characters; {LONGEST_NAME} are the most")
    return name


def label_map(given: list[Any] | dict[Any, Any]) -> dict[str, str]:
    """Labels with descriptions, from a list of labels or a map to descriptions as YAML or JSON gives it.

    Labels lose the white space around them, as they do in every source. Raises ValueError where one isn't
    text (whole numbers are spelt out), is empty, too long or stands twice, or a description isn't text.
    """
    described = {}
    for label, description in given.items() if isinstance(given, dict) else ((label, "") for label in given):
        name = _label_name(label)
        if name in described:
            raise ValueError("a label stands twice")
        if not isinstance(description, str | None):
            raise _misread(f"the description of {name!r}", description)
        described[name] = description or ""
    return described


class ClassifyConfig(Section):
    """One label of a fixed set, or any number of them."""

    type: Literal["classify"] = Field("classify", description="The kind of task.")
    instruction: str = Field("Classify the message.", description="Told to teachers that are prompted.")
    labels: dict[str, str] | None = Field(
        None,
        description="Label set: a list, a map from label to "
        "description, or a file of either; taken from gold where absent.",
    )
    labels_file: str | None = Field(
        None, description="A text file (a label a line), JSON or YAML holding them."
    )
    multi_label: bool = Field(False, description="Whether an answer may have several labels, or none.")
    out_of_scope: str | None = Field(
        None, description="The label for whatever is none of the task's business."
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _named_labels(cls, value: Any) -> Any:
        return label_map(value) if isinstance(value, list | dict) else value

    @field_validator("out_of_scope", mode="before")
    @classmethod
    def _named_label(cls, value: Any) -> Any:
        return None if value is None else _label_name(value)

    @model_validator(mode="after")
    def _consistent(self) -> ClassifyConfig:
        if self.labels is not None and self.labels_file is not None:
            raise ValueError("give labels or labels_file, not both")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)}; two are the least that can be told apart")
        if self.labels is not None and self.out_of_scope is not None and self.out_of_scope not in self.labels:
            raise ValueError(f"out_of_scope {self.out_of_scope!r} is not among labels")
        return self


class FieldConfig(Section):
    """How two values of one field of a record are compared. See `tasks.comparison`."""

    compare: Literal["exact", "number", "text", "set", "ignore"] | None = Field(
        None,
        description="`exact`; `number` within `tolerance`; `text` by similarity; `set`: a list whose order "
        "means nothing; `ignore`. By the field's type in the schema where absent.",
    )
    tolerance: float = Field(0.0, ge=0.0, description="Largest difference of two numbers that agree.")
    similarity: float = Field(
        0.8, gt=0.0, le=1.0, description="Text similarity (chrF, 0 to 1) from which two texts agree."
    )


class ExtractConfig(Section):
    """A record that follows a JSON schema, read out of the message; a field may also be written anew."""

    type: Literal["extract"] = Field("extract", description="The kind of task.")
    instruction: str = Field(
        "Extract the fields from the message.", description="Told to teachers that are prompted."
    )
    record: dict[str, Any] | None = Field(None, description="The JSON schema of the record, an object's.")
    record_file: str | None = Field(None, description="A JSON or YAML file that holds it.")
    fields: dict[str, FieldConfig] = Field(
        {}, description="How fields are compared, by name; a field inside another by dotted path."
    )

    @model_validator(mode="after")
    def _one_record(self) -> ExtractConfig:
        if (self.record is None) == (self.record_file is None):
            given = "both" if self.record is not None else "neither"
            raise ValueError(f"{given} of record and record_file is given; the schema needs one place")
        return self


class JudgeConfig(Section):
    """A verdict, or a score, on a text by a rubric, with reasons."""

    type: Literal["judge"] = Field("judge", description="The kind of task.")
    instruction: str = Field("Judge the text by the rubric.", description="Told to teachers.")
    rubric: str = Field(description="What is judged, and what earns which verdict or score.")
    verdicts: dict[str, str] | None = Field(
        None, description="The verdicts: a list, or a map to what each means. This or `scale`."
    )
    scale: tuple[int, int] | None = Field(
        None, description="Lowest and highest score, whole numbers, e.g. [1, 5]. This or `verdicts`."
    )
    reasons: Literal["before", "after", "none"] = Field(
        "before", description="Whether reasons are asked for, and where they stand."
    )
    tolerance: int = Field(0, ge=0, description="Difference of two scores that still agree.")

    @field_validator("verdicts", mode="before")
    @classmethod
    def _named_verdicts(cls, value: Any) -> Any:
        return label_map(value) if isinstance(value, list | dict) else value

    @model_validator(mode="after")
    def _verdicts_or_scale(self) -> JudgeConfig:
        if (self.verdicts is None) == (self.scale is None):
            given = "both" if self.scale is not None else "neither"
            raise ValueError(f"{given} of verdicts and scale is given; a judgement is one of them")
        if self.verdicts is not None and len(self.verdicts) < 2:
            raise ValueError(f"verdicts has {len(self.verdicts)}; two are the least that can be told apart")
        if self.verdicts is not None and self.tolerance:
            raise ValueError("tolerance belongs to scale; verdicts agree or they don't")
        if self.scale is not None:
            self._check_scale(*self.scale)
        return self

    def _check_scale(self, low: int, high: int) -> None:
        if not low < high:
            raise ValueError(f"scale goes from {low} to {high}; the lowest score comes first")
        if high - low >= MOST_SCORES:
            raise ValueError(f"scale has {high - low + 1:,} scores; {MOST_SCORES} are the most")
        if self.tolerance >= high - low:
            raise ValueError(f"tolerance {self.tolerance} lets all scores of the scale agree")


class GenerateConfig(Section):
    """A text in answer to the message."""

    type: Literal["generate"] = Field("generate", description="The kind of task.")
    instruction: str = Field("Answer the message.", description="Told to teachers that are prompted.")
    max_characters: int | None = Field(None, gt=0, description="Longer answers are quarantined.")
    similarity: float = Field(
        0.6, gt=0.0, le=1.0, description="Text similarity (chrF, 0 to 1) from which two answers agree."
    )


def _kind(given: Any) -> Any:
    """The kind of a task as the file gives it; `classify` where it doesn't."""
    return given.get("type", "classify") if isinstance(given, dict) else getattr(given, "type", None)


TaskConfig = Annotated[
    Annotated[ClassifyConfig, Tag("classify")]
    | Annotated[ExtractConfig, Tag("extract")]
    | Annotated[JudgeConfig, Tag("judge")]
    | Annotated[GenerateConfig, Tag("generate")],
    Discriminator(_kind),
]
