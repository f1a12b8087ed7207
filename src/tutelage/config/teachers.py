"""The kinds of teachers that `teacher` may describe."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tutelage.config.section import Section, environment_name, is_loopback
from tutelage.config.sources import SourceConfig

EMBEDDED_ENCODER = "minilm-l6"
EMBEDDED_WRITER = "smollm2-135m"
USUAL_VOTES = 5  # samples of a prompt of which log-probabilities don't come, where `samples` is absent


class PriceConfig(Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0.0, description="For a million tokens of prompt.")
    output: float = Field(ge=0.0, description="For a million tokens of answer.")
    cached_input: float | None = Field(
        None, ge=0.0, description="For those read from the endpoint's prompt cache; `input` where absent."
    )
    cache_write: float | None = Field(
        None,
        ge=0.0,
        description="For those written to it, where that has a price of its own; where absent `input`, and "
        "for `anthropic` 1.25 times it.",
    )

    batch_discount: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Share that the provider's batch API takes off; where absent as the list of prices says, "
        "else none.",
    )

    @property
    def dearest_input(self) -> float:
        """The most that a million tokens of prompt can cost."""
        return max(self.input, self.cached_input or 0.0, self.cache_write or 0.0)

    def of(self, inputs: int, outputs: int, cached: int = 0, written: int = 0) -> float:
        """US dollars for tokens of prompt and of answer; of the prompt's, some `cached`, some `written`."""
        read = self.input if self.cached_input is None else self.cached_input
        write = self.input if self.cache_write is None else self.cache_write
        plain = inputs - cached - written
        return (plain * self.input + cached * read + written * write + outputs * self.output) / 1e6


class EncoderTeacherConfig(Section):
    """A sentence encoder with a head fitted on gold's training part. Runs here; costs nothing a call."""

    type: Literal["encoder"] = Field("encoder", description="The kind of teacher.")
    rights: str = Field(
        "all-minilm-l6-v2",
        description="Entry of the rights registry; to be named for any model but the embedded one.",
    )
    model: str = Field(EMBEDDED_ENCODER, description="`minilm-l6` (embedded), a folder, or a hub name.")
    max_tokens: int = Field(128, gt=0, description="Longer texts are cut.")
    batch_size: int = Field(64, gt=0, description="Prompts a forward pass.")

    @model_validator(mode="after")
    def _names_the_rights_of_its_model(self) -> EncoderTeacherConfig:
        if self.model != EMBEDDED_ENCODER and "rights" not in self.model_fields_set:
            raise ValueError(
                f"model is {self.model!r}, and rights is absent. Mend: name the entry of the rights registry "
                "that binds this model (docs/rights.md)"
            )
        return self


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


