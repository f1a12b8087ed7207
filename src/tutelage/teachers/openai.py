"""A teacher behind an OpenAI-compatible chat-completions endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai

from tutelage.config import OpenAITeacherConfig
from tutelage.errors import ConfigError, TeacherError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, Prompt, Usage, storable
from tutelage.storage import hash_json
from tutelage.tasks import Parsed
from tutelage.teachers._endpoint_faults import PromptRejected, fault_of
from tutelage.teachers._replies import Reply, combine, read_reply, token_counts
from tutelage.teachers.protocol import TeacherContext

_TOP_LOGPROBS = 20  # the most that the API offers
_MESSAGE_LIMIT = 500  # characters of an endpoint's message that are repeated
_CHAT_OVERHEAD = 64  # tokens of roles and separators, generously
_VOTES = 5  # samples of a prompt without log-probabilities, where `samples` is absent
_COLD, _WARM = 0.0, 0.7  # temperatures of one sample, and of votes
# Parts of a request that an endpoint may not know, and how it says so.
_OPTIONAL = {
    "response_format": re.compile(r"response_format|json_schema|structured|grammar", re.I),
    "logprobs": re.compile(r"logprob", re.I),
    "max_tokens": re.compile(r"use\W+max_completion_tokens", re.I),
    "temperature": re.compile(r"temperature", re.I),
}


class OpenAITeacher:
    """Asks any OpenAI-compatible endpoint; several samples of a prompt become votes.

    One prompt a call. What an endpoint turns down of `_OPTIONAL` is left out from then on. A distribution
    comes from token log-probabilities (one sample, one label) or from votes.

    Where `teacher.samples` is absent, a prompt is first asked once, with log-probabilities. Where none come
    with a usable answer, it is asked 4 more times, and the 5 answers vote. Once the endpoint has turned
    log-probabilities down, or left them out before any came, later prompts are asked 5 times at once. Which
    of these happens is found out anew by each process and is no part of `revision`: an answer on record is
    never asked again for it, its `origin` tells how its distribution came about, and finding out costs
    nothing, since the first answer is one of the votes. `most_expensive` always reckons with all 5.

    Samples that arrived before another failed are paid for. The error tells their cost and holds their bodies
    (`TeacherError.kept`); this teacher keeps them too, so that the next try asks only for the missing ones,
    and a later process takes them back through `resume`.

    Raises ConfigError where `teacher.price` or the key is missing for an endpoint on another machine.
    """

    def __init__(self, config: OpenAITeacherConfig, context: TeacherContext) -> None:
        self._config, self._task = config, context.task
        self._host = urlsplit(config.base_url).hostname or ""
        self._key = _key_of(config)
        self._without: set[str] = set()
        if not config.structured:
            self._without.add("response_format")
        if not config.logprobs or (config.samples or 1) > 1 or self._task.multi_label:
            self._without.add("logprobs")
        self._logprobs_came = False
        self._session: AsyncGenerator[openai.AsyncOpenAI, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: openai.AsyncOpenAI | None = None
        # Replies to prompts of which another sample failed, by prompt hash.
        self._kept: dict[str, list[Reply]] = {}
        self.name = f"openai:{config.model}"
        self.model = config.model
        self.revision = _revision_of(config)
        self.paid = bool(config.remote_host) or config.costs
        self.batch_size = 1
        self.concurrency: int | None = None

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Upper bound in US dollars of the next `answer(prompts)`: its missing samples at a token a byte.

        Vocabularies that split digits or fall back on bytes reach one token for each byte of UTF-8, and none
        passes that. To the messages come the JSON schema, an overhead for the chat's frame, and every token
        of output that the request allows.
        """
        return sum(
            self._most_missing(prompt) * self._bound(self._request(prompt, False)) for prompt in prompts
        )

    def _bound(self, request: Mapping[str, Any]) -> float:
        """What one request can cost at most."""
        texts = [message["content"] for message in request["messages"]]
        if "response_format" in request:
            texts.append(json.dumps(request["response_format"]))
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return self._price(size + _CHAT_OVERHEAD, self._config.max_output_tokens)

    def _price(self, input_tokens: float, output_tokens: float) -> float:
        price = self._config.price
        return 0.0 if price is None else (input_tokens * price.input + output_tokens * price.output) / 1e6

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`. An answer's cost leaves out samples whose cost an error has told before."""
        unknown: list[float] = []
        try:
            replies = [await self._replies(prompt, unknown) for prompt in prompts]
        except BaseException as error:
            spent, bodies = self._tell(prompts)
            if isinstance(error, TeacherError):
                error.spent, error.unaccounted, error.kept = spent, sum(unknown), bodies
            raise
        for prompt in prompts:
            self._kept.pop(prompt.hash, None)
        return [combine(several, self._task) for several in replies]

    def resume(self, kept: Mapping[str, Sequence[str]]) -> None:
        """Take back bodies of replies, by prompt hash, whose cost an earlier process told of."""
        for hash_, bodies in kept.items():
            replies = self._kept.setdefault(hash_, [])
            if replies:
                continue
            for body in bodies:
                with suppress(TeacherError, PromptRejected):
                    replies.append(replace(self._read(body.encode("utf-8"), 0.0, 0.0), told=True))

    async def close(self) -> None:
        """Close connections. A later `answer` opens new ones."""
        if self._session is not None and self._loop is asyncio.get_running_loop():
            await self._session.aclose()
        self._session = self._client = self._loop = None

    def _missing(self, kept: Sequence[Reply]) -> int:
        """How many samples are to be asked for now, beside those kept."""
        samples = self._config.samples
        if samples is None:
            if any(reply.alone for reply in kept):
                return 0
            samples = _VOTES if kept or "logprobs" in self._without else 1
        return max(samples - len(kept), 0)

    def _most_missing(self, prompt: Prompt) -> int:
        """How many samples may still be asked for, at most."""
        kept = self._kept.get(prompt.hash, [])
        return self._missing(kept) if kept or self._config.samples is not None else _VOTES

    async def _replies(self, prompt: Prompt, unknown: list[float]) -> list[Reply]:
        """All replies to a prompt. To `unknown` goes the bound of each request that may have been billed."""
        kept = self._kept.setdefault(prompt.hash, [])
        while missing := self._missing(kept):
            vote = bool(kept)
            samples = [self._sample(prompt, vote, kept, unknown) for _ in range(missing)]
            results = await asyncio.gather(*samples, return_exceptions=True)
            errors = [result for result in results if result is not None]
            if errors:
                raise _gravest(errors)
        return list(kept)

    def _tell(self, prompts: Sequence[Prompt]) -> tuple[float, dict[str, list[str]]]:
        """What kept replies cost, and their bodies, as far as not told before."""
        spent, bodies = 0.0, dict[str, list[str]]()
        for prompt in prompts:
            kept = self._kept.get(prompt.hash, [])
            for reply in kept:
                if reply.body and not reply.told:
                    spent += reply.usage.cost
                    bodies.setdefault(prompt.hash, []).append(reply.body)
            kept[:] = [replace(reply, told=True) for reply in kept]
        return spent, bodies

    async def _sample(self, prompt: Prompt, vote: bool, kept: list[Reply], unknown: list[float]) -> None:
        """Ask once, adding to `kept`. The loop ends: each further turn leaves one more optional part out."""
        while True:
            request = self._request(prompt, vote)
            started = time.monotonic()
            try:
                body = await self._post(request)
                reply = self._read(body, time.monotonic() - started, self._bound(request))
            except openai.APIStatusError as error:
                message = self._clean(_said(error))
                if error.status_code in {400, 422} and self._leave_out(request, message):
                    continue
                fault = self._fault(error.status_code, message, dict(error.response.headers))
                if not isinstance(fault, PromptRejected):
                    raise fault from None  # the SDK's error could repeat the key
                reply = _rejection(fault)
            except PromptRejected as fault:
                reply = _rejection(fault)
            except TeacherUnavailable as error:
                if error.billed:
                    unknown.append(self._bound(request))
                raise
            kept.append(self._as_asked(reply, request))
            return

    def _as_asked(self, reply: Reply, request: Mapping[str, Any]) -> Reply:
        """The reply, with what follows from whether log-probabilities were asked for."""
        if self._config.samples is not None or "logprobs" not in request:
            return reply
        usable = reply.parsed.status is AnswerStatus.OK
        self._logprobs_came = self._logprobs_came or reply.has_logprobs
        if usable and not self._logprobs_came:
            self._without.add("logprobs")
        return replace(reply, alone=reply.alone or not usable)

    def _request(self, prompt: Prompt, vote: bool) -> dict[str, Any]:
        """What is sent for one sample; `vote` where it joins others of a prompt without log-probabilities."""
        request: dict[str, Any] = {
            "model": self._config.model,
            "messages": self._task.render(prompt.text),
        }
        limit = "max_completion_tokens" if "max_tokens" in self._without else "max_tokens"
        request[limit] = self._config.max_output_tokens
        if "response_format" not in self._without:
            schema = {"name": "answer", "strict": True, "schema": self._task.json_schema()}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "logprobs" not in self._without and not vote:
            request |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        if "temperature" not in self._without:
            request["temperature"] = self._temperature(votes="logprobs" not in request)
        return request

    def _temperature(self, votes: bool) -> float:
        if self._config.temperature is not None:
            return self._config.temperature
        samples = self._config.samples
        return _WARM if (votes if samples is None else samples > 1) else _COLD

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

    def _read(self, body: bytes, latency: float, bound: float) -> Reply:
        """Read a body; without an account of tokens its cost is taken at `bound`."""
        try:
            text = body.decode("utf-8")
            content = json.loads(text)
            if isinstance(content, dict) and content.get("error") and not content.get("choices"):
                raise self._fault_in_body(content["error"])
            counts = token_counts(content)
            cost = bound if counts is None else self._price(*counts)
            usage = Usage(*(counts or (0, 0)), cost=cost, latency=latency, calls=1)
            return read_reply(content, self._task, self._config.max_output_tokens, usage, text)
        except (ValueError, RecursionError) as error:
            text = self._clean(f"{self._host} sent a body that is no chat completion: {error}")
            raise TeacherUnavailable(text, billed=True) from None

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
        return storable(text[:_MESSAGE_LIMIT])


def _said(error: openai.APIStatusError) -> str:
    """What the endpoint says of a fault, without the pieces of the prompt that it may repeat beside it."""
    body = error.body if isinstance(error.body, dict) else {}
    parts = [body.get(name) for name in ("message", "code", "type", "param")]
    found = [part for part in parts if isinstance(part, str) and part]
    return " - ".join(found) if body.get("message") else str(error.message)


def _key_of(config: OpenAITeacherConfig) -> str:
    key = os.environ.get(config.api_key_env, "")
    host = config.remote_host
    if not host or config.free:
        return key
    if not config.costs:
        lacks = "is missing" if config.price is None else "is 0"
        raise ConfigError(
            f"teacher.price {lacks}, and {host} is not this machine, so its calls may cost money. "
            "Mend: set teacher.price.input and teacher.price.output, in US dollars for a million tokens, or "
            "teacher.free: true where it charges nothing"
        )
    if not key:
        raise ConfigError(
            f"the environment variable {config.api_key_env!r} (teacher.api_key_env) is not set. "
            f"Mend: export {config.api_key_env}=..."
        )
    return key


def _revision_of(config: OpenAITeacherConfig) -> str:
    """Of all that shapes an answer and is known before the first one."""
    shaping = {"model", "base_url", "structured", "logprobs", "samples", "max_output_tokens"}
    usual = {None: [_COLD, _WARM], 1: _COLD}.get(config.samples, _WARM)
    temperature = usual if config.temperature is None else config.temperature
    return hash_json([config.model_dump(include=shaping), temperature])


def _rejection(fault: PromptRejected) -> Reply:
    return Reply("", Parsed(fault.status, None, fault.reason), Usage(calls=1), doubtful=not fault.known)


def _gravest(errors: Sequence[BaseException]) -> BaseException:
    """Of the errors of samples asked together the one to raise: a passing fault only where all are."""
    passing = [error for error in errors if isinstance(error, TeacherUnavailable)]
    if len(passing) < len(errors):
        return next(error for error in errors if not isinstance(error, TeacherUnavailable))
    first = passing[0]
    first.billed = any(error.billed for error in passing)
    first.retry_after = max((e.retry_after for e in passing if e.retry_after is not None), default=None)
    return first
