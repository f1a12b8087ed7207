"""A teacher behind Anthropic's Messages API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tutelage.config import AnthropicTeacherConfig
from tutelage.tasks import Task
from tutelage.teachers._batch_api import BatchApi, BatchingTeacher
from tutelage.teachers._batch_providers import AnthropicBatches
from tutelage.teachers._dialect import (
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
from tutelage.teachers.protocol import TeacherContext

_VERSIONED, _VERSION = "anthropic-version", "2023-06-01"
_TOOL = "answer"
_FINISHES = {
    "max_tokens": Finish.CUT,
    "model_context_window_exceeded": Finish.CUT,
    "refusal": Finish.REFUSED,
}
# Parts of a request that a model may not know, and how the endpoint says so; of several the first one goes.
_OPTIONAL = {
    "output_config": re.compile(
        r"output.?(?:config|format)|json_?schema|\bschema\b|structured|grammar", re.I
    ),
    "tools": re.compile(r"\btools?\b|tool_choice|input_schema", re.I),
    "cache_control": re.compile(r"cache_control", re.I),
    "temperature": re.compile(r"temperature", re.I),
}
# Tokens that the endpoint adds, generously: roles; the format told to the model; the tool told to it.
_FRAME, _FORMAT, _TOOLS = 64, 400, 700


class AnthropicTeacher(BatchingTeacher):
    """Asks Anthropic's Messages API, or one that speaks as it does. See `EndpointTeacher`.

    It gives no log-probabilities, so a distribution comes from votes.
    """

    def __init__(self, config: AnthropicTeacherConfig, context: TeacherContext) -> None:
        super().__init__(config, context, MessagesApi(config, context.task), logprobs=False)

    def _batch_api(self) -> BatchApi:
        return AnthropicBatches(self, self._dialect.path)


class MessagesApi:
    """The dialect of `POST /v1/messages`.

    The schema is asked for as the output's format; where that is turned down, as the input of a tool that the
    model must call; where that is too, not at all. The system message and the examples are marked as what the
    endpoint may cache.
    """

    def __init__(self, config: AnthropicTeacherConfig, task: Task) -> None:
        self._config, self._schema = config, task.json_schema()
        self.path = "/messages" if config.base_url.endswith("/v1") else "/v1/messages"
        self.without: set[str] = set()
        if not config.structured or self._schema is None:
            self.without |= {"output_config", "tools"}

    @property
    def overhead(self) -> int:
        """See `Dialect`. Where the format is turned down, the call goes on with the tool: that is more."""
        if "tools" not in self.without:
            return _TOOLS
        return _FRAME if "output_config" in self.without else _FORMAT

    def headers(self, key: str) -> dict[str, str]:
        """See `Dialect`."""
        version = (
            {} if "anthropic-version" in map(str.lower, self._config.headers) else {_VERSIONED: _VERSION}
        )
        return version | ({"x-api-key": key} if key else {})

    def request(self, messages: Messages, sampling: Sampling) -> dict[str, Any]:
        """See `Dialect`."""
        system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
        turns: list[dict[str, Any]] = [dict(message) for message in messages if message["role"] != "system"]
        if len(turns) > 1:
            turns[-2]["content"] = self._cached(turns[-2]["content"])
        request: dict[str, Any] = {
            "model": self._config.model,
            "max_tokens": self._config.max_output_tokens,
            "messages": turns,
        }
        if system:
            request["system"] = self._cached(system) if len(turns) == 1 else system
        if "output_config" not in self.without:
            request["output_config"] = {"format": {"type": "json_schema", "schema": self._schema}}
        elif "tools" not in self.without:
            tool = {"name": _TOOL, "description": "Gives the answer.", "input_schema": self._schema}
            request |= {"tools": [tool], "tool_choice": {"type": "tool", "name": _TOOL}}
        if "temperature" not in self.without:
            request["temperature"] = sampling.temperature
        return {**request, **self._config.extra}

    def _cached(self, text: str) -> str | list[dict[str, Any]]:
        """Content up to which the endpoint may cache a request, as all others begin like it."""
        if "cache_control" in self.without:
            return text
        return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]

    def leave_out(self, request: Mapping[str, Any], status: int, message: str) -> bool:
        """See `Dialect`."""
        if status not in TURNS_DOWN:
            return False
        asked = {*request, "cache_control"}
        if "cache_control" in self.without:
            asked.discard("cache_control")
        found = [name for name, said in _OPTIONAL.items() if name in asked and said.search(message)]
        self.without.update(found[:1])
        return bool(found)

    def fault(self, content: Any) -> tuple[int, str] | None:
        """See `Dialect`."""
        return fault_in(content)

    def read(self, content: Any) -> Said:
        """See `Dialect`."""
        blocks = content.get("content") if isinstance(content, dict) else None
        if not isinstance(blocks, list):
            raise MalformedBody("no list of content")
        model, stop = content.get("model"), content.get("stop_reason")
        return Said(
            text="".join(map(_text_of, blocks)),
            finish=_FINISHES.get(str(stop), Finish.DONE),
            counts=_counts(content.get("usage")),
            model=model if isinstance(model, str) else "",
        )


def _text_of(block: Any) -> str:
    """What a block of content says: a text, or the input of the tool; nothing for the model's thinking."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "text" and isinstance(block.get("text"), str):
        return str(block["text"])
    if kind == "tool_use" and block.get("name") == _TOOL:
        return json.dumps(block.get("input"), ensure_ascii=False)
    if isinstance(kind, str) and kind not in {"text", "tool_use"}:
        return ""
    raise MalformedBody(f"a block of content is {str(kind)[:40]!r} and holds no text")


def _counts(usage: Any) -> Counts | None:
    given, made = count_of(usage, "input_tokens"), count_of(usage, "output_tokens")
    if given is None or made is None:
        return None
    read = count_of(usage, "cache_read_input_tokens") or 0
    written = count_of(usage, "cache_creation_input_tokens") or 0
    return Counts(given + read + written, made, read, written)
