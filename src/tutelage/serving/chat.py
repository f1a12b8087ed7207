"""Chat completions: which are the task, its input in them, and answers in the shape of the teacher's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tutelage.config import RecogniseConfig
from tutelage.records import Fields, Value
from tutelage.tasks import Task

# What a student's answer can't have: such requests are the teacher's.
_BEYOND = ("tools", "functions", "audio", "logprobs", "top_logprobs")
_LABEL = "(?P<value>.*?)"


class ChatFormat:
    """How an application speaks of the task.

    `names` are the model names that always mean it. `reply` is the template of `serving.reply`; without it
    an answer is the task's own JSON.
    """

    def __init__(
        self, task: Task, names: Sequence[str], recognise: RecogniseConfig, reply: str | None = None
    ) -> None:
        self._task, self.names = task, frozenset(names) | frozenset(recognise.models)
        self._system = re.compile(recognise.system) if recognise.system else None
        self._input = re.compile(recognise.input, re.DOTALL) if recognise.input else None
        self._reply = reply
        self._read = _reader(reply) if reply else None
        self._own = [dict(message) for message in task.render("")[:-1]]

    def input_of(self, body: Mapping[str, Any]) -> str | None:
        """The task's input; None where a request isn't the task, or asks for what a student has not."""
        if any(body.get(key) for key in _BEYOND) or body.get("n", 1) not in (1, None):
            return None
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
            return None
        *fixed, last = messages
        if last["role"] != "user" or not self._is_ours(body.get("model"), fixed):
            return None
        text = _text_of(last)
        if not _is_whole(text):
            return None
        if self._input is None:
            return text
        found = self._input.search(text)
        return found["input"] if found and found["input"] else None

    def _is_ours(self, model: Any, fixed: Sequence[Mapping[str, Any]]) -> bool:
        if [{"role": message["role"], "content": _text_of(message)} for message in fixed] == self._own:
            return True
        system = [_text_of(message) for message in fixed if message["role"] in ("system", "developer")]
        if len(system) < len(fixed):  # a conversation: its last message alone isn't the input
            return False
        named = isinstance(model, str) and model in self.names
        return named or bool(self._system and any(map(self._system.search, system)))

    def is_bare(self, body: Mapping[str, Any]) -> bool:
        """Whether a request of the task brings no prompt of its own, only the input."""
        return len(body["messages"]) == 1

    def text_of(self, value: Value) -> str:
        """A value as the application expects it."""
        if self._reply is None:
            return self._task.answer_text(value)
        return self._reply.replace("{value}", _shown(value))

    def value_of(self, text: str) -> Value | None:
        """What the teacher's text says; None where it is no value of the task."""
        if self._read is not None and (found := self._read.fullmatch(text.strip())):
            said = found["value"].strip()
            value = self._task.admit(
                [name.strip() for name in said.split(",") if name.strip()] if self._task.multi_label else said
            ).value
            if value is not None:
                return value
        return self._task.parse(text).value


def _shown(value: Value) -> str:
    if isinstance(value, Fields):
        return json.dumps(dict(value), ensure_ascii=False)
    return ", ".join(value) if isinstance(value, tuple) else value


def _reader(reply: str) -> re.Pattern[str]:
    before, after = reply.strip().split("{value}")
    return re.compile(re.escape(before) + _LABEL + re.escape(after), re.DOTALL)


def _is_message(message: Any) -> bool:
    """Whether it has a role and text alone: no image, no call of a tool."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(
            isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            for part in content
        )
    return isinstance(content, str)


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _is_whole(text: str) -> bool:
    """Whether UTF-8 can say it: an emoji that somebody cut in two is half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def said_in(completion: Mapping[str, Any]) -> str:
    """The text of a completion's first choice; empty where it has none."""
    try:
        content = completion["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def completion(
    id_: str, created: int, model: str, text: str, about: Mapping[str, Any], usage: Mapping[str, int]
) -> dict[str, Any]:
    """A chat completion that says `text`; `about` is the extension `tutelage`."""
    return {
        "id": f"chatcmpl-{id_}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": text, "refusal": None},
            }
        ],
        "usage": dict(usage),
        "tutelage": dict(about),
    }


def chunks(whole: Mapping[str, Any], *, with_usage: bool) -> Iterator[bytes]:
    """A completion as the events of a stream: role, text, end, the usage where it is wanted, `[DONE]`."""
    shared = {**whole, "object": "chat.completion.chunk"}
    usage = shared.pop("usage")
    [choice] = shared.pop("choices")
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": choice["message"]["content"]}, None),
        ({}, "stop"),
    ]
    for delta, finish in deltas:
        part = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield event({**shared, "choices": [part]})
    if with_usage:
        yield event({**shared, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def event(content: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


class StreamReader:
    """Gathers what a stream of a teacher says while its bytes are passed on."""

    def __init__(self) -> None:
        self._rest = b""
        self._said: list[str] = []
        self.model = ""
        self.usage: dict[str, Any] | None = None
        self.ended = False

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._said)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come, cut anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            content = json.loads(data)
            self.model = content.get("model") or self.model
            self.usage = content.get("usage") or self.usage
            for choice in content.get("choices", ()):
                if isinstance(said := choice["delta"].get("content"), str):
                    self._said.append(said)
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # no event of ours to read; it is passed on all the same
