"""The rollout: what is deployed, each step behind its gate and written down, and back at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any

from tutelage.config import ServingConfig
from tutelage.errors import GateRefused, TutelageError, UsageError
from tutelage.gates import Decision
from tutelage.serving.alarms import Ringing, outdated
from tutelage.serving.gateway import Deployed, Foreign, Gateway
from tutelage.serving.monitor import Monitor
from tutelage.serving.rollout_gate import Standing, rollout_gate, rollout_gate_back
from tutelage.serving.router import Rollout, Stage
from tutelage.serving.shelf import Candidate, Shelf
from tutelage.serving.store import Alert, RolloutChange, Store
from tutelage.serving.student import ServedStudent

_log = logging.getLogger(__name__)
_RIGHTS_EVERY = 60.0  # seconds between two looks at the rights of what answers
_LOOK_EVERY = 0.4  # seconds after which a replica has seen what another one changed
_LEAST_REASON = 10
_LAPSED, _UNTOLD = (
    "rights lapsed",
    "rights can't be told",
)  # reasons of answers while the student is off for it
ITSELF = "tutelage"  # the actor of what nobody decided

Load = Callable[[Candidate], Awaitable[ServedStudent]]
Announce = Callable[[Alert], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """A step that somebody wants. What is None stays as it is; a `revision` from its first digits on.

    `cause` is told with each answer from then on.
    """

    stage: Stage
    actor: str
    reason: str = ""
    share: float | None = None
    revision: str | None = None
    override: bool = False
    cause: str = ""


@dataclass(frozen=True)
class Book:
    """What a step would be: planned and judged, neither written nor in force."""

    shelf: Shelf
    config: ServingConfig

    def first(self) -> RolloutChange:
        """Where a server begins. Raises UsageError where no student was exported."""
        wish = Wish(Stage.SHADOW, ITSELF, "first start")
        return self._planned(wish, self.shelf.usual(self.config.form), Decision("rollout", ()))

    def step(self, wish: Wish, now: Rollout, monitor: Monitor) -> tuple[RolloutChange, bool]:
        """The step, and whether it is one forward, which the gate has to let pass.

        Raises GateRefused where it doesn't and nobody overrides it, without a reason, and, whoever overrides
        it, where rights forbid what the student learned from; UsageError for a revision that isn't there. A
        step back with the student that is deployed never raises; out of `off` rights are asked as well.
        """
        if self._is_back(wish, now):
            if self._is_out_of_off(wish, now):
                self.judged(wish, now, monitor).require()
            return self._back(wish, now), False
        decision, candidate = self.judged(wish, now, monitor), self._candidate(wish, now)
        candidate.require_rights()
        if not wish.override:
            decision.require()
        elif len(wish.reason) < _LEAST_REASON:
            raise GateRefused(
                f"going past the rollout gate needs a reason of {_LEAST_REASON} characters at least, which "
                "is written down. Mend: say why it is right to"
            )
        return self._planned(wish, candidate, decision), True

    def judged(self, wish: Wish, now: Rollout, monitor: Monitor) -> Decision:
        """What the gate says; a step back it lets pass."""
        if self._is_back(wish, now) and not self._is_out_of_off(wish, now):
            return rollout_gate_back(wish.stage)
        standing = Standing.of(self._candidate(wish, now), now, monitor)
        return rollout_gate(wish.stage, standing, self.config)

    def _candidate(self, wish: Wish, now: Rollout) -> Candidate:
        return self.shelf.of_revision(wish.revision or now.revision)

    def _is_out_of_off(self, wish: Wish, now: Rollout) -> bool:
        return now.stage is Stage.OFF and wish.stage is not Stage.OFF

    def _is_back(self, wish: Wish, now: Rollout) -> bool:
        """Whether the student may answer less after it. The same stage again isn't less: it takes in what was
        certified since."""
        if not wish.stage.live:
            return True
        if not now.revision.startswith(wish.revision or ""):
            return False
        if wish.stage is Stage.CANARY is now.stage:
            return self._share(wish) < now.share
        stages = list(Stage)
        return stages.index(wish.stage) < stages.index(now.stage)

    def _back(self, wish: Wish, now: Rollout) -> RolloutChange:
        """Where the student still answers, it does so by the threshold that it had. Where it doesn't, what is
        deployed stays even if it can't be read any more."""
        decision = rollout_gate_back(wish.stage)
        try:
            candidate = self._candidate(wish, now)
        except (TutelageError, OSError, ValueError, KeyError):
            if wish.revision and not now.revision.startswith(wish.revision):
                raise
            candidate = None
        if candidate is not None and not wish.stage.live:
            return self._planned(wish, candidate, decision)
        name = "" if candidate is None else candidate.name
        return self._change(wish, now.revision, now.threshold, decision, name)

    def _planned(self, wish: Wish, candidate: Candidate, decision: Decision) -> RolloutChange:
        certificate = candidate.certificate
        threshold = None if certificate is None else certificate.threshold
        rights = None if candidate.rights is None else dict(candidate.rights.facts.get("bases", {}))
        return self._change(wish, candidate.revision, threshold, decision, candidate.name, rights)

    def _change(
        self,
        wish: Wish,
        revision: str,
        threshold: float | None,
        decision: Decision,
        name: str,
        rights: dict[str, int] | None = None,
    ) -> RolloutChange:
        return RolloutChange(
            at=time(),
            actor=wish.actor,
            stage=str(wish.stage),
            share=self._share(wish) if wish.stage is Stage.CANARY else 0.0,
            threshold=threshold,
            revision=revision,
            reason=wish.reason,
            evidence={
                **decision.to_json(),
                "student": name,
                "override": wish.override,
                "rights": rights,
                "cause": wish.cause,
            },
        )

    def _share(self, wish: Wish) -> float:
        return self.config.canary if wish.share is None else wish.share


