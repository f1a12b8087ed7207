"""The gateway: each request gets one answer in time, from whoever may and can give it, and is kept."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter, time
from typing import Any, Protocol

from tutelage.config import ServingConfig
from tutelage.errors import StudentUnavailable, TeacherError, TeacherUnavailable
from tutelage.records import Value, dump_value, text_hash
from tutelage.serving.calls import Calls, Counted
from tutelage.serving.captures import Capture, Promise, new_id
from tutelage.serving.chat import ChatFormat, event
from tutelage.serving.relay import Opened, Relay, open_stream
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


class Redaction(Protocol):
    """An input without personal data; `dropped` where by policy nothing of it may be learned from or kept."""

    @property
    def text(self) -> str:
        """What is left."""
        ...

    @property
    def dropped(self) -> Sequence[str]:
        """The kinds for which it is."""
        ...


class Watch(Protocol):
    """What looks at every capture and every audit; see `monitor`."""

    def note(self, capture: Capture, *, foreign: bool = False) -> Mapping[str, Any]:
        """Take a capture in; the states that moved, to be kept with it. `foreign`: the student wouldn't have
        answered it itself, whatever it said."""
        ...

    def audited(self, capture: Capture, agree: bool) -> Mapping[str, Any]:
        """Take in what an audit found of what the student answered; likewise."""
        ...


class Keeper(Protocol):
    """Where captures go; see `store`. Neither raises for a full disk."""

    async def capture(self, capture: Capture, *, promise: Promise, monitors: Mapping[str, Any]) -> None:
        """Keep one."""
        ...

    async def complete(
        self,
        id: str,
        *,
        teacher_value: str | None,
        agree: bool | None,
        cost: float,
        promise: Promise,
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
        redact: Callable[[str], Redaction] | None = None,
        tell: Callable[[str], None] = _log.error,
    ) -> None:
        """`redact` cuts personal data out of an input before the student sees it or it is kept; `tell` tells
        people that the teacher is down."""
        self.task, self.chat, self.teacher, self.deployed, self.config = task, chat, teacher, deployed, config
        self.audits_skipped = 0
        self._keeper, self._watch = keeper, watch
        self._personal = redact
        self._patterns = [re.compile(pattern) for pattern in config.redact]
        self._audits: set[asyncio.Task[None]] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self.calls = Calls(teacher.name, config.hedge_after, tell)

    async def answer(self, ask: Ask) -> Reply:
        """One answer. Raises NobodyAnswers within the deadline."""
        turn = await self._turn(ask)
        if turn.route.by is By.STUDENT:
            return await self._by_student(turn)
        try:
            reply = await self._asked(self._call(ask), self._left(ask))
        except TeacherError as fault:
            return await self._without_teacher(turn, fault)
        return await self._by_teacher(turn, reply)

    async def stream(self, ask: Ask) -> Reply | Streamed:
        """As `answer`, but where the teacher answers, its events as they come."""
        turn = await self._turn(ask)
        if turn.route.by is By.STUDENT:
            return await self._by_student(turn)
        teacher, body = self.teacher, ask.body
        if body is None or not isinstance(teacher, ChatEndpoint):
            raise TypeError("only a chat request to an endpoint can be streamed")
        try:
            opened = await self.calls.make(
                lambda: open_stream(teacher, body, ask.text), self._left(ask), hedged=False
            )
        except TeacherError as fault:
            return await self._without_teacher(turn, fault)
        return Streamed(ask.id, opened.status, opened.kind, turn, self._relayed(turn, teacher, opened))

    async def _turn(self, ask: Ask) -> _Turn:
        """What the student says, and who is to answer. Where it can't be the student it isn't waited for."""
        deployed = self.deployed
        rollout = deployed.rollout
        if deployed.student is None or rollout.stage is Stage.OFF:
            return _Turn(ask, deployed, Route(By.TEACHER, rollout.cause))
        if len(ask.text) > self.config.max_characters:
            return _Turn(ask, deployed, Route(By.TEACHER, "too long for the student"))
        redacted = None if self._personal is None else self._personal(ask.text)
        if redacted is not None and redacted.dropped:
            return _Turn(
                ask, deployed, Route(By.TEACHER, "personal data of a kind that is set aside"), None, redacted
            )
        text = ask.text if redacted is None else redacted.text  # as the texts were that it learned from
        said = asyncio.ensure_future(self._predict(deployed.student, text))
        waits = rollout.stage.live and (rollout.stage is not Stage.CANARY or chosen(ask.key, rollout.share))
        if not waits:
            return _Turn(ask, deployed, route(rollout, ask.key, None), said, redacted)
        foreign = _is_foreign(deployed.scope, text)
        return _Turn(ask, deployed, route(rollout, ask.key, await said, foreign=foreign), said, redacted)

    async def _predict(self, student: ServedStudent, text: str) -> Prediction | None:
        try:
            return await student.predict(text)
        except StudentUnavailable as fault:
            _log.warning("student unavailable: %s", fault)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the teacher can still answer
            _log.exception("the student failed in a way that nobody foresaw")
        return None

    async def _asked(self, call: Call, within: float) -> TeacherReply:
        """What the teacher says. It costs as much for each hedged call as for the one that was heard."""
        counted = Counted(call)
        reply = await self.calls.make(counted, within)
        return replace(reply, cost=reply.cost * counted.paid)

    def _call(self, ask: Ask) -> Call:
        body = ask.body
        if body is None:
            return lambda: self.teacher.ask(ask.text)
        return lambda: self.teacher.complete(body, ask.text)

    def _left(self, ask: Ask) -> float:
        return max(_MARGIN, self.config.deadline - _MARGIN - (perf_counter() - ask.started))

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
        audit = not flagged and self._is_audited()
        capture = self._capture(turn, reply, said, None, audited=audit)
        await self._keep(turn, capture)
        if audit:
            self._begin_audit(capture, said.value, self._call(ask))
        return reply

    async def _by_teacher(self, turn: _Turn, said: TeacherReply, *, reason: str = "") -> Reply:
        reply = Reply(
            turn.ask.id,
            By.TEACHER,
            said.value,
            said.text,
            said.model or self.teacher.name,
            None,
            turn.deployed.rollout.stage,
            reason or (turn.route.reason if said.status == 200 else "turned down"),
            turned_down=said.status,
            body=said.body,
        )
        await self._keep(turn, self._capture(turn, reply, await turn.prediction(), said))
        return reply

    async def _without_teacher(self, turn: _Turn, fault: TeacherError) -> Reply:
        """The student after all, flagged; else nobody. Raises NobodyAnswers."""
        _log.warning("teacher unavailable: %s", fault)
        said = await turn.prediction()
        if said is not None and self.config.teacher_down == "student":
            return await self._by_student(turn, reason="teacher unavailable", flagged=True)
        stage = turn.deployed.rollout.stage
        reply = Reply(turn.ask.id, By.NOBODY, None, "", "", None, stage, "teacher unavailable")
        await self._keep(turn, self._capture(turn, reply, said, None))
        asked = fault.retry_after if isinstance(fault, TeacherUnavailable) else None
        raise NobodyAnswers(_RETRY_AFTER if asked is None else asked, turn.ask.id) from fault

    def _relayed(self, turn: _Turn, teacher: ChatEndpoint, opened: Opened) -> AsyncIterator[bytes]:
        relay = Relay(opened)
        task = asyncio.create_task(self._relay(relay, turn, teacher))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        return relay.events()

    async def _relay(self, relay: Relay, turn: _Turn, teacher: ChatEndpoint) -> None:
        """Read the teacher's stream to its end, whoever listens; its last bytes wait for the capture."""
        try:
            fault = await relay.read(self._left(turn.ask))
            said, value = relay.said, None
            if fault is None and relay.status == 200:
                value = self.chat.value_of(said.text)
            reply = TeacherReply(
                value, said.text, teacher.cost_of(said.usage), said.model, None, relay.status
            )
            if fault is None:
                await self._by_teacher(turn, reply)
            else:
                self.calls.breaker.failed(fault)
                await self._by_teacher(turn, reply, reason="the teacher's stream broke off")
                relay.add(event({"error": {"message": str(fault), "type": "server_error", "code": None}}))
        finally:
            relay.end()

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
        kept, value = self._kept(turn), _dumped(reply.value)
        return Capture(
            id=ask.id,
            at=time(),
            key=ask.key,
            slice=ask.slice,
            text=kept if self.config.keep_text else None,
            hash=text_hash(kept),
            stage=str(reply.stage),
            by=str(reply.by),
            reason=reply.reason,
            revision=reply.revision,
            value=value,
            confidence=None if student is None else student.confidence,
            student_value=value if says is reply.value else _dumped(says),
            teacher_value=_dumped(told),
            agree=None if says is None or told is None else self.task.compare(says, told).agree,
            audited=audited,
            latency=perf_counter() - ask.started,
            cost=0.0 if teacher is None else teacher.cost,
        )

    def _kept(self, turn: _Turn) -> str:
        text, redacted = turn.ask.text, turn.redacted
        if redacted is None and self._personal is not None:  # the student wasn't asked
            redacted = self._personal(text)
        if redacted is not None:
            text = f"[{', '.join(redacted.dropped).upper()}]" if redacted.dropped else redacted.text
        for pattern in self._patterns:
            text = pattern.sub("[redacted]", text)
        return text

    async def _keep(self, turn: _Turn, capture: Capture) -> None:
        compared = capture.by == By.TEACHER and capture.agree is not None
        foreign = compared and _is_foreign(turn.deployed.scope, turn.text)
        moved = self._watch.note(capture, foreign=foreign)
        await self._keeper.capture(capture, promise=self.config.capture, monitors=moved)

    def _is_audited(self) -> bool:
        if random.random() >= self.config.audit.share:  # noqa: S311 - no secret
            return False
        if len(self._audits) < _MOST_AUDITS:
            return True
        self.audits_skipped += 1
        return False

    def _begin_audit(self, capture: Capture, value: Value, call: Call) -> None:
        task = asyncio.create_task(self._audit(capture, value, call))
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)

    async def _audit(self, capture: Capture, value: Value, call: Call) -> None:
        try:
            said = await self._asked(call, self.config.teacher_timeout)
        except TeacherError as fault:
            _log.warning("audit %s without an answer: %s", capture.id, fault)
            return
        told = said.value
        # What the teacher says that is no value of the task is no agreement either.
        agree = told is not None and self.task.compare(value, told).agree
        moved = self._watch.audited(replace(capture, teacher_value=_dumped(told), agree=agree), agree)
        await self._keeper.complete(
            capture.id,
            teacher_value=_dumped(told),
            agree=agree,
            cost=said.cost,
            promise="batched" if self.config.capture == "batched" else "written",
            monitors=moved,
        )

    async def close(self) -> None:
        """Wait for audits and streams under way, so long as a call may take, and let go of everything."""
        if under_way := self._audits | self._relays:
            await asyncio.wait(under_way, timeout=self.config.teacher_timeout)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
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
    redacted: Redaction | None = None

    @property
    def text(self) -> str:
        """As the student sees it."""
        return self.ask.text if self.redacted is None else self.redacted.text

    async def prediction(self) -> Prediction | None:
        """What the student says; None where it wasn't asked or can't."""
        return None if self.said is None else await self.said


@dataclass(frozen=True, slots=True)
class Streamed:
    """A teacher's stream, of the content type `kind`. It is read to its end whether `events` are or not."""

    id: str
    status: int
    kind: str
    turn: _Turn
    events: AsyncIterator[bytes]

    @property
    def stage(self) -> Stage:
        """In which it was answered."""
        return self.turn.deployed.rollout.stage

    @property
    def reason(self) -> str:
        """Why the teacher does, where it isn't as usual."""
        return self.turn.route.reason


def _dumped(value: Value | None) -> str | None:
    return None if value is None else dump_value(value)


def _is_foreign(scope: Foreign | None, text: str) -> bool:
    """Where nobody can say, the student wasn't certified on it; without a guard nothing is."""
    if scope is None:
        return False
    try:
        return scope.foreign(text)
    except Exception:  # noqa: BLE001 - the teacher can answer it
        _log.exception("whether an input is out of scope can't be told")
        return True
