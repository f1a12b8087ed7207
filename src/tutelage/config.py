"""The schema of `tutelage.yaml`. Frozen; an unknown key is an error that names the nearest known one.

Every key has a default where one can be right for most; what has none is what only its user knows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tutelage.errors import ConfigError

EMBEDDED_ENCODER = "minilm-l6"

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class ColumnsConfig(Section):
    """Which column of a source holds what."""

    text: str = Field("text", description="The input that teacher and student see.")
    label: str = Field("label", description="The human answer; several labels are joined by `separator`.")
    id: str | None = Field(None, description="A unique id; rows are numbered where absent.")
    slice: str | None = Field(None, description="The slice of a row; `normal` where absent.")
    separator: str = Field("|", min_length=1, description="Between labels of a multi-label cell.")


class SourceConfig(Section):
    """Rows to read: a CSV, JSONL or Parquet file, or `hf://owner/name[/split]`."""

    path: str = Field(
        description="File, relative to tutelage.yaml, or `hf://owner/name[/split]`; "
        "`${NAME}` is taken from the environment."
    )
    format: Literal["csv", "jsonl", "parquet", "lines"] | None = Field(
        None, description="Guessed from the file's ending."
    )
    columns: ColumnsConfig = Field(ColumnsConfig(), description="The column map.")
    limit: int | None = Field(None, gt=0, description="Take only the first rows.")


class TrainingPartConfig(Section):
    """The human-labelled examples that may be learned from; never part of the sealed set."""

    path: str | None = Field(None, description="Their file; the gold file itself where absent.")
    columns: ColumnsConfig | None = Field(None, description="The column map; gold's where absent.")
    format: Literal["csv", "jsonl", "parquet", "lines"] | None = Field(
        None, description="Guessed from the file's ending."
    )
    share: float = Field(
        0.3, gt=0.0, le=1.0, description="Share of the file taken, stratified by label and slice."
    )
    seed: int = Field(0, description="Seed of that choice.")

    @model_validator(mode="after")
    def _leaves_something_to_seal(self) -> TrainingPartConfig:
        if self.path is None and self.share == 1.0:
            raise ValueError("share is 1.0 of the gold file itself, which leaves nothing to seal")
        return self


class GoldConfig(SourceConfig):
    """Human-labelled examples that decide. Sealed: training can't read them."""

    training: TrainingPartConfig | None = Field(None, description="The part that may be learned from.")
    margin: float = Field(
        0.05,
        gt=0.0,
        lt=0.5,
        description="Largest half-width of the 95% interval on accuracy at which paid labelling may start.",
    )
    expected_accuracy: Probability = Field(0.9, description="Assumed when that width is worked out.")


class TrafficConfig(SourceConfig):
    """Unlabelled prompts of the task, from which the transfer set is made."""

    near_duplicate: float = Field(
        0.85,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of character 5-gram sets from which two prompts count as the same.",
    )


class TaskConfig(Section):
    """The behaviour to transfer."""

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
    def _list_of_labels(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(set(map(str, value))) != len(value):
                raise ValueError("a label stands twice")
            return {str(label): "" for label in value}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> TaskConfig:
        if self.labels is not None and self.labels_file is not None:
            raise ValueError("give labels or labels_file, not both")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)}; two are the least that can be told apart")
        if self.labels is not None and self.out_of_scope is not None and self.out_of_scope not in self.labels:
            raise ValueError(f"out_of_scope {self.out_of_scope!r} is not among labels")
        return self


class OverrideConfig(Section):
    """A person's decision to go past the rights gate. It is written to the journal."""

    name: str = Field(min_length=2, description="Who decided.")
    reason: str = Field(min_length=10, description="Why it is right to.")


class RightsConfig(Section):
    """What will be done with the student, which decides whether a teacher's terms allow it."""

    distribution: Literal["internal", "distributed"] = Field(
        "internal", description="Whether the student leaves the organisation."
    )
    override: OverrideConfig | None = Field(None, description="A named decision past a refusal.")


