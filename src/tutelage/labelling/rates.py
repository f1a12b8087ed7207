"""Limits a minute: of requests, and of tokens, which are known only after the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Task

_MINUTE = 60.01  # seconds; a little more, for clocks that differ
_BURST = 0.5  # seconds' worth that may go at once, which makes up for a late timer
_BYTES_A_TOKEN = 3.0  # of UTF-8, before an answer has told how many there are
_ANSWER_TOKENS = 64  # likewise
_LEARNING = 0.1  # weight of the newest answer in what is learned of tokens


class Rate:
    """Lets at most `per_minute` of something through in any 60 seconds, spread evenly.

    A generic cell rate algorithm: each unit takes its place `interval` seconds after the last, and may go
    half a second's worth before. `interval` is a little longer than a minute's share, so that what goes early
    still fits; a server that counts by the clock's minutes sees no more than one that lets its window slide.

    `largest` is the most that is taken at once, as far as one knows; what is taken later raises it. The limit
    holds as long as that is no more than half of it. With `whole`, amounts are whole numbers (requests), and
    the limit is used up to the last one.
    """

    def __init__(self, per_minute: float, whole: bool = False, largest: float = 0.0) -> None:
        self._limit, self._whole = per_minute, whole
        self._largest = largest
        self._free = 0.0  # when all that was let through will have had its time

    @property
    def _interval(self) -> float:
        last = max(self._largest - 1, 0.0) if self._whole else self._largest
        return (_MINUTE + _BURST) / max(self._limit - last, self._limit / 2)

    def at(self, now: float) -> float:
        """The time from which the next amount may go, in seconds of the caller's clock."""
        return max(self._free - _BURST, now)

    def take(self, amount: float, now: float) -> None:
        """Let `amount` through, which waited for `at`."""
        self._largest = max(self._largest, amount)
        self._free = max(self._free, now) + amount * self._interval

    def settle(self, taken: float, used: float) -> None:
        """Replace what was taken by what was used."""
        self._largest = max(self._largest, used)
        self._free += (used - taken) * self._interval


class TokenGuess:
    """Tokens that a call will take, in and out: guessed from its texts, by what answers so far took."""

    def __init__(self, task: Task) -> None:
        frame = sum(len(message["content"].encode()) for message in task.render(""))
        self._frame = frame / _BYTES_A_TOKEN + _ANSWER_TOKENS
        self._ratio = 1.0

    def of(self, prompts: Sequence[Prompt]) -> float:
        """The guess for one call."""
        size = sum(len(prompt.text.encode("utf-8", "surrogatepass")) for prompt in prompts)
        return self._ratio * (size / _BYTES_A_TOKEN + self._frame * len(prompts))

    def learn(self, guess: float, answers: Sequence[Answer]) -> float:
        """What the answers of a call took; `guess` where they don't say."""
        used = sum(answer.usage.input_tokens + answer.usage.output_tokens for answer in answers)
        if used <= 0:
            return guess
        self._ratio *= 1 + _LEARNING * (used / max(guess, 1.0) - 1)
        return float(used)
