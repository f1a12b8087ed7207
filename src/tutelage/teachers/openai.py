"""A teacher behind an OpenAI-compatible chat-completions endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tutelage.config import OpenAITeacherConfig
from tutelage.errors import ConfigError
from tutelage.tasks import Task
from tutelage.teachers._batch_api import BatchApi, BatchingTeacher
from tutelage.teachers._batch_providers import OpenAIBatches
from tutelage.teachers._dialect import (
    LOGPROBS,
    TURNS_DOWN,
    Counts,
    Finish,
    MalformedBody,
    Messages,
    Said,
    Sampling,
    count_of,
)
from tutelage.teachers._endpoint_faults import fault_in
from tutelage.teachers._logprobs import read_tokens
from tutelage.teachers.protocol import TeacherContext

_TOP_LOGPROBS = 20  # the most that the API offers
# Most say `length` and `content_filter`; Mistral has `model_length`, and Gemini's own words shine through.
_FINISHES = {
    **dict.fromkeys(("length", "model_length", "max_tokens"), Finish.CUT),
    **dict.fromkeys(
        ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii"), Finish.FILTERED
    ),
}
# The endpoint broke the answer off for a reason of its own (DeepSeek, vLLM, OpenRouter): asking again helps.
_BROKEN_OFF = {"insufficient_system_resource", "abort", "error"}
# Parts of a request that an endpoint may not know, and how it says so.
_OPTIONAL = {
    "strict": re.compile(r"invalid schema|\bstrict\b", re.I),
    "response_format": re.compile(
        r"response_?(?:format|schema|mime_?type)|json_?schema|structured|grammar", re.I
    ),
    LOGPROBS: re.compile(r"logprob", re.I),
    "max_tokens": re.compile(r"use\W+max_completion_tokens", re.I),
    "temperature": re.compile(r"temperature", re.I),
}
# OpenRouter's 404, where none of its providers takes all that `provider.require_parameters` insists on. It
# doesn't say what is one too many, so parts go one by one, in this order.
_SOME_PARAMETER = re.compile(r"can handle the requested parameters", re.I)
_DISPENSABLE = (LOGPROBS, "temperature", "response_format")
_NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w-]|\.\d)")


class OpenAITeacher(BatchingTeacher):
    """Asks any OpenAI-compatible endpoint. See `EndpointTeacher`."""

    def __init__(self, config: OpenAITeacherConfig, context: TeacherContext) -> None:
        if config.batch and config.api == "azure":
            raise ConfigError(
                "teacher.batch is true, and teacher.api is azure, whose batches are not spoken. "
                "Mend: leave teacher.batch out"
            )
        dialect = ChatCompletions(config, context.task)
        super().__init__(config, context, dialect, config.logprobs)

    def _batch_api(self) -> BatchApi:
        return OpenAIBatches(self, self._dialect.path)


class ChatCompletions:
    """The dialect of `POST /chat/completions`: OpenAI's, and of all that took it over.

    Schemas are asked for strictly where they fit; where an endpoint can't hold a model to one strictly, then
    not strictly, and where it knows no schemas, not at all. The number of alternatives goes down to what the
    endpoint says is its limit.
    """

    overhead = 64  # tokens of roles and separators, generously

    def __init__(self, config: OpenAITeacherConfig, task: Task) -> None:
        self._config, self._schema = config, task.json_schema()
        self.path = completions_path(config)
        self.without: set[str] = set()
        self._top_logprobs = _TOP_LOGPROBS
        if not config.structured or self._schema is None:
            self.without.add("response_format")
        if not task.strict:
            self.without.add("strict")

    def headers(self, key: str) -> dict[str, str]:
        """See `Dialect`. A server that asks for no key gets a word in its place, as its clients send."""
        if self._config.api == "azure":
            return {"api-key": key}
        return {"Authorization": f"Bearer {key or 'none'}"}

    def request(self, messages: Messages, sampling: Sampling) -> dict[str, Any]:
        """See `Dialect`."""
        request: dict[str, Any] = {"model": self._config.model, "messages": messages}
        limit = "max_completion_tokens" if "max_tokens" in self.without else "max_tokens"
        request[limit] = self._config.max_output_tokens
        if "response_format" not in self.without:
            schema: dict[str, Any] = {"name": "answer", "schema": self._schema}
            if "strict" not in self.without:
                schema["strict"] = True
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if sampling.logprobs:
            request |= {LOGPROBS: True, "top_logprobs": self._top_logprobs}
        if "temperature" not in self.without:
            request["temperature"] = sampling.temperature
        return {**request, **self._config.extra}

    def leave_out(self, request: Mapping[str, Any], status: int, message: str) -> bool:
        """See `Dialect`."""
        asked = {*request}
        if "strict" in request.get("response_format", {}).get("json_schema", {}):
            asked.add("strict")
        parts = asked & _turned_down(request, status, message)
        if "strict" in parts:
            parts.discard("response_format")
        if LOGPROBS in parts and (limit := _limit_in(message, request["top_logprobs"])):
            self._top_logprobs = min(limit, self._top_logprobs)
            return True
        self.without |= parts
        return bool(parts)

    def fault(self, content: Any) -> tuple[int, str] | None:
        """See `Dialect`. Gateways report a fault behind them as `{"error": {"code": 429, ...}}`."""
        return None if isinstance(content, dict) and content.get("choices") else fault_in(content)

    def read(self, content: Any) -> Said:
        """See `Dialect`."""
        choice, message = _choice_of(content)
        text, refusal = _text_in(message.get("content")), message.get("refusal")
        logprobs, model = choice.get("logprobs"), content.get("model")
        usage = content.get("usage")
        charged = usage.get("cost") if isinstance(usage, dict) else None
        finish = _finish_of(choice)
        return Said(
            text=str(refusal) if refusal else text,
            finish=Finish.REFUSED if refusal else finish,
            counts=_counts(usage),
            tokens=read_tokens(logprobs.get("content")) if isinstance(logprobs, dict) else None,
            model=model if isinstance(model, str) else "",
            charged=charged if isinstance(charged, float) else None,
        )


def _turned_down(request: Mapping[str, Any], status: int, message: str) -> set[str]:
    """The parts of a request that a fault is about."""
    if status == 404:
        parts = [name for name in _DISPENSABLE if name in request]
        return set(parts[:1]) if _SOME_PARAMETER.search(message) else set()
    found = {name for name, said in _OPTIONAL.items() if said.search(message)}
    if status == 403:  # OpenAI's, for log-probabilities of its reasoning models
        return found & {LOGPROBS}
    return found if status in TURNS_DOWN else set()


def completions_path(config: OpenAITeacherConfig) -> str:
    """Where chat completions are asked for, below the base URL."""
    path = "/chat/completions"
    if config.api == "azure" and not config.base_url.endswith("/v1"):
        path = f"/openai/deployments/{quote(config.model, safe='')}{path}"
    return f"{path}?api-version={quote(config.api_version)}" if config.api_version else path


def _limit_in(message: str, asked: int) -> int | None:
    """The limit of alternatives that a message names, if it is less than was asked for."""
    numbers = [int(number) for number in _NUMBER.findall(message) if len(number) <= 3]
    return max((number for number in numbers if 1 <= number < asked), default=None)


def _choice_of(content: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first choice and its message."""
    choices = content.get("choices") if isinstance(content, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise MalformedBody("no choices with a message in it")
    if fault := fault_in(choice):  # a gateway's, whose model had begun
        raise MalformedBody(f"the model failed: {fault[1]}")
    return choice, message


def _finish_of(choice: Mapping[str, Any]) -> Finish:
    """Why the answer ended. Gemini writes its reason behind `content_filter:`. Raises MalformedBody."""
    reason = str(choice.get("finish_reason")).lower().partition(":")[0].strip()
    if reason in _BROKEN_OFF:
        raise MalformedBody(f"the endpoint broke the answer off ({reason})")
    return _FINISHES.get(reason, Finish.DONE)


def _text_in(content: Any) -> str:
    """A message's text: alone, absent, or as some have it in pieces beside the model's thinking."""
    if content is None or isinstance(content, str):
        return _without_thinking(content or "")
    pieces = content if isinstance(content, list) else None
    if not pieces or not all(
        isinstance(piece, dict) and isinstance(piece.get("type"), str) for piece in pieces
    ):
        raise MalformedBody(f"the message's content is {type(content).__name__}")
    texts = [piece.get("text") for piece in pieces if piece["type"] == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedBody("a piece of the message's content holds no text")
    return "".join(map(str, texts))


def _without_thinking(text: str) -> str:
    """An answer without what the model thought before it, where a server leaves that in the text.

    Servers of open models do that don't know the model's marks for it. The first mark may stand in the
    prompt's template (DeepSeek). Thoughts that never end have no answer after them.
    """
    before, ended, after = text.partition("</think>")
    begun = before.lstrip().startswith("<think>")
    if ended and (begun or "<think>" not in before):
        return after.lstrip()
    return "" if begun else text


def _counts(usage: Any) -> Counts | None:
    given, made = count_of(usage, "prompt_tokens"), count_of(usage, "completion_tokens")
    if given is None or made is None:
        return None
    # Some leave reasoning out of `completion_tokens`, which is billed all the same and is in the total.
    made = max(made, (count_of(usage, "total_tokens") or 0) - given)
    cached = count_of(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    return Counts(given, made, min(cached, given))
