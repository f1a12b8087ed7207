"""A teacher behind an HTTP API, whichever dialect the API speaks: asking, keeping, telling, voting."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from tutelage.config.teachers import USUAL_VOTES, EndpointConfig
from tutelage.errors import ConfigError, TeacherError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, Prompt, Usage, storable
from tutelage.storage import hash_json
from tutelage.tasks import Parsed
from tutelage.teachers._access import Secrets, headers_from_environment, key_of, tariff_of
from tutelage.teachers._dialect import LOGPROBS, Counts, Dialect, Form, Messages, Said, Sampling
from tutelage.teachers._endpoint_faults import PromptRejected, error_message, fault_of
from tutelage.teachers._http import BodyTooLarge, Response, Transport
from tutelage.teachers._replies import Reading, Reply, combine
from tutelage.teachers.protocol import TeacherContext

_MESSAGE_LIMIT = 4000  # characters of an endpoint's message that are looked at
_COLD, _WARM = 0.0, 0.7  # temperatures of one sample, and of votes
_CHARGE_TOLERANCE = 0.01  # of the cost: rounding of prices and of what is told

_log = logging.getLogger(__name__)


class EndpointTeacher:
    """Asks an endpoint, one prompt a call; several samples of a prompt become votes.

    What an endpoint turns down of a request's optional parts is left out from then on. A distribution comes
    from token log-probabilities (one sample, one label) or from votes.

    Where `teacher.samples` is absent, a prompt is first asked once, with log-probabilities. Where none come
    with a usable answer, it is asked 4 more times, and the 5 answers vote. Once the endpoint has turned
    log-probabilities down, or left them out before any came, later prompts are asked 5 times at once. Which
    of these happens is found out anew by each process and is no part of `revision`: an answer on record is
    never asked again for it, its `origin` tells how its distribution came about, and finding out costs
    nothing, since the first answer is one of the votes. `most_expensive` always reckons with all 5. A task
    whose values are open is asked once.

    Samples that arrived before another failed are paid for. The error tells their cost and holds their bodies
    (`TeacherError.kept`); this teacher keeps them too, so that the next try asks only for the missing ones,
    and a later process takes them back through `resume`.

    Raises ConfigError where `teacher.price` or the key is missing for an endpoint on another machine.
    """

    def __init__(
        self, config: EndpointConfig, context: TeacherContext, dialect: Dialect, logprobs: bool
    ) -> None:
        """`logprobs`: whether log-probabilities can be had from the dialect, and may be asked for."""
        self._config, self._task, self._dialect = config, context.task, dialect
        tariff = tariff_of(config)
        self._price, self._longest = tariff.price, tariff.longest
        key, more = key_of(config), headers_from_environment(config)
        self._headers = {**config.headers, **more, **dialect.headers(key)}
        self._secrets = Secrets([key, *more.values()])
        self._transport = Transport(config.base_url, self._headers, config.timeout, self._secrets)
        self._host = self._transport.host
        one_label = bool(self._task.labels and self._task.answer_key) and not self._task.multi_label
        self._walks = logprobs and one_label and (config.samples or 1) == 1
        self._keeps_tokens = context.top_k > 0
        if self._keeps_tokens and not logprobs:
            raise ConfigError(
                f"labelling.signals has tokens, whose log-probabilities teacher.type {config.type} "
                f"({config.model!r}) isn't asked for or doesn't give. Mend: leave tokens out, or set "
                "teacher.logprobs: true for an endpoint that gives them"
            )
        if not self._walks and not self._keeps_tokens:
            dialect.without.add(LOGPROBS)
        self._reading = Reading(self._task, config.max_output_tokens, self._walks, context.top_k)
        self._samples = config.samples if config.samples or self._task.labels else 1
        self._logprobs_came = False
        self._forms: dict[bool, Form] = {}  # by whether a sample joins others as a vote
        # Replies to prompts of which another sample failed, by prompt hash.
        self._kept: dict[str, list[Reply]] = {}
        self._charge_doubted = False
        self.name = f"{config.type}:{config.model}"
        self.model = config.model
        self.revision = self._revision(context.top_k)
        self.paid = bool(config.remote_host) or config.costs
        self.batch_size = 1
        self.concurrency: int | None = None

    def _revision(self, top_k: int) -> str:
        """Of all that shapes an answer and is known before the first one."""
        config = self._config
        usual = {None: [_COLD, _WARM], 1: _COLD}.get(config.samples, _WARM)
        temperature = usual if config.temperature is None else config.temperature
        return hash_json([config.shaping(), temperature, *([top_k] if top_k else [])])

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Upper bound in US dollars of the next `answer(prompts)`: its missing samples at a token a byte.

        To those come what an endpoint may add, and every token of output that the request allows.
        """
        if self._price is None:
            return 0.0
        bound = 0.0
        for prompt in prompts:
            messages = self._task.render(prompt.text)
            bound += self._most_missing(prompt) * self._bound(self._form(messages, False), messages)
        return bound

    def _bound(self, form: Form, messages: Messages) -> float:
        """What one request can cost at most."""
        price = self._price
        if price is None:
            return 0.0
        tokens = form.most_tokens(messages) + self._dialect.overhead
        return (tokens * price.dearest_input + self._config.max_output_tokens * price.output) / 1e6

    def _cost(self, counts: Counts) -> float:
        price = self._price
        return 0.0 if price is None else price.of(counts.input, counts.output, counts.cached, counts.written)

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`. An answer's cost leaves out samples whose cost an error has told before."""
        unknown: list[float] = []
        try:
            replies = [await self._replies(prompt, unknown) for prompt in prompts]
        except TeacherError as error:
            error.spent, error.kept = self.tell(prompts)
            error.unaccounted = sum(unknown)
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
                    replies.append(replace(self._read(body.encode("utf-8"), 0.0, lambda: 0.0), told=True))

    async def close(self) -> None:
        """Close connections. A later `answer` opens new ones."""
        await self._transport.close()

    def _missing(self, kept: Sequence[Reply]) -> int:
        """How many samples are to be asked for now, beside those kept."""
        samples = self._samples
        if samples is None:
            if any(reply.alone for reply in kept):
                return 0
            alone = self._walks and LOGPROBS not in self._dialect.without and not kept
            samples = 1 if alone else USUAL_VOTES
        return max(samples - len(kept), 0)

    def _most_missing(self, prompt: Prompt) -> int:
        """How many samples may still be asked for, at most."""
        kept = self._kept.get(prompt.hash, [])
        return self._missing(kept) if kept or self._samples is not None else USUAL_VOTES

    async def _replies(self, prompt: Prompt, unknown: list[float]) -> list[Reply]:
        """All replies to a prompt. To `unknown` goes the bound of each request that may have been billed."""
        kept = self._kept.setdefault(prompt.hash, [])
        while missing := self._missing(kept):
            vote = bool(kept)
            if missing == 1:  # without the cost of a task
                await self._sample(prompt, vote, kept, unknown)
                continue
            samples = [self._sample(prompt, vote, kept, unknown) for _ in range(missing)]
            results = await asyncio.gather(*samples, return_exceptions=True)
            errors = [result for result in results if result is not None]
            if errors:
                raise _gravest(errors)
        return list(kept)

    def tell(self, prompts: Sequence[Prompt]) -> tuple[float, dict[str, list[str]]]:
        """See `Telling`: what kept replies cost, and their bodies, as far as not told before."""
        spent, bodies = 0.0, dict[str, list[str]]()
        for prompt in prompts:
            kept = self._kept.get(prompt.hash, [])
            for reply in kept:
                if not reply.told:
                    spent += reply.usage.cost
                    if reply.body:
                        bodies.setdefault(prompt.hash, []).append(reply.body)
            kept[:] = [replace(reply, told=True) for reply in kept]
        return spent, bodies

    async def _sample(self, prompt: Prompt, vote: bool, kept: list[Reply], unknown: list[float]) -> None:
        """Ask once, adding to `kept`. The loop ends: each further turn leaves one more optional part out."""
        messages = self._task.render(prompt.text)
        while True:
            form = self._form(messages, vote)
            started = time.monotonic()
            try:
                self._require_listed(form, messages)
                response = await self._transport.post(self._dialect.path, form.body(messages))
                latency = time.monotonic() - started
                reply = self._reply(response, form, latency, partial(self._bound, form, messages))
            except PromptRejected as fault:
                reply = _rejection(fault, 0.0)
            except BodyTooLarge as fault:
                rejected = PromptRejected(AnswerStatus.UNPARSEABLE, str(fault), known=True)
                reply = _rejection(rejected, self._bound(form, messages))
            except TeacherUnavailable as error:
                if error.billed:
                    unknown.append(self._bound(form, messages))
                raise
            if reply is not None:
                kept.append(self._as_asked(reply, form))
                self._require_tokens(reply)
                return

    def _require_listed(self, form: Form, messages: Messages) -> None:
        """Raise PromptRejected for a prompt that may be longer than the listed price holds for."""
        if self._longest is not None and form.most_tokens(messages) > self._longest:
            raise PromptRejected(
                AnswerStatus.UNPARSEABLE,
                f"not asked: it may have more than {self._longest:,} tokens, past which the listed price "
                "doesn't hold. Mend: set teacher.price",
                known=True,
            )

    def _reply(
        self, response: Response, form: Form, latency: float, bound: Callable[[], float]
    ) -> Reply | None:
        """The reply; None where it turned down an optional part, so that the request is made anew."""
        if 200 <= response.status < 300:
            return self._read(response.body, latency, bound)
        message = self._clean(error_message(response.body))
        if self._dialect.leave_out(form.request, response.status, message):
            self._forms.clear()
            if self._keeps_tokens and LOGPROBS in self._dialect.without:
                raise self._lacks_tokens(f": {message}")
            return None
        raise self._fault(response.status, message, response.headers)

    def _require_tokens(self, reply: Reply) -> None:
        """Raise where token log-probabilities are to be kept and a usable reply shows that none come."""
        if self._keeps_tokens and reply.parsed.status is AnswerStatus.OK and not self._logprobs_came:
            raise self._lacks_tokens("")

    def _lacks_tokens(self, said: str) -> TeacherRefusesAccess:
        return TeacherRefusesAccess(
            f"{self._host} gives no token log-probabilities{said}, and labelling.signals has tokens. "
            "Mend: leave tokens out, or ask an endpoint that gives them"
        )

    def _as_asked(self, reply: Reply, form: Form) -> Reply:
        """The reply, with what follows from whether log-probabilities were asked for."""
        if LOGPROBS not in form.request:
            return reply
        usable = reply.parsed.status is AnswerStatus.OK
        self._logprobs_came = self._logprobs_came or reply.has_logprobs
        if self._samples is not None:
            return reply
        if usable and not self._logprobs_came:
            self._dialect.without.add(LOGPROBS)
            self._forms.clear()
        return reply if reply.alone or usable else replace(reply, alone=True)

    def _form(self, messages: Messages, vote: bool) -> Form:
        """The form of a request; `vote` where it joins others of a prompt without log-probabilities."""
        form = self._forms.get(vote)
        if form is None or not form.fits(messages):
            offered = LOGPROBS not in self._dialect.without
            votes = vote or not (offered and self._walks)
            logprobs = offered and (self._keeps_tokens or not votes)
            sampling = Sampling(self._temperature(votes), logprobs)
            form = self._forms[vote] = Form(self._dialect, messages, sampling)
        return form

    def _temperature(self, votes: bool) -> float:
        if self._config.temperature is not None:
            return self._config.temperature
        samples = self._samples
        return _WARM if (votes if samples is None else samples > 1) else _COLD

    def _read(self, body: bytes, latency: float, bound: Callable[[], float]) -> Reply:
        """Read a body; without an account of tokens its cost is what `bound` says."""
        try:
            text, broken = _decoded(body)
            text = self._secrets.out_of_reply(text)
            content = json.loads(text)
            fault = self._dialect.fault(content)
            if fault is not None:
                raise self._fault(fault[0], self._clean(fault[1]), {})
            said = self._dialect.read(content)
        except (ValueError, RecursionError) as error:
            told = self._clean(f"{self._host} sent a body that is no reply: {str(error)[:500]}")
            raise TeacherUnavailable(told, billed=True, fault="body") from None
        counts = said.counts
        cost = bound() if counts is None else self._cost(counts)
        tokens = (0, 0) if counts is None else (counts.input, counts.output)
        self._compare_charge(said, cost)
        usage = Usage(*tokens, cost=cost, latency=latency, calls=1)
        if broken is None:
            return self._reading.reply(said, usage, text)
        # It was paid for, and would come again. Its body isn't kept for a later run, which couldn't tell.
        return replace(
            self._reading.reply(said, usage, ""), parsed=broken, distribution=None, tokens=b"", alone=True
        )

    def _compare_charge(self, said: Said, cost: float) -> None:
        """Say once where an endpoint charges more than the price that the budget reckons with."""
        charged, price = said.charged, self._price
        if charged is None or price is None or self._charge_doubted:
            return
        if charged > cost * (1 + _CHARGE_TOLERANCE) + 1e-9:
            self._charge_doubted = True
            _log.warning(
                "%s charged $%.6f for an answer that costs $%.6f by teacher.price. Mend: correct "
                "teacher.price, by which the budget is reckoned",
                self._host,
                charged,
                cost,
            )

    def _fault(
        self, status: int, message: str, headers: Mapping[str, str]
    ) -> TeacherUnavailable | TeacherRefusesAccess | PromptRejected:
        return fault_of(status, message, headers, self._host, self._config.api_key_env)

    def _clean(self, text: str) -> str:
        """Text of the endpoint's without secrets, cut to what is worth looking at."""
        return storable(self._secrets.out_of_fault(text)[:_MESSAGE_LIMIT])


def _decoded(body: bytes) -> tuple[str, Parsed | None]:
    """A body as text; where it isn't UTF-8 with marks for the wrong bytes, and what that makes of it."""
    try:
        return body.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        reason = f"the reply is not UTF-8: {error.reason} at byte {error.start}"
        return body.decode("utf-8", "replace"), Parsed(AnswerStatus.UNPARSEABLE, None, reason)


def _rejection(fault: PromptRejected, cost: float) -> Reply:
    usage = Usage(cost=cost, calls=1)
    return Reply("", Parsed(fault.status, None, fault.reason), usage, doubtful=not fault.known)


def _gravest(errors: Sequence[BaseException]) -> BaseException:
    """Of the errors of samples asked together the one to raise: a passing fault only where all are."""
    passing = [error for error in errors if isinstance(error, TeacherUnavailable)]
    if len(passing) < len(errors):
        return next(error for error in errors if not isinstance(error, TeacherUnavailable))
    first = passing[0]
    first.billed = any(error.billed for error in passing)
    first.retry_after = max((e.retry_after for e in passing if e.retry_after is not None), default=None)
    return first