_CACHE_WRITE = 1.25  # of the price of input: Anthropic's, for a cache of five minutes
_RESERVED = (
    *("model", "messages", "system", "stream", "n", "max_tokens", "max_completion_tokens", "temperature"),
    *("response_format", "output_config", "tools", "tool_choice", "logprobs", "top_logprobs"),
)
_OF_THE_TRANSPORT = ("content-type", "content-length", "host", "connection", "transfer-encoding")
_CARRIES_A_KEY = ("authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "x-goog-api-key")
_MAY_CARRY_A_KEY = re.compile(
    r"auth(?!or(?:$|-))|secret|passw|credential|cookie|signature|api-?key|(?:^|-)(?:key|token)(?:$|-)", re.I
)
_BEHAVIOUR = re.compile(r"-(?:beta|version)$", re.I)
_LONGEST_WORD = 24  # characters of an environment variable's name that is one word with digits
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EndpointConfig(Section):
    """A model behind an HTTP API."""

    type: str = Field(description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    model: str = Field(description="The model's name at the endpoint.")
    base_url: str = Field(description="The endpoint.")
    api_key_env: str = Field(description="The environment variable that holds the key.")
    price: PriceConfig | None = Field(
        None,
        description="Of an endpoint on another machine, unless it is `free`; from the dated list of prices "
        "where absent and listed. On this machine, what a gateway passes on. Prompts to another machine wait "
        "for the gold gate whatever the price.",
    )
    free: bool = Field(False, description="The endpoint charges nothing, e.g. your own server.")
    batch: bool = Field(
        False, description="Ask through the provider's batch API: within a day, mostly at half the price."
    )
    structured: bool = Field(True, description="Ask for output that follows a JSON schema of the answer.")
    samples: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Answers asked of each prompt; more than one become votes. Where absent: 1 where its "
        "log-probabilities come with it or the task has no labels, else 5.",
    )
    temperature: float | None = Field(
        None, ge=0.0, le=2.0, description="0 for one sample, 0.7 for several, where absent."
    )
    max_output_tokens: int = Field(
        256, gt=0, description="Longest answer; for a reasoning model its reasoning counts too."
    )
    timeout: float = Field(60.0, gt=0.0, description="Seconds for one call, retries not included.")
    headers: dict[str, str] = Field(
        {},
        description="More HTTP headers, e.g. `HTTP-Referer` and `X-Title` for OpenRouter. A secret only as "
        "`${NAME}`, which is taken from the environment. Those that end in `-beta` or `-version` shape "
        "answers.",
    )
    extra: dict[str, Any] = Field(
        {}, description="More of the request's body, e.g. `reasoning_effort: low`. It shapes answers."
    )

    @property
    def remote_host(self) -> str:
        """The endpoint's host; empty where it is this machine."""
        host = (urlsplit(self.base_url).hostname or "").rstrip(".")
        return "" if is_loopback(host) else host

    @property
    def headers_in_environment(self) -> dict[str, str]:
        """The headers whose value is a `${NAME}`, with that name."""
        found = {header: environment_name(value) for header, value in self.headers.items()}
        return {header: name for header, name in found.items() if name}

    @property
    def costs(self) -> bool:
        """Whether a call has a price above 0."""
        return self.price is not None and (self.price.input > 0 or self.price.output > 0)

    def completed(self, price: PriceConfig) -> PriceConfig:
        """A price with what follows from it where it doesn't say."""
        return price

    def shaping(self) -> dict[str, Any]:
        """What of this shapes an answer, but for the temperature, which depends on the samples."""
        always = {"model", "base_url", "structured", "samples", "max_output_tokens"}
        shaping = self.model_dump(include=always | ({"extra"} if self.extra else set()))
        # Headers by which providers turn on another behaviour of a model, e.g. `anthropic-beta`.
        beta = {name.lower(): value for name, value in self.headers.items() if _BEHAVIOUR.search(name)}
        return {**shaping, "headers": beta} if beta else shaping

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if "@" in parts.netloc or parts.query or parts.fragment:  # not repeated: it may hold a secret
            raise ValueError(
                "base_url has a user, a password, a query or a fragment, and it is journalled. Mend: leave "
                "only the address; the key goes into the environment variable that api_key_env names"
            )
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"base_url {value!r} must start with http:// or https://")
        if not parts.hostname:
            raise ValueError(f"base_url {value!r} names no host")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        # A key that was put here by mistake has dashes, or is one long word with digits. It isn't repeated.
        word = "_" not in value and any(map(str.isdigit, value))
        if not _NAME.fullmatch(value) or (word and len(value) >= _LONGEST_WORD):
            raise ValueError(
                "api_key_env is no name of an environment variable. Mend: put the key into one, and its name "
                "here, e.g. MY_API_KEY; should the key stand here, take it out"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _has_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if name.lower() in _CARRIES_A_KEY:
                raise ValueError(
                    f"headers has {name!r}, and it is journalled. Mend: the key goes into the environment "
                    "variable that api_key_env names"
                )
            if _MAY_CARRY_A_KEY.search(name) and not environment_name(content):
                raise ValueError(
                    f"headers has {name!r}, which by its name carries a key. Mend: put it into an "
                    "environment variable, and ${NAME} here"
                )
            if "${" in content and not environment_name(content):
                raise ValueError(
                    f"headers has {name!r}, of which a part is to come from the environment. Mend: put all "
                    "of its value into a variable, and ${NAME} alone here"
                )
            if name.lower() in _OF_THE_TRANSPORT:
                raise ValueError(f"headers has {name!r}, which Tutelage sets itself. Mend: leave it out")
            if not (name + content).isascii() or not (name + content).isprintable() or not name.strip():
                raise ValueError(f"the header {name!r} can't be sent. Mend: use printable ASCII")
        return value

    @field_validator("extra")
    @classmethod
    def _adds_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(set(value) & set(_RESERVED))
        if taken:
            raise ValueError(f"extra has {taken[0]!r}, which Tutelage sets itself. Mend: leave it out")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"extra can't be written as JSON: {error}. Mend: quote it") from None
        return value

    @model_validator(mode="after")
    def _has_one_price(self) -> Self:
        if self.free and self.costs:
            raise ValueError("free is true, and price is more than 0. Mend: leave one of them out")
        return self


