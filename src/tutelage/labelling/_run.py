"""A run over a list of prompts: what goes out when, and what a failure leads to.

Each call is a task of its own, so that there are no more tasks than calls under way. One is sent when there
is room in the window, the endpoint hasn't asked for a pause, the limits a minute allow it, and the breaker is
closed. A call that failed waits in a heap for its turn.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from tutelage.config import LabellingConfig
from tutelage.errors import BudgetExhausted, TeacherError, TeacherUnavailable, TutelageError
from tutelage.labelling._calls import Calls
from tutelage.labelling.breaker import Breaker
from tutelage.labelling.pacing import Fixed, Pace, Ticket, Window
from tutelage.labelling.rates import Rate, TokenGuess
from tutelage.labelling.report import Tally
from tutelage.labelling.retries import (
    LONGEST_WAIT,
    RetryBudget,
    congests,
    fault_name,
    had_its_tries,
    is_mark,
    wait_before_again,
)
from tutelage.progress import Progress, Tracker
from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

_MEND = "see to the teacher"
_BUDGET_MEND = "raise labelling.budget, or lower traffic.limit to learn from what there is"
MOST_WAITING = 2048  # calls that wait to be made again, beyond which no new prompt is asked


class Call:
    """Prompts that are asked together, and how often that failed (`tries`), maybe for them (`marks`).

    `alone` tells that another call was answered right after one of its failures.
    """

    __slots__ = ("again", "alone", "batch", "guess", "marks", "requests", "tries")

    def __init__(self, batch: list[Prompt]) -> None:
        self.batch, self.again, self.alone = batch, False, False
        self.tries = self.marks = 0
        self.guess = self.requests = 0.0  # tokens and requests set aside for it

    @property
    def hashes(self) -> list[str]:
        """Of its prompts."""
        return [prompt.hash for prompt in self.batch]


class Limits:
    """What the endpoint's owner allows a minute, as the configuration says."""

    def __init__(self, config: LabellingConfig, task: Task) -> None:
        requests, tokens = config.requests_per_minute, config.tokens_per_minute
        self._requests = Rate(requests, whole=True) if requests else None
        self._tokens = Rate(tokens) if tokens else None
        self._guess = TokenGuess(task) if tokens else None
        self._requests_a_call = 1.0  # several where a prompt has several samples

    def at(self, now: float) -> float:
        """When the next call may go."""
        times = [rate.at(now) for rate in (self._requests, self._tokens) if rate is not None]
        return max(times, default=now)

    def take(self, call: Call, now: float) -> None:
        """A call goes out now."""
        if self._requests is not None:
            call.requests = self._requests_a_call
            self._requests.take(call.requests, now)
        if self._tokens is not None and self._guess is not None:
            call.guess = self._guess.of(call.batch)
            self._tokens.take(call.guess, now)

    def settle(self, call: Call, answers: list[Answer]) -> None:
        """A call was answered; one that wasn't stands at what was guessed."""
        if self._requests is not None:
            made = float(max(sum(answer.usage.calls for answer in answers), 1))
            self._requests.settle(call.requests, made)
            self._requests_a_call = made
        if self._tokens is not None and self._guess is not None:
            self._tokens.settle(call.guess, self._guess.learn(call.guess, answers))