class Rollouts:
    """Changes what a gateway has deployed. One change at a time; steps back need no gate."""

    def __init__(
        self,
        gateway: Gateway,
        shelf: Shelf,
        store: Store,
        monitor: Monitor,
        load: Load,
        config: ServingConfig,
        announce: Announce,
    ) -> None:
        self._gateway, self._shelf, self._store, self._monitor = gateway, shelf, store, monitor
        self._load, self._config, self._announce = load, config, announce
        self._book = Book(shelf, config)
        self._turn = asyncio.Lock()
        self._seen = 0
        self._candidate: Candidate | None = None  # what is deployed, as it was when it was
        self._expires: float | None = None  # when what is deployed loses its right, in seconds since 1970
        self._rights_looked = 0.0  # when rights were last looked at, in seconds since 1970
        self._loaded: dict[str, ServedStudent] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._follower: asyncio.Task[None] | None = None

    @property
    def now(self) -> Rollout:
        """What holds."""
        return self._gateway.deployed.rollout

    async def begin(self) -> None:
        """Deploy what was decided last, in shadow where nothing was; then follow what replicas decide.

        Where rights forbid what the student learned from, it is off before the first request.
        """
        last = await asyncio.to_thread(self._store.rollout)
        if last is None:
            last = await asyncio.to_thread(self._store.change_rollout, self._book.first())
        await asyncio.to_thread(self._forget)
        await self._deploy(last)
        await self._look_at_rights()
        self._follower = asyncio.create_task(self._follow())

    def _forget(self) -> None:
        self._store.forget_monitors(outdated(self._store.monitors("audits:")))

    async def close(self) -> None:
        """Stop following, and let go of students that were kept for requests under way."""
        tasks = [task for task in (self._follower, *self._background) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self, wish: Wish) -> RolloutChange:
        """Take a step. A step back is in force before it is written; a step forward is written first.

        Raises as `Book.step`.
        """
        async with self._turn:
            planned, forward = self._book.step(wish, self.now, self._monitor)
            if not forward:
                self._gateway.deployed = Deployed(now_of(planned), *self._answering())
            written = await asyncio.to_thread(self._store.change_rollout, planned)
            if forward and self._monitor.ringing:
                await asyncio.to_thread(self._store.save_monitors, self._monitor.silence())
            await self._deploy(written)
            return written

    def judged(self, wish: Wish) -> Decision:
        """What the gate says of a step, without taking it."""
        return self._book.judged(wish, self.now, self._monitor)

    def _answering(self) -> tuple[ServedStudent | None, Foreign | None]:
        return self._gateway.deployed.student, self._gateway.deployed.scope

    async def _deploy(self, change: RolloutChange) -> None:
        """Put a change in force. Where its student can't be loaded the teacher answers, and it is told."""
        self._seen = max(self._seen, change.sequence)
        self._expires = self._candidate = None
        self._rights_looked = 0.0  # of another student, or of one that may answer more: at once
        student, scope = await self._student(change)
        self._monitor.watch(change.revision, change.threshold)
        self._gateway.deployed = Deployed(now_of(change), student, scope)
        self._let_go(change.revision)

    async def _student(self, change: RolloutChange) -> tuple[ServedStudent | None, Foreign | None]:
        try:
            self._candidate = candidate = self._shelf.of_revision(change.revision)
            if candidate.certificate is not None and not change.evidence.get("override"):
                self._expires = candidate.certificate.expires
            if change.revision not in self._loaded:
                self._loaded[change.revision] = await self._load(candidate)
            return self._loaded[change.revision], await asyncio.to_thread(candidate.scope)
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a runtime raise
            told = str(error) if isinstance(error, TutelageError) else f"{type(error).__name__}: {error}"
            self._announce(Alert(time(), "student", f"the student can't be loaded: {told}"))
            return None, None

    def _let_go(self, kept: str) -> None:
        """Close students that answer no longer, once requests under way have ended."""
        for revision in [revision for revision in self._loaded if revision != kept]:
            self._spawn(self._close_later(self._loaded.pop(revision)))

    async def _close_later(self, student: ServedStudent) -> None:
        try:
            await asyncio.sleep(self._config.deadline)
        finally:
            await student.close()

    def ring(self, ringing: Ringing) -> None:
        """An alarm has rung: back to shadow at once, where the student is measured on and not heard."""
        self._announce(Alert(time(), "alarm", str(ringing)))
        deployed = self._gateway.deployed
        if not deployed.rollout.stage.live or deployed.rollout.revision != ringing.revision:
            return
        self._step_down(str(ringing))

    def _step_down(self, why: str, stage: Stage = Stage.SHADOW, cause: str = "") -> None:
        deployed = self._gateway.deployed
        self._gateway.deployed = Deployed(
            Rollout(stage, 0.0, deployed.rollout.threshold, deployed.rollout.revision, cause),
            deployed.student,
            deployed.scope,
        )
        self._spawn(self._write_back(Wish(stage, ITSELF, why, cause=cause)))

    def _look_at_the_clock(self) -> None:
        """A certificate ends. Whoever went past the gate without one has decided so, and isn't undone."""
        if not self.now.stage.live or self._expires is None or time() < self._expires:
            return
        day, self._expires = datetime.fromtimestamp(self._expires, UTC).date(), None
        why = f"the certificate expired on {day}. Mend: run `tutelage certify`, best on new prompts"
        self._announce(Alert(time(), "certificate", why))
        self._step_down(why)

    async def _look_at_rights(self) -> None:
        """An entry expires, or a person withdraws what they allowed, while the student answers or listens.

        It is off then. So it is where what it learned from can't be told any more.
        """
        candidate = self._candidate
        if self.now.stage is Stage.OFF or candidate is None or time() - self._rights_looked < _RIGHTS_EVERY:
            return
        self._rights_looked = time()
        try:
            rights = await asyncio.to_thread(self._shelf.rights_of, candidate.stands)
            if rights is not None:
                rights.require()
        except (TutelageError, OSError, ValueError, KeyError) as error:
            if candidate is not self._candidate:  # another student meanwhile
                return
            self._announce(Alert(time(), "rights", f"the student is off: {error}"))
            self._step_down(str(error), Stage.OFF, _LAPSED if isinstance(error, GateRefused) else _UNTOLD)

    async def _write_back(self, wish: Wish) -> None:
        try:
            await self.change(wish)
        except (TutelageError, OSError) as error:
            self._announce(
                Alert(time(), "alarm", f"a step back is in force here, and wasn't written: {error}")
            )

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self._look_at_the_clock()
            await self._look_at_rights()
            try:
                last, told = await asyncio.to_thread(self._look)
                self._monitor.hear(told)
            except Exception as error:  # noqa: BLE001 - a database that is away must not end this
                _log.warning(
                    "the rollout and what other servers audited can't be read: %s", type(error).__name__
                )
                continue
            if last is not None and last.sequence > self._seen:
                async with self._turn:
                    if last.sequence > self._seen:
                        await self._adopt(last)

    def _look(self) -> tuple[RolloutChange | None, Mapping[str, Any]]:
        """What was decided last, and the evidence that other servers have told of."""
        return self._store.rollout(), self._store.monitors(*self._monitor.told)

    async def _adopt(self, change: RolloutChange) -> None:
        """Put in force what another process has decided. To let the student answer although an alarm rings
        here is to go on with it, so that the alarm begins anew: one that has rung would never ring again."""
        self._monitor.watch(change.revision, change.threshold)
        if Stage(change.stage).live and self._monitor.ringing:
            self._monitor.silence()
        await self._deploy(change)

    def state(self) -> Mapping[str, Any]:
        """What holds, for the API and pages."""
        rollout = self.now
        return {
            "stage": str(rollout.stage),
            "share": rollout.share,
            "threshold": rollout.threshold,
            "revision": rollout.revision,
            "cause": rollout.cause,
            "ringing": self._monitor.ringing,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def now_of(change: RolloutChange) -> Rollout:
    """What holds once a change is in force."""
    cause = str(change.evidence.get("cause", ""))
    return Rollout(Stage(change.stage), change.share, change.threshold, change.revision, cause)


def parse_stage(name: str) -> Stage:
    """Raises UsageError for a word that is none."""
    try:
        return Stage(name)
    except ValueError:
        raise UsageError(f"there is no stage {name!r}. Mend: one of {', '.join(Stage)}") from None