class OpenAITeacherConfig(EndpointConfig):
    """Any OpenAI-compatible chat-completions endpoint."""

    type: Literal["openai"] = Field("openai", description="The kind of teacher.")
    base_url: str = Field("https://api.openai.com/v1", description="The endpoint.")
    api_key_env: str = Field("OPENAI_API_KEY", description="The environment variable that holds the key.")
    logprobs: bool = Field(
        True, description="Ask for token log-probabilities and turn them into a distribution."
    )
    api: Literal["openai", "azure"] = Field(
        "openai",
        description="`azure`: the key goes into the header `api-key`, and `model` is a deployment's name.",
    )
    api_version: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Azure's, e.g. `2024-10-21`; absent where base_url ends in `/openai/v1`.",
    )

    def shaping(self) -> dict[str, Any]:
        """See `EndpointConfig.shaping`."""
        given = {"api", "api_version"} & self.model_fields_set
        return {**super().shaping(), **self.model_dump(include={"logprobs", *given})}

    @model_validator(mode="after")
    def _names_the_version(self) -> OpenAITeacherConfig:
        if self.api == "azure" and self.api_version is None and not self.base_url.endswith("/openai/v1"):
            raise ValueError(
                f"api is azure, api_version is absent, and base_url {self.base_url!r} doesn't end in "
                "/openai/v1. Mend: give api_version, or add /openai/v1 to base_url"
            )
        if self.api != "azure" and self.api_version is not None:
            raise ValueError("api_version belongs to api: azure. Mend: leave it out, or say api: azure")
        return self


class PluginTeacherConfig(Section):
    """A teacher from another package, found by its entry point in `tutelage.teachers`."""

    type: Literal["plugin"] = Field("plugin", description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    name: str = Field(description="The entry point's name.")
    options: dict[str, Any] = Field({}, description="Passed to it unread.")


class AnthropicTeacherConfig(EndpointConfig):
    """Anthropic's Messages API."""

    type: Literal["anthropic"] = Field("anthropic", description="The kind of teacher.")
    rights: str = Field("anthropic-api", description="Entry of the rights registry.")
    base_url: str = Field("https://api.anthropic.com", description="The endpoint, without `/v1`.")
    api_key_env: str = Field("ANTHROPIC_API_KEY", description="The environment variable that holds the key.")
    temperature: float | None = Field(
        None, ge=0.0, le=1.0, description="0 for one sample, 0.7 for several, where absent."
    )

    def completed(self, price: PriceConfig) -> PriceConfig:
        """A price with that of writing to the cache where it doesn't say."""
        if price.cache_write is not None:
            return price
        return price.model_copy(update={"cache_write": _CACHE_WRITE * price.input})


_ENGINE_RESERVED = (
    *("model", "tokenizer", "revision", "tokenizer_revision", "code_revision", "trust_remote_code", "dtype"),
    *("load_format", "max_model_len", "max_logprobs", "logprobs_mode", "hf_overrides", "worker_cls"),
)


class LocalTeacherConfig(Section):
    """A generative model that runs here: causal or sequence to sequence."""

    type: Literal["local"] = Field("local", description="The kind of teacher.")
    rights: str = Field(description="Entry of the rights registry.")
    model: str = Field(description="A folder, a GGUF file in it, or a hub name.")
    backend: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="What runs it, in this process; `vllm` needs a GPU and the extra `vllm`.",
    )
    engine: dict[str, Any] = Field(
        {}, description="More of vLLM's engine arguments, e.g. `tensor_parallel_size: 2`."
    )
    structured: bool | None = Field(
        None,
        description="Whether what is written is held to the answer's JSON schema. `vllm` does so where "
        "absent; `transformers` can't.",
    )
    choose: Literal["score", "generate"] | None = Field(
        None,
        description="How one label is chosen: `score` weighs every label exactly, `generate` reads what "
        "the model writes. Where absent: `score` where nothing but the label is asked for.",
    )
    samples: int = Field(
        1, ge=1, le=64, description="Texts written for each prompt; more than one become votes."
    )
    temperature: float | None = Field(
        None, ge=0.0, le=2.0, description="0 for one sample, 0.7 for several, where absent."
    )
    seed: int = Field(0, ge=0, description="Of sampling.")
    max_input_tokens: int = Field(4096, gt=0, description="A longer prompt is not answered, never cut.")
    max_output_tokens: int = Field(256, gt=0, description="Longest answer.")
    batch_size: int = Field(8, gt=0, description="Prompts answered together.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights in memory; `auto`: bfloat16 on a GPU, float32 without."
    )

    @model_validator(mode="after")
    def _fits_its_backend(self) -> LocalTeacherConfig:
        if self.backend == "vllm":
            if taken := sorted(set(self.engine) & set(_ENGINE_RESERVED)):
                raise ValueError(f"engine has {taken[0]!r}, which Tutelage sets itself. Mend: leave it out")
        elif given := [key for key in ("engine", "structured") if getattr(self, key)]:
            raise ValueError(f"{given[0]} belongs to backend: vllm. Mend: leave it out, or say so")
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> LocalTeacherConfig:
        if self.samples > 1 and self.temperature == 0.0:
            raise ValueError(f"samples is {self.samples}, and at temperature 0 they are all the same")
        if self.samples > 1 and self.choose == "score":
            raise ValueError(
                f"samples is {self.samples}, and choose: score writes none. Mend: choose: generate"
            )
        return self