class Run:
    """One run: its calls under way and waiting, and why it stopped if it did."""

    def __init__(
        self,
        teacher: Teacher,
        task: Task,
        config: LabellingConfig,
        calls: Calls,
        tally: Tally,
        progress: Progress,
        tracker: Tracker,
    ) -> None:
        self._config, self._calls, self._tally = config, calls, tally
        self._progress, self._tracker = progress, tracker
        self._now = asyncio.get_running_loop().time
        self._pace: Pace = Fixed(teacher.concurrency) if teacher.concurrency else Window(config.concurrency)
        self._limits = Limits(config, task)
        # The first probe comes as long after the fault as a second retry would.
        self._breaker: Breaker[Call] = Breaker(config.patience, 2 * config.wait)
        self._retries = RetryBudget(config.retry_share, 0)
        self._each_is_tried = False
        self._prompts = self._may_fail = 0
        self._new: Iterator[list[Prompt]] = iter(())
        self._next_new: list[Prompt] | None = None
        self._waiting: list[tuple[float, int, Call]] = []  # a heap by the time of the next try
        self._given_up: dict[Call, None] = {}  # until another prompt is answered
        self._order = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing = False
        self._paused_until = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()  # nothing more is sent
        calls.room = self._send_what_may
        self._stopped_by: TutelageError | None = None
        self._broken_by: BaseException | None = None
        self._mend = _MEND

    async def over(self, batches: Iterator[list[Prompt]], prompts: int, may_fail: int) -> None:
        """Ask all `batches` of `prompts`, of which `may_fail` may stay without an answer. Raises as `ask`."""
        self._prompts, self._may_fail = prompts, may_fail
        self._each_is_tried = prompts <= may_fail
        self._retries = RetryBudget(math.inf if self._each_is_tried else self._config.retry_share, prompts)
        self._new = batches
        self._next_new = next(batches, None)
        try:
            await self._send_all()
            if self._tasks:  # of a run that stopped: calls under way are waited for
                await asyncio.wait(self._tasks)
            self._raise_what_broke()
        finally:
            self._over.set()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._calls.close()
        if self._stopped_by is not None:
            raise self._with_progress(self._stopped_by, prompts)
        self._leave_given_up()
        self._tally.failed += self._calls.held.hashes

    async def _send_all(self) -> None:
        self._send_what_may()
        await self._over.wait()
        self._raise_what_broke()

    def _raise_what_broke(self) -> None:
        """Raise what ended a call's task: a teacher's own bug, or the disk."""
        if self._broken_by is not None:
            raise self._broken_by

    def _send_what_may(self) -> None:
        """Send every call that may go now, and see to it that this is done again when the next one may.

        Called by whatever makes room, so that the next call goes out in the same turn of the event loop:
        beside an endpoint that answers fast each turn counts.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            while not self._over.is_set():
                now = self._now()
                at = self._next_at(now)
                if at <= now:
                    self._send(now)
                    continue
                if at != math.inf:
                    self._timer = asyncio.get_running_loop().call_at(at, self._send_what_may)
                elif not self._tasks:
                    self._over.set()
                return
        except Exception as error:  # noqa: BLE001 - raised by `_send_all`, not in a callback
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._broken_by = self._broken_by or error
        self._over.set()

    def _next_at(self, now: float) -> float:
        """When the next call goes out; infinity where that is up to one that is under way, or to none."""
        if self._breaker.is_open:
            there_is_one = bool(self._waiting) or self._next_new is not None
            if self._probing or not there_is_one:
                return math.inf
            return max(self._breaker.probe_at, self._paused_until, self._limits.at(now))
        due = self._waiting[0][0] if self._waiting else math.inf
        if self._next_new is not None and len(self._waiting) < MOST_WAITING:
            due = min(due, now)
        if due <= now and self._at_the_endpoint() >= self._pace.limit:
            self._pace.filled()
            return math.inf
        return max(due, self._paused_until, self._limits.at(now))

    def _at_the_endpoint(self) -> int:
        """Calls under way but for those that only wait for the disk, as far as the pace spares them."""
        return len(self._tasks) - min(self._calls.writing, self._pace.spare)

    def _send(self, now: float) -> None:
        call = self._take(now)
        probe = self._breaker.is_open
        if call.again:
            if not probe and not self._retries.take():
                self._stop_for_retries()
                return
            self._tally.again += 1
        else:
            self._tally.asked += len(call.batch)
        call.again = True
        self._tally.made += 1
        self._probing = self._probing or probe
        self._limits.take(call, now)
        task = asyncio.create_task(self._make(call, self._pace.sent(now), probe))
        self._tasks.add(task)
        task.add_done_callback(self._came_back)
        self._tally.at_once = max(self._tally.at_once, self._at_the_endpoint())

    def _take(self, now: float) -> Call:
        """The call whose turn it is: one whose wait is over before a new one."""
        waiting, batch = self._waiting, self._next_new
        if batch is None or (waiting and self._goes_before_new(waiting[0][0] <= now)):
            return heapq.heappop(waiting)[2]
        self._next_new = next(self._new, None)
        return Call(batch)

    def _goes_before_new(self, due: bool) -> bool:
        """Whether a call that failed goes again before a new one goes out.

        Not right after a failure: only another prompt tells whether that was the prompt's or the endpoint's.
        """
        if self._breaker.is_open or len(self._waiting) >= MOST_WAITING:
            return True
        return due and not self._breaker.suspects

    def _came_back(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)
        self._send_what_may()

    async def _make(self, call: Call, ticket: Ticket, probe: bool) -> None:
        try:
            answers, seconds = await self._calls.make(call.batch)
        except TeacherUnavailable as error:
            self._pace.failed(ticket, self._now(), congests(error))
            self._failed(call, error, probe)
        except (BudgetExhausted, TeacherError) as error:
            self._stop(error, _BUDGET_MEND if isinstance(error, BudgetExhausted) else _MEND)
        else:
            self._pace.answered(ticket, self._now(), seconds)
            self._limits.settle(call, answers)
            self._answered()
        finally:
            if probe:
                self._probing = False

    def _answered(self) -> None:
        self._leave_given_up()
        if self._breaker.suspects:
            for call in self._breaker.take_failing():
                call.alone = True
        if self._breaker.answered():
            self._pace.restart()
            self._progress.note("the teacher answers again, and labelling goes on")

    def _leave_given_up(self) -> None:
        """Prompts that had all their tries while others were answered stay without an answer."""
        for call in self._given_up:
            self._tally.failed += call.hashes
        self._given_up.clear()

    def _failed(self, call: Call, error: TeacherUnavailable, probe: bool) -> None:
        now, wait = self._now(), error.retry_after
        self._tally.faults[fault_name(error)] += 1
        if self._stopped_by is not None:
            return
        if wait is not None:
            wait = min(wait, LONGEST_WAIT)
            self._paused_until = max(self._paused_until, now + wait)
        was_open = self._breaker.is_open
        mark = is_mark(error)
        its_own = (mark and call.alone) or (call.tries and self._few_are_left())
        counts = was_open or not (self._each_is_tried or its_own)
        call.tries += 1
        call.marks += mark
        if counts and self._breaker.failed(call, now, len(self._tasks), mark):
            self._await(call, now)
            self._while_down(error, was_open, probe)
        elif had_its_tries(call.marks, call.tries, self._config.attempts):
            self._given_up[call] = None
        else:
            # "Now" is no answer from one that just had too much to do.
            self._await(call, now + (wait or wait_before_again(call.tries, self._config.wait)))

    def _few_are_left(self) -> bool:
        """Whether what has no answer may stay without: then what fails again may well be the prompts."""
        return self._prompts - self._tally.answered <= self._may_fail

    def _await(self, call: Call, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._order), call))

    def _while_down(self, error: TeacherUnavailable, was_open: bool, probe: bool) -> None:
        """The endpoint is down: no failure since it was up counts against a prompt."""
        now = self._now()
        for failing, times in self._breaker.take_failing().items():
            failing.tries -= times
            failing.marks = max(failing.marks - times, 0)
            if failing in self._given_up:
                del self._given_up[failing]
                self._await(failing, now)
        if probe:
            self._breaker.probe_failed(now)
        if self._breaker.gives_up(now):
            self._stop_for_patience(error)
        elif probe or not was_open:
            self._tell_pause(error, now, first=not was_open)

    def _tell_pause(self, error: TeacherUnavailable, now: float, first: bool) -> None:
        wait = max(self._breaker.probe_at - now, 0.0)
        if first:
            left = max(self._config.patience - self._breaker.down_for(now), 0.0)
            self._progress.warn(
                f"the teacher seems to be down ({error}); labelling pauses, tries it again by itself, and "
                f"stops where it stays down for another {left:.0f} s (labelling.patience)"
            )
        self._tracker.advance(0, f"paused: {fault_name(error)}; next try in {wait:.0f} s")

    def _stop_for_patience(self, error: TeacherUnavailable) -> None:
        seconds = self._breaker.down_for(self._now())
        self._stop(
            TeacherUnavailable(
                f"no call was answered for {seconds:.0f} s, and labelling.patience is "
                f"{self._config.patience:g}; {self._calls_failed()}. The last: {error}",
                error.retry_after,
            ),
            f"{_MEND}, or raise labelling.patience; where it answers other prompts, raise "
            "labelling.max_failed_share to leave these out",
        )

    def _stop_for_retries(self) -> None:
        self._stop(
            TeacherUnavailable(
                f"{self._calls_failed()}, and all {self._retries.allowed:,.0f} calls that may be made again "
                f"are used up (labelling.retry_share {self._config.retry_share:g})"
            ),
            f"{_MEND}, or raise labelling.retry_share",
        )

    def _calls_failed(self) -> str:
        tally = self._tally
        return f"{tally.faults.total():,} of {tally.made:,} calls failed ({tally.faults_in_words()})"

    def _stop(self, error: TutelageError, mend: str) -> None:
        """Let calls under way finish, and end every one that only waits for money. The first error counts."""
        if self._stopped_by is None:
            self._stopped_by, self._mend = error, mend
        self._over.set()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current and not self._calls.is_under_way(task):
                task.cancel()

    def _with_progress(self, error: TutelageError, prompts: int) -> TutelageError:
        """The error that stopped the run, with how far it came and the mend."""
        answered = self._tally.answered
        text = (
            f"{error}. {answered} prompts were answered in this run and {prompts - answered} remain. "
            f"Mend: {self._mend}, then run again; it goes on from here, and nothing answered is asked twice"
        )
        if isinstance(error, TeacherUnavailable):
            return TeacherUnavailable(text, error.retry_after)
        return type(error)(text)