class PriceConfig(Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0.0, description="For a million tokens of prompt.")
    output: float = Field(ge=0.0, description="For a million tokens of answer.")


class EncoderTeacherConfig(Section):
    """A sentence encoder with a head fitted on gold's training part. Runs here; costs nothing a call."""

    type: Literal["encoder"] = Field("encoder", description="The kind of teacher.")
    rights: str = Field("all-minilm-l6-v2", description="Entry of the rights registry.")
    model: str = Field(EMBEDDED_ENCODER, description="`minilm-l6` (embedded), a folder, or a hub name.")
    max_tokens: int = Field(128, gt=0, description="Longer texts are cut.")
    batch_size: int = Field(64, gt=0, description="Prompts a forward pass.")


class TransformersTeacherConfig(Section):
    """A sequence-classification model, or zero-shot classification by a model of entailment. Runs here."""

    type: Literal["transformers"] = Field("transformers", description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    model: str = Field(description="A folder or a hub name.")
    mode: Literal["classification", "zero-shot"] = Field("classification", description="How it answers.")
    hypothesis: str = Field(
        "This message is about {}.",
        description="For zero-shot; `{}` takes the label's description, or the label itself.",
    )
    label_map: dict[str, str] = Field({}, description="From the model's label names to the task's.")
    max_tokens: int = Field(256, gt=0, description="Longer texts are cut.")
    batch_size: int = Field(16, gt=0, description="Prompts a forward pass.")

    @field_validator("hypothesis")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError(f"hypothesis {value!r} needs exactly one {{}} for the label")
        return value


class OpenAITeacherConfig(Section):
    """Any OpenAI-compatible chat-completions endpoint."""

    type: Literal["openai"] = Field("openai", description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    model: str = Field(description="The model's name at the endpoint.")
    base_url: str = Field("https://api.openai.com/v1", description="The endpoint.")
    api_key_env: str = Field("OPENAI_API_KEY", description="The environment variable that holds the key.")
    price: PriceConfig | None = Field(None, description="Needed for endpoints that aren't on this machine.")
    structured: bool = Field(True, description="Ask for output that follows a JSON schema of the labels.")
    logprobs: bool = Field(
        True, description="Ask for token log-probabilities and turn them into a distribution."
    )
    samples: int = Field(
        1, ge=1, le=64, description="Answers asked of each prompt; more than one become votes."
    )
    temperature: float | None = Field(
        None, ge=0.0, le=2.0, description="0 for one sample, 0.7 for several, where absent."
    )
    max_output_tokens: int = Field(64, gt=0, description="Longest answer.")
    timeout: float = Field(60.0, gt=0.0, description="Seconds for one call, retries not included.")

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"base_url {value!r} must start with http:// or https://")
        return value.rstrip("/")


class PluginTeacherConfig(Section):
    """A teacher from another package, found by its entry point in `tutelage.teachers`."""

    type: Literal["plugin"] = Field("plugin", description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    name: str = Field(description="The entry point's name.")
    options: dict[str, Any] = Field({}, description="Passed to it unread.")


TeacherConfig = Annotated[
    EncoderTeacherConfig | TransformersTeacherConfig | OpenAITeacherConfig | PluginTeacherConfig,
    Field(discriminator="type"),
]


class LabellingConfig(Section):
    """How teachers are asked."""

    budget: float | None = Field(
        None, ge=0.0, description="US dollars for this programme; no call is made that could pass it."
    )
    concurrency: int = Field(
        8, ge=1, le=512, description="Calls in flight at once, for teachers behind an API."
    )
    attempts: int = Field(6, ge=1, description="Tries of one call before it counts as failed.")
    wait: float = Field(
        0.5,
        gt=0.0,
        description="Seconds before the second try; doubles with jitter, at most 60, "
        "unless the teacher says how long.",
    )


class StudentConfig(Section):
    """The small model and how it learns."""

    family: Literal["encoder", "static"] = Field(
        "encoder", description="Transformer encoder, or pooled token embeddings."
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Names the run; `static` or `encoder-<layers>` where absent.",
    )
    base: str | None = Field(
        None,
        description="Encoder that the student is initialised from: `minilm-l6`, a folder or a hub "
        "name; `minilm-l6` where absent. For `static` only its word pieces would matter, so it takes none.",
    )
    layers: int | None = Field(
        None, ge=1, description="Transformer layers, evenly spaced from the base; 3 where absent."
    )
    hidden_size: int | None = Field(
        None,
        ge=1,
        description="Width of a student of its own shape (random weights), e.g. 312; "
        "the base's where absent.",
    )
    heads: int | None = Field(None, ge=1, description="Attention heads of such a student, e.g. 12.")
    intermediate_size: int | None = Field(
        None, ge=1, description="Feed-forward width of such a student, e.g. 1200."
    )
    max_tokens: int = Field(128, gt=0, description="Longer texts are cut.")
    recipe: Literal["soft-targets"] = Field("soft-targets", description="The training plan.")
    temperature: float | None = Field(
        None, gt=0.0, description="Softens teacher and student alike; the family's default where absent."
    )
    hard_weight: Probability | None = Field(
        None, description="Weight of the human label where a prompt has one; the rest is the teacher's."
    )
    epochs: int | None = Field(
        None, gt=0, description="Passes over the transfer set at most; chosen by its size where absent."
    )
    batch_size: int | None = Field(
        None, gt=0, description="Prompts a step; the family's default where absent."
    )
    learning_rate: float | None = Field(
        None, gt=0.0, description="Peak rate; the family's default where absent."
    )
    validation: Share = Field(
        0.1, description="Share of the transfer set held back to stop early. Never gold."
    )
    seed: int = Field(0, ge=0, description="Of weights, order and split.")
    control: Literal["auto", "gold", "teacher"] = Field(
        "auto",
        description="Hard labels of the control arm: humans', or the "
        "teacher's; `auto` takes humans' where gold has a training part.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> StudentConfig:
        own_shape = (self.hidden_size, self.heads, self.intermediate_size)
        if any(own_shape) and not all(own_shape):
            raise ValueError(
                "a student of its own shape needs hidden_size, heads and intermediate_size together"
            )
        if self.hidden_size and self.heads and self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of heads {self.heads}")
        transformer_only = (self.base, self.layers, *own_shape)
        if self.family == "static" and any(value is not None for value in transformer_only):
            raise ValueError(
                "base, layers, hidden_size, heads and intermediate_size belong to family encoder, not static"
            )
        return self

    @property
    def run(self) -> str:
        """The run's folder name."""
        return self.name or ("static" if self.family == "static" else f"encoder-{self.layers or 3}")


class ReleaseConfig(Section):
    """Terms of the release gate, all on sealed gold at 95% confidence."""

    max_loss: float = Field(
        0.03, ge=0.0, lt=1.0, description="Largest acceptable accuracy loss against the teacher."
    )
    min_accuracy: Probability | None = Field(None, description="Absolute bar on accuracy.")
    critical_slices: tuple[str, ...] = Field(
        ("critical",), description="Slices judged on their own, where gold has them."
    )
    max_critical_loss: float = Field(
        0.05, ge=0.0, lt=1.0, description="Largest acceptable loss on each critical slice."
    )
    max_ece: Probability | None = Field(0.1, description="Largest expected calibration error.")
    max_latency_ms: float | None = Field(None, gt=0.0, description="Largest p95 at batch 1 on one thread.")
    max_size_mb: float | None = Field(None, gt=0.0, description="Largest size on disk.")


class ProgrammeConfig(Section):
    """The whole file."""

    task: TaskConfig = Field(TaskConfig(), description="The behaviour to transfer.")
    rights: RightsConfig = Field(RightsConfig(), description="What will be done with the student.")
    gold: GoldConfig = Field(description="Human-labelled examples.")
    traffic: TrafficConfig = Field(description="Unlabelled prompts.")
    teacher: TeacherConfig = Field(description="Who answers.")
    labelling: LabellingConfig = Field(LabellingConfig(), description="How the teacher is asked.")
    student: StudentConfig = Field(StudentConfig(), description="The small model.")
    release: ReleaseConfig = Field(ReleaseConfig(), description="Terms of release.")

    @model_validator(mode="after")
    def _teacher_has_what_it_needs(self) -> ProgrammeConfig:
        if self.teacher.type == "encoder" and self.gold.training is None:
            raise ValueError(
                "teacher.type is encoder, whose head is fitted on gold.training, and there is none. "
                "Mend: add gold.training with a share"
            )
        if self.student.control == "gold" and self.gold.training is None:
            raise ValueError(
                "student.control is gold, and gold.training is absent. Mend: add it, or say teacher"
            )
        return self


def load_config(path: Path, overrides: Sequence[str] = ()) -> ProgrammeConfig:
    """Read `tutelage.yaml`, with `key.key=value` overrides laid over it.

    Raises ConfigError naming the file, every key at fault, and for an unknown key the nearest known one.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} doesn't exist. Mend: run `tutelage init`, or name the programme's folder"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}). Mend: save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds {type(content).__name__}, not sections. Mend: see docs/tutelage.yaml.md"
        )
    for override in overrides:
        _lay_over(content, override)
    return parse_config(content, str(path))


def parse_config(content: Mapping[str, Any], where: str) -> ProgrammeConfig:
    """Validate what a file holds. Raises ConfigError as `load_config`."""
    try:
        return ProgrammeConfig.model_validate(content)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise ConfigError(f"{where}:\n  " + "\n  ".join(lines)) from error


def _lay_over(content: dict[str, Any], override: str) -> None:
    import yaml

    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override!r} is not of the form section.key=value")
    section = content
    for key in keys[:-1]:
        below = section.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override!r}: {key!r} is no section")
        section = below
    try:
        section[keys[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not YAML: {error}") from error


def _explain(item: Any) -> str:
    tags = {"encoder", "transformers", "openai", "plugin"}
    location = [str(part) for part in item["loc"]]
    if len(location) > 1 and location[0] == "teacher" and location[1] in tags:
        del location[1]
    key = ".".join(location) or "the file"
    if item["type"] == "extra_forbidden":
        nearest = _nearest_key(location)
        return f"{key}: unknown key." + (f" Did you mean {nearest!r}?" if nearest else "")
    given = "" if item["type"] in {"missing", "value_error"} else f" (given: {_shorten(item['input'])})"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}{given}"


def _nearest_key(location: Sequence[str]) -> str | None:
    """Among the keys beside it first, then anywhere in the file."""
    names = {key.rsplit(".", 1)[-1]: key for key in known_keys()}
    section = ".".join(location[:-1])
    beside = [key.rsplit(".", 1)[-1] for key in known_keys() if key.rpartition(".")[0] == section]
    for candidates, cutoff in ((beside, 0.5), (list(names), 0.6)):
        if near := difflib.get_close_matches(location[-1], candidates, n=1, cutoff=cutoff):
            return near[0] if candidates is beside else names[near[0]]
    return None


def _shorten(value: Any) -> str:
    text = "a section" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def known_keys() -> dict[str, str]:
    """Every key of the file in dotted form, with its description. Teachers' keys stand under `teacher`."""
    return dict(_keys_of(ProgrammeConfig, ""))


def _keys_of(section: type[Section], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}", field.description or ""
        for below in sections_in(field.annotation):
            yield from _keys_of(below, f"{prefix}{name}.")


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type may hold."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Section) else []
    return [section for part in getattr(annotation, "__args__", ()) for section in sections_in(part)]
