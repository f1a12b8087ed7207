"""A teacher behind an OpenAI-compatible chat-completions endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import openai

from tutelage.config import OpenAITeacherConfig
from tutelage.errors import ConfigError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage
from tutelage.storage import hash_json
from tutelage.tasks import Parsed
from tutelage.teachers._endpoint_faults import PromptRejected, fault_of
from tutelage.teachers._logprobs import label_distribution, read_tokens
from tutelage.teachers.protocol import TeacherContext

_TOP_LOGPROBS = 20  # the most that the API offers
_RAW_LIMIT = 65_536  # characters of an answer that are kept
_MESSAGE_LIMIT = 500  # characters of an endpoint's message that are repeated
_COUNTS = ("prompt_tokens", "completion_tokens")
_CHAT_OVERHEAD = 64  # tokens of roles and separators, generously
_REJECTIONS_IN_A_ROW = 3  # unexplained rejections, with no answer before, from which the request is at fault
# Parts of a request that an endpoint may not know, and how it says so.
_OPTIONAL = {
    "response_format": re.compile(r"response_format|json_schema|structured|grammar", re.I),
    "logprobs": re.compile(r"logprob", re.I),
    "max_tokens": re.compile(r"max_completion_tokens", re.I),
}


_NO_USAGE = Usage(calls=1)


class _Malformed(ValueError):
    """A body that is no chat completion."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """One sample as received and as read. `tokens` is the log-probability list, None where there was none."""

    text: str
    parsed: Parsed
    model: str = ""
    tokens: Any = None
    usage: Usage = _NO_USAGE


class OpenAITeacher:
    """Asks any OpenAI-compatible endpoint; several samples of a prompt become votes.

    One prompt a call. Where the endpoint turns down `response_format` or `logprobs`, they are left out from
    then on. A distribution comes from token log-probabilities (one sample, one label) or from votes.

    Raises ConfigError where `teacher.price` or the key is missing for an endpoint on another machine.
    """

    def __init__(self, config: OpenAITeacherConfig, context: TeacherContext) -> None:
        self._config, self._task = config, context.task
        self._host = urlsplit(config.base_url).hostname or ""
        self._key = _key_of(config, self._host)
        several = config.samples > 1
        usual = 0.7 if several else 0.0
        self._temperature = usual if config.temperature is None else config.temperature
        self._without: set[str] = set()
        if not config.structured:
            self._without.add("response_format")
        if not config.logprobs or several or self._task.multi_label:
            self._without.add("logprobs")
        self._session: AsyncGenerator[openai.AsyncOpenAI, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: openai.AsyncOpenAI | None = None
        # Samples of prompts of which another sample failed: paid for, so not asked again by the next try.
        self._kept: dict[str, list[_Reply]] = {}
        self._accepted, self._rejections = False, 0
        self.name = f"openai:{config.model}"
        self.model = config.model
        shaping = {"model", "base_url", "structured", "logprobs", "samples", "max_output_tokens"}
        self.revision = hash_json([config.model_dump(include=shaping), self._temperature])
        price = config.price
        self.paid = price is not None and (price.input > 0 or price.output > 0)
        self.batch_size = 1
        self.concurrency: int | None = None

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Upper bound in US dollars of one `answer(prompts)`.

        A token is taken as 2 bytes of UTF-8: byte-pair vocabularies average about 4 for English and 2 to 3
        for other scripts, so only text that is mostly noise has more tokens than that. To it come the JSON
        schema, an overhead for the chat's frame, and every token of output that the request allows.
        """
        return self._config.samples * sum(self._bound(prompt) for prompt in prompts)

    def _bound(self, prompt: Prompt) -> float:
        texts = [message["content"] for message in self._task.render(prompt.text)]
        if "response_format" not in self._without:
            texts.append(json.dumps(self._task.json_schema()))
        size = sum(len(text.encode("utf-8", "replace")) for text in texts)
        return self._price(size / 2 + _CHAT_OVERHEAD, self._config.max_output_tokens)

    def _price(self, input_tokens: float, output_tokens: float) -> float:
        price = self._config.price
        return 0.0 if price is None else (input_tokens * price.input + output_tokens * price.output) / 1e6

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`. Samples that arrived before another failed are kept for the next try."""
        samples = [await self._samples(prompt) for prompt in prompts]
        for prompt in prompts:
            self._kept.pop(prompt.hash, None)
        return [self._combine(replies) for replies in samples]

    async def close(self) -> None:
        """Close connections. A later `answer` opens new ones."""
        if self._session is not None and self._loop is asyncio.get_running_loop():
            await self._session.aclose()
        self._session = self._client = self._loop = None

    async def _samples(self, prompt: Prompt) -> list[_Reply]:
        kept = self._kept.setdefault(prompt.hash, [])
        missing = self._config.samples - len(kept)
        results = await asyncio.gather(*(self._ask(prompt) for _ in range(missing)), return_exceptions=True)
        kept += [result for result in results if isinstance(result, _Reply)]
        errors = [result for result in results if isinstance(result, BaseException)]
        if not errors:
            return list(kept)
        for error in errors:
            if not isinstance(error, TeacherUnavailable):
                raise error
            error.billed = error.billed or bool(kept)
        raise errors[0]

    async def _ask(self, prompt: Prompt) -> _Reply:
        """One sample. The loop ends: each turn beyond the first leaves one more optional part out."""
        while True:
            request = self._request(prompt)
            started = time.monotonic()
            try:
                body = await self._post(request)
                reply = self._read(body, time.monotonic() - started, prompt)
            except openai.APIStatusError as error:
                message = self._clean(str(error.message))
                if error.status_code in {400, 422} and self._leave_out(request, message):
                    continue
                fault = self._fault(error.status_code, message, dict(error.response.headers))
                if not isinstance(fault, PromptRejected):
                    raise fault from None  # the SDK's error could repeat the key
                return self._rejected(fault)
            except PromptRejected as fault:
                return self._rejected(fault)
            self._accepted = True
            return reply

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._config.model,
            "messages": self._task.render(prompt.text),
            "temperature": self._temperature,
        }
        limit = "max_completion_tokens" if "max_tokens" in self._without else "max_tokens"
        request[limit] = self._config.max_output_tokens
        if "response_format" not in self._without:
            schema = {"name": "answer", "strict": True, "schema": self._task.json_schema()}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "logprobs" not in self._without:
            request |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return request

    def _leave_out(self, request: dict[str, Any], message: str) -> bool:
        """Whether the message turns down an optional part of the request; if so it is not sent again."""
        parts = [name for name, said in _OPTIONAL.items() if name in request and said.search(message)]
        self._without.update(parts)
        return bool(parts)

    async def _post(self, request: dict[str, Any]) -> bytes:
        """The body of a 2xx response. Raises APIStatusError for others, TeacherUnavailable without one."""
        try:
            async with asyncio.timeout(self._config.timeout):
                client = await self._connected()
                response = await client.chat.completions.with_raw_response.create(**request)
                return bytes(response.content)
        except (TimeoutError, openai.APITimeoutError):
            raise TeacherUnavailable(
                f"{self._host} did not answer within {self._config.timeout:g} s (teacher.timeout)",
                billed=True,
            ) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__
            # Named, not imported: the transport is the SDK's own choice.
            never_sent = type(cause).__name__ in {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}
            text = self._clean(f"the connection to {self._host} failed: {cause or error}")
            raise TeacherUnavailable(text, billed=not never_sent) from None

    async def _connected(self) -> openai.AsyncOpenAI:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop, self._session = loop, self._connection()
            self._client = await anext(self._session)
        return self._client

    async def _connection(self) -> AsyncGenerator[openai.AsyncOpenAI, None]:
        """A client that closes with the event loop it belongs to, which ends every async generator."""
        client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._config.base_url,
            max_retries=0,
            timeout=self._config.timeout,
        )
        try:
            yield client
        finally:
            await client.close()

    def _read(self, body: bytes, latency: float, prompt: Prompt) -> _Reply:
        try:
            content = json.loads(body.decode("utf-8"))
            if isinstance(content, dict) and content.get("error") and not content.get("choices"):
                raise self._fault_in_body(content["error"])
            return self._reply(content, latency, prompt)
        except (ValueError, RecursionError) as error:
            text = self._clean(f"{self._host} sent a body that is no chat completion: {error}")
            raise TeacherUnavailable(text, billed=True) from None

    def _reply(self, content: Any, latency: float, prompt: Prompt) -> _Reply:
        choice, message, text = _choice_of(content)
        finish = choice.get("finish_reason")
        if refusal := message.get("refusal"):
            text = str(refusal)
            parsed = Parsed(AnswerStatus.REFUSED, None, "the teacher declined to answer")
        else:
            parsed = self._task.parse(text)
        if parsed.status is not AnswerStatus.OK and finish == "content_filter":
            parsed = Parsed(AnswerStatus.REFUSED, None, "the endpoint's content filter cut the answer")
        if parsed.status is AnswerStatus.UNPARSEABLE and finish == "length":
            limit = self._config.max_output_tokens
            reason = f"cut off at teacher.max_output_tokens {limit}: {parsed.reason}"
            parsed = Parsed(AnswerStatus.UNPARSEABLE, None, reason)
        logprobs = choice.get("logprobs")
        model = content.get("model")
        return _Reply(
            text=text,
            parsed=parsed,
            model=_storable(model) if isinstance(model, str) else "",
            tokens=logprobs.get("content") if isinstance(logprobs, dict) else None,
            usage=self._usage(content.get("usage"), latency, prompt),
        )

    def _usage(self, usage: Any, latency: float, prompt: Prompt) -> Usage:
        """As billed; without an account of tokens the cost is taken at its upper bound."""
        counts: list[Any] = [usage.get(name) for name in _COUNTS] if isinstance(usage, dict) else []
        if not counts or not all(isinstance(count, int) and count >= 0 for count in counts):
            return Usage(cost=self._bound(prompt), latency=latency, calls=1)
        return Usage(counts[0], counts[1], self._price(*counts), latency, calls=1)

    def _rejected(self, fault: PromptRejected) -> _Reply:
        if not fault.known and not self._accepted:
            self._rejections += 1
            if self._rejections > _REJECTIONS_IN_A_ROW:
                raise TeacherRefusesAccess(
                    f"{fault.reason}. {self._rejections} requests were rejected and none was answered, so it "
                    "is not for a prompt. Check the teacher section of tutelage.yaml against the endpoint"
                )
        return _Reply("", Parsed(fault.status, None, fault.reason), usage=_NO_USAGE)

    def _fault(
        self, status: int, message: str, headers: dict[str, str]
    ) -> TeacherUnavailable | TeacherRefusesAccess | PromptRejected:
        return fault_of(status, message, headers, self._host, self._config.api_key_env)

    def _fault_in_body(self, error: Any) -> TeacherUnavailable | TeacherRefusesAccess | PromptRejected:
        """Gateways report a fault behind them as `{"error": {"code": 429, ...}}` with status 200."""
        code = error.get("code") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        return self._fault(code if isinstance(code, int) else 500, self._clean(str(message)), {})

    def _clean(self, text: str) -> str:
        """Text of the endpoint's without the key, cut to what is worth repeating."""
        if self._key:
            text = text.replace(self._key, "[the key]")
        return _storable(text[:_MESSAGE_LIMIT])

    def _combine(self, replies: list[_Reply]) -> Answer:
        usages = [reply.usage for reply in replies]
        usage = Usage(
            input_tokens=sum(item.input_tokens for item in usages),
            output_tokens=sum(item.output_tokens for item in usages),
            cost=sum(item.cost for item in usages),
            latency=max(item.latency for item in usages),
            calls=sum(item.calls for item in usages),
        )
        texts = [_storable(reply.text) for reply in replies]
        raw = texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)
        good = [reply for reply in replies if reply.parsed.status is AnswerStatus.OK]
        model = next((reply.model for reply in replies if reply.model), "")
        if not good:
            status, reason = _commonest_fault(replies)
            return Answer(status, None, raw=raw, reason=reason, model=model, usage=usage)
        value, distribution, origin = self._one(good[0]) if len(replies) == 1 else self._votes(good)
        bad = len(replies) - len(good)
        reason = f"{bad} of {len(replies)} samples had no usable answer" if bad else ""
        return Answer(AnswerStatus.OK, value, distribution, origin, raw, reason, model, usage)

    def _one(self, reply: _Reply) -> tuple[Any, Any, DistributionOrigin]:
        value = reply.parsed.value
        tokens = read_tokens(reply.tokens) if isinstance(value, str) else None
        if tokens is not None and isinstance(value, str):
            distribution = label_distribution(tokens, value, self._task.labels)
            if distribution is not None:
                return value, distribution, DistributionOrigin.LOGPROBS
        return value, None, DistributionOrigin.NONE

    def _votes(self, good: list[_Reply]) -> tuple[Any, Any, DistributionOrigin]:
        """Shares of the usable samples; ties go to the label that comes first in the task."""
        values = [reply.parsed.value for reply in good if reply.parsed.value is not None]
        shares = self._task.encode(values).mean(axis=0, dtype=np.float64).astype(np.float32)
        return self._task.decide(shares[None])[0], shares, DistributionOrigin.VOTES


def _key_of(config: OpenAITeacherConfig, host: str) -> str:
    key = os.environ.get(config.api_key_env, "")
    if _is_loopback(host):
        return key
    if config.price is None:
        raise ConfigError(
            f"teacher.price is missing, and {host} is not this machine, so its calls may cost money. "
            "Mend: set teacher.price.input and teacher.price.output, in US dollars for a million tokens "
            "(0 for an endpoint of your own)"
        )
    if not key:
        raise ConfigError(
            f"the environment variable {config.api_key_env!r} (teacher.api_key_env) is not set. "
            f"Mend: export {config.api_key_env}=..."
        )
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _choice_of(content: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The first choice, its message and its text (empty where null)."""
    choices = content.get("choices") if isinstance(content, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _Malformed("no choices with a message in it")
    text = message.get("content")
    if not isinstance(text, str | None):
        raise _Malformed(f"the message's content is {type(text).__name__}")
    return choice, message, text or ""


def _commonest_fault(replies: list[_Reply]) -> tuple[AnswerStatus, str]:
    status, _ = Counter(reply.parsed.status for reply in replies).most_common(1)[0]
    reason = next(reply.parsed.reason for reply in replies if reply.parsed.status is status)
    return status, reason if len(replies) == 1 else f"none of {len(replies)} samples could be used: {reason}"


def _storable(text: str) -> str:
    """Text that UTF-8 can hold (lone surrogates escaped), of bounded length."""
    return text[:_RAW_LIMIT].encode("utf-8", "backslashreplace").decode("utf-8")
