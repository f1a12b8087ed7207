"""The gateway: each request gets one answer in time, from whoever may and can give it, and is kept."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from time import perf_counter, time
from typing import Any, Protocol

import aiohttp

from tutelage.config import ServingConfig
from tutelage.errors import StudentUnavailable, TeacherError, TeacherUnavailable
from tutelage.records import Value, dump_value, text_hash
from tutelage.serving.captures import Capture, new_id
from tutelage.serving.chat import ChatFormat, StreamReader
from tutelage.serving.router import By, Rollout, Route, Stage, chosen, route
from tutelage.serving.student import Prediction, ServedStudent
from tutelage.serving.upstream import ChatEndpoint, ServedTeacher, TeacherReply
from tutelage.tasks import Task

_log = logging.getLogger(__name__)
_MOST_AUDITS = 32  # at once; what comes on top isn't audited, and counted
_MARGIN = 0.05  # seconds of the deadline kept for the answer when the teacher hasn't come
_RETRY_AFTER = 2.0  # seconds, where nobody said another

Call = Callable[[], Awaitable[TeacherReply]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One input of the task. `body` is the chat request that it came in, None for a typed one.

    `key` is whose request it is: what keeps a person in or out of the canary, and by which captures are
    purged. `id` names it in captures and headers.
    """

    text: str
    key: str
    slice: str
    body: Mapping[str, Any] | None = None
    id: str = field(default_factory=new_id)
    started: float = field(default_factory=perf_counter)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered, by whom. `flagged` where it is the student's only because the teacher is down.

    `turned_down` is the status of a request that the teacher refused for what it is, 200 for all others;
    `body` the teacher's own completion, where it gave one.
    """

    id: str
    by: By
    value: Value | None
    text: str
    revision: str
    confidence: float | None
    stage: Stage
    reason: str = ""
    flagged: bool = False
    turned_down: int = 200
    body: Mapping[str, Any] | None = None


class NobodyAnswers(Exception):
    """Neither can: come again after so many seconds."""

    def __init__(self, retry_after: float, id_: str) -> None:
        super().__init__("neither teacher nor student can answer now")
        self.retry_after, self.id = retry_after, id_


class Foreign(Protocol):
    """What tells inputs that are unlike all that the student was certified on."""

    def foreign(self, text: str) -> bool:
        """Whether this one is."""
        ...


class Watch(Protocol):
    """What looks at every capture and every audit; see `monitor`."""

    def note(self, capture: Capture) -> Mapping[str, Any]:
        """Take a capture in; the states that moved, to be kept with it."""
        ...

    def audited(self, capture: Capture, agree: bool) -> Mapping[str, Any]:
        """Take in what an audit found of what the student answered; likewise."""
        ...


class Keeper(Protocol):
    """Where captures go; see `store`. Neither raises for a full disk."""

    async def capture(self, capture: Capture, *, durable: bool, monitors: Mapping[str, Any]) -> None:
        """Keep one."""
        ...

    async def complete(
        self,
        id: str,
        *,
        teacher_value: str | None,
        agree: bool | None,
        cost: float,
        monitors: Mapping[str, Any],
    ) -> None:
        """Add what an audit found."""
        ...


@dataclass(frozen=True, slots=True)
class Deployed:
    """What answers now: swapped as one, so that a request sees one student, one threshold and one stage."""

    rollout: Rollout
    student: ServedStudent | None = None
    scope: Foreign | None = None


class Gateway:
    """Answers. `deployed` may be replaced at any time; requests under way keep what they began with."""

    def __init__(
        self,
        task: Task,
        chat: ChatFormat,
        teacher: ServedTeacher,
        deployed: Deployed,
        config: ServingConfig,
        *,
        keeper: Keeper,
        watch: Watch,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """`redact` cuts personal data out of an input before it is kept."""
        self.task, self.chat, self.teacher, self.deployed, self.config = task, chat, teacher, deployed, config
        self.audits_skipped = 0
        self._keeper, self._watch = keeper, watch
        self._personal = redact
        self._patterns = [re.compile(pattern) for pattern in config.redact]
        self._background: set[asyncio.Task[None]] = set()

    async def answer(self, ask: Ask) -> Reply:
        """One answer. Raises NobodyAnswers within the deadline."""
        turn = await self._turn(ask)
        if turn.route.by is By.STUDENT:
            return await self._by_student(turn)
        try:
            reply = await self._teacher_says(self._call(ask), self._left(ask))
        except TeacherError as fault:
            return await self._without_teacher(turn, fault)
        return await self._by_teacher(turn, reply)

    async def stream(self, ask: Ask) -> Reply | Streamed:
        """As `answer`, but where the teacher answers, its events as they come."""
        turn = await self._turn(ask)
        if turn.route.by is By.STUDENT:
            return await self._by_student(turn)
        teacher = self.teacher
        if ask.body is None or not isinstance(teacher, ChatEndpoint):
            raise TypeError("only a chat request to an endpoint can be streamed")
        stack = AsyncExitStack()
        try:
            response = await stack.enter_async_context(teacher.stream(ask.body, ask.text))
            first = await response.content.readany()
        except (TeacherError, aiohttp.ClientError, OSError) as fault:
            await stack.aclose()
            if not isinstance(fault, TeacherError):
                fault = TeacherUnavailable(f"the stream of {teacher.name} broke off: {type(fault).__name__}")
            return await self._without_teacher(turn, fault)
        return Streamed(ask.id, response.status, turn, self._passed_on(turn, teacher, response, first, stack))

    async def _turn(self, ask: Ask) -> _Turn:
        """What the student says, and who is to answer. Where it can't be the student it isn't waited for."""
        deployed = self.deployed
        rollout = deployed.rollout
        if deployed.student is None or rollout.stage is Stage.OFF:
            return _Turn(ask, deployed, Route(By.TEACHER))
        if len(ask.text) > self.config.max_characters:
            return _Turn(ask, deployed, Route(By.TEACHER, "too long for the student"))
        said = asyncio.ensure_future(self._predict(deployed.student, ask.text))
        waits = rollout.stage.live and (rollout.stage is not Stage.CANARY or chosen(ask.key, rollout.share))
        if not waits:
            return _Turn(ask, deployed, route(rollout, ask.key, None), said)
        foreign = deployed.scope is not None and deployed.scope.foreign(ask.text)
        return _Turn(ask, deployed, route(rollout, ask.key, await said, foreign=foreign), said)

    async def _predict(self, student: ServedStudent, text: str) -> Prediction | None:
        try:
            return await student.predict(text)
        except StudentUnavailable as fault:
            _log.warning("student unavailable: %s", fault)
            return None

    def _call(self, ask: Ask) -> Call:
        body = ask.body
        if body is None:
            return lambda: self.teacher.ask(ask.text)
        return lambda: self.teacher.complete(body, ask.text)

    def _left(self, ask: Ask) -> float:
        return max(_MARGIN, self.config.deadline - _MARGIN - (perf_counter() - ask.started))

    async def _teacher_says(self, call: Call, within: float) -> TeacherReply:
        """Ask, a second time where the first takes long; the first answer of the two counts.

        Raises TeacherError.
        """
        tasks = {asyncio.ensure_future(call())}
        hedge, ends = self.config.hedge_after, perf_counter() + within
        try:
            if hedge is not None and not (await asyncio.wait(tasks, timeout=min(hedge, within)))[0]:
                tasks.add(asyncio.ensure_future(call()))
            fault: TeacherError | None = None
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=max(0.0, ends - perf_counter()), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, TeacherError):
                        raise error
                    fault = error
            raise fault or TeacherUnavailable(f"{self.teacher.name} did not answer in time", fault="time-out")
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()
                elif not task.cancelled():
                    task.exception()  # seen: a second fault is no surprise

    async def _by_student(self, turn: _Turn, *, reason: str = "", flagged: bool = False) -> Reply:
        said = await turn.prediction()
        assert said is not None and turn.deployed.student is not None  # noqa: S101 - or it weren't its turn
        ask = turn.ask
        reply = Reply(
            ask.id,
            By.STUDENT,
            said.value,
            self.chat.text_of(said.value),
            turn.deployed.student.revision,
            said.confidence,
            turn.deployed.rollout.stage,
            reason,
            flagged,
        )
        audit = not flagged and random.random() < self.config.audit.share  # noqa: S311 - no secret
        capture = self._capture(turn, reply, said, None, audited=audit)
        await self._keep(capture)
        if audit:
            self._begin_audit(capture, said.value, self._call(ask))
        return reply

    async def _by_teacher(self, turn: _Turn, said: TeacherReply) -> Reply:
        reply = Reply(
            turn.ask.id,
            By.TEACHER,
            said.value,
            said.text,
            said.model or self.teacher.name,
            None,
            turn.deployed.rollout.stage,
            turn.route.reason if said.status == 200 else "turned down",
            turned_down=said.status,
            body=said.body,
        )
        await self._keep(self._capture(turn, reply, await turn.prediction(), said))
        return reply

    async def _without_teacher(self, turn: _Turn, fault: TeacherError) -> Reply:
        """The student after all, flagged; else nobody. Raises NobodyAnswers."""
        _log.warning("teacher unavailable: %s", fault)
        said = await turn.prediction()
        if said is not None and self.config.teacher_down == "student":
            return await self._by_student(turn, reason="teacher unavailable", flagged=True)
        stage = turn.deployed.rollout.stage
        reply = Reply(turn.ask.id, By.NOBODY, None, "", "", None, stage, "teacher unavailable")
        await self._keep(self._capture(turn, reply, said, None))
        asked = fault.retry_after if isinstance(fault, TeacherUnavailable) else None
        raise NobodyAnswers(_RETRY_AFTER if asked is None else asked, turn.ask.id) from fault

    async def _passed_on(
        self,
        turn: _Turn,
        teacher: ChatEndpoint,
        response: aiohttp.ClientResponse,
        first: bytes,
        stack: AsyncExitStack,
    ) -> AsyncIterator[bytes]:
        """The teacher's bytes. The last of them wait until the capture is kept."""
        reader, held = StreamReader(), first
        try:
            while data := await response.content.readany():
                reader.feed(held)
                yield held
                held = data
            reader.feed(held)
            value = self.chat.value_of(reader.text) if response.status == 200 else None
            cost = teacher.cost_of(reader.usage)
            said = TeacherReply(value, reader.text, cost, reader.model, None, response.status)
            await self._by_teacher(turn, said)
            yield held
        finally:
            await stack.aclose()

    def _capture(
        self,
        turn: _Turn,
        reply: Reply,
        student: Prediction | None,
        teacher: TeacherReply | None,
        *,
        audited: bool = False,
    ) -> Capture:
        ask = turn.ask
        says = None if student is None else student.value
        told = None if teacher is None else teacher.value
        return Capture(
            id=ask.id,
            at=time(),
            key=ask.key,
            slice=ask.slice,
            text=self._kept(ask.text),
            hash=text_hash(ask.text),
            stage=str(reply.stage),
            by=str(reply.by),
            reason=reply.reason,
            revision=reply.revision,
            value=_dumped(reply.value),
            confidence=None if student is None else student.confidence,
            student_value=_dumped(says),
            teacher_value=_dumped(told),
            agree=None if says is None or told is None else self.task.compare(says, told).agree,
            audited=audited,
            latency=perf_counter() - ask.started,
            cost=0.0 if teacher is None else teacher.cost,
        )

    def _kept(self, text: str) -> str | None:
        if not self.config.keep_text:
            return None
        for pattern in self._patterns:
            text = pattern.sub("[redacted]", text)
        return text if self._personal is None else self._personal(text)

    async def _keep(self, capture: Capture) -> None:
        moved = self._watch.note(capture)
        await self._keeper.capture(capture, durable=self.config.capture == "durable", monitors=moved)

    def _begin_audit(self, capture: Capture, value: Value, call: Call) -> None:
        if len(self._background) >= _MOST_AUDITS:
            self.audits_skipped += 1
            return
        task = asyncio.create_task(self._audit(capture, value, call))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _audit(self, capture: Capture, value: Value, call: Call) -> None:
        try:
            said = await self._teacher_says(call, self.config.teacher_timeout)
        except TeacherError as fault:
            _log.warning("audit %s without an answer: %s", capture.id, fault)
            return
        told = said.value
        # What the teacher says that is no value of the task is no agreement either.
        agree = told is not None and self.task.compare(value, told).agree
        moved = self._watch.audited(replace(capture, teacher_value=_dumped(told), agree=agree), agree)
        await self._keeper.complete(
            capture.id, teacher_value=_dumped(told), agree=agree, cost=said.cost, monitors=moved
        )

    async def close(self) -> None:
        """Wait for audits under way, so long as a call may take, and let go of everything."""
        if self._background:
            await asyncio.wait(self._background, timeout=self.config.teacher_timeout)
        for task in self._background:
            task.cancel()
        if self.deployed.student is not None:
            await self.deployed.student.close()
        await self.teacher.close()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request, what is deployed for it, and who is to answer."""

    ask: Ask
    deployed: Deployed
    route: Route
    said: asyncio.Future[Prediction | None] | None = None

    async def prediction(self) -> Prediction | None:
        """What the student says; None where it wasn't asked or can't."""
        return None if self.said is None else await self.said


@dataclass(frozen=True, slots=True)
class Streamed:
    """A teacher's stream; `events` has to be read to its end, or closed."""

    id: str
    status: int
    turn: _Turn
    events: AsyncIterator[bytes]

    @property
    def stage(self) -> Stage:
        """In which it was answered."""
        return self.turn.deployed.rollout.stage


def _dumped(value: Value | None) -> str | None:
    return None if value is None else dump_value(value)