class HumanTeacherConfig(Section):
    """People. What they haven't answered yet waits in a queue file for them."""

    type: Literal["human"] = Field("human", description="The kind of teacher.")
    rights: str = Field("own-people", description="Entry of the rights registry.")
    verdicts: SourceConfig | None = Field(
        None,
        description="Their answers so far: a file with the text (or an id) and label columns; several rows "
        "on one prompt become votes. Where absent all come from the queue.",
    )
    reviewer: str = Field("reviewer", description="The column that says who answered, where there is one.")
    reasons: str = Field("reasons", description="The column with their reasons, where there is one.")
    queue: str | None = Field(
        None,
        description="Where prompts wait for them, CSV or JSONL; `answers/queue.csv` where absent, "
        "for `extract` `answers/queue.jsonl`.",
    )

    @field_validator("queue")
    @classmethod
    def _can_be_filled_in(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith((".csv", ".jsonl")):
            raise ValueError(f"queue {value!r} ends neither in .csv nor in .jsonl. Mend: name such a file")
        return value


# A field of this mark holds a teacher, whose keys are told under `teacher` and not once more.
AS_TEACHER: dict[str, Any] = {"told_under": "teacher"}


class MemberConfig(Section):
    """One teacher of an ensemble."""

    teacher: SoleTeacherConfig = Field(
        description="Keys as of `teacher`, of any kind but an ensemble.", json_schema_extra=AS_TEACHER
    )
    weight: float = Field(1.0, gt=0.0, description="Its share in `weighted`; in `majority` it breaks ties.")


class EnsembleTeacherConfig(Section):
    """Several teachers whose answers become one."""

    type: Literal["ensemble"] = Field("ensemble", description="The kind of teacher.")
    strategy: Literal["mean", "weighted", "majority", "committee"] = Field(
        "mean",
        description="`mean` or `weighted` mean of distributions, `majority` of values, or `committee`: where "
        "they disagree `judge` decides.",
    )
    members: tuple[MemberConfig, ...] = Field(min_length=2, max_length=16, description="Who answers.")
    judge: SoleTeacherConfig | None = Field(
        None,
        description="Decides in a committee, shown what the members said. Keys as of `teacher`; `encoder` "
        "and `transformers` can't.",
        json_schema_extra=AS_TEACHER,
    )

    @model_validator(mode="after")
    def _has_the_judge_it_needs(self) -> EnsembleTeacherConfig:
        if self.strategy == "committee" and self.judge is None:
            raise ValueError("strategy is committee, and judge is absent. Mend: add one, or say majority")
        if self.strategy != "committee" and self.judge is not None:
            raise ValueError(
                f"strategy is {self.strategy}, which asks no judge, and there is one. Mend: say committee"
            )
        if self.judge is not None and self.judge.type in {"encoder", "transformers"}:
            raise ValueError(
                f"judge is of type {self.judge.type}, which can't weigh what others said. Mend: name one "
                "that is prompted, or people"
            )
        return self

    @model_validator(mode="after")
    def _has_a_queue_for_each(self) -> EnsembleTeacherConfig:
        people = [part.queue for part in self.parts if part.type == "human"]
        if len(set(people)) < len(people):
            raise ValueError("two of the ensemble's people have the same queue. Mend: give each its own")
        return self

    @property
    def parts(self) -> tuple[SoleTeacherConfig, ...]:
        """Every teacher of it: the members in order, then the judge where there is one."""
        judge = () if self.judge is None else (self.judge,)
        return (*(member.teacher for member in self.members), *judge)


SoleTeacherConfig = Annotated[
    EncoderTeacherConfig
    | TransformersTeacherConfig
    | OpenAITeacherConfig
    | AnthropicTeacherConfig
    | LocalTeacherConfig
    | HumanTeacherConfig
    | PluginTeacherConfig,
    Field(discriminator="type"),
]
TeacherConfig = Annotated[
    EncoderTeacherConfig
    | TransformersTeacherConfig
    | OpenAITeacherConfig
    | AnthropicTeacherConfig
    | LocalTeacherConfig
    | HumanTeacherConfig
    | EnsembleTeacherConfig
    | PluginTeacherConfig,
    Field(discriminator="type"),
]
MemberConfig.model_rebuild()
EnsembleTeacherConfig.model_rebuild()


def sole_teachers(teacher: TeacherConfig) -> list[SoleTeacherConfig]:
    """The teacher itself; of an ensemble its members, then its judge."""
    if not isinstance(teacher, EnsembleTeacherConfig):
        return [teacher]
    judge = [] if teacher.judge is None else [teacher.judge]
    return [*(member.teacher for member in teacher.members), *judge]
