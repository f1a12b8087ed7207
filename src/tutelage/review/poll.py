"""A poll: ballots in their order, put before reviewers one by one."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.errors import UsageError
from tutelage.records import storable
from tutelage.review.ballots import Ballot, dumped
from tutelage.review.votes import LONGEST_COMMENT, Choice, Vote, VoteStore


class Poll:
    """Every reviewer sees the same ballots in the same order, each with sides of their own.

    `title` and `instruction` are what reviewers read of the task. `show_gold` False keeps human answers from
    them: then they judge without knowing what the gold set says.
    """

    def __init__(
        self,
        ballots: Sequence[Ballot],
        store: VoteStore,
        *,
        title: str = "",
        instruction: str = "",
        show_gold: bool = True,
    ) -> None:
        self.ballots, self._store = ballots, store
        self.title, self.instruction, self.show_gold = title, instruction, show_gold
        self._by_key = {ballot.key: ballot for ballot in ballots}

    def __len__(self) -> int:
        return len(self._by_key)

    def done(self, reviewer: str) -> int:
        """How many of the ballots the reviewer has voted on."""
        return len(self._store.voted(reviewer) & self._by_key.keys())

    def next(self, reviewer: str) -> Ballot | None:
        """The first ballot that waits for the reviewer; None where none does."""
        voted = self._store.voted(reviewer)
        return next((ballot for key, ballot in self._by_key.items() if key not in voted), None)

    def comment(self, reviewer: str, ballot: Ballot) -> str:
        """What the reviewer wrote beside a vote on it that was taken back."""
        return self._store.last_comment(reviewer, ballot.key)

    def progress(self) -> dict[str, int]:
        """Votes by reviewer."""
        return {name: self.done(name) for name in self._store.reviewers()}

    def cast(self, reviewer: str, key: str, choice: str, comment: str = "") -> None:
        """Record a vote; it is on disk when this returns. Raises UsageError where it can't be one."""
        ballot = self._by_key.get(key)
        if ballot is None:
            raise UsageError(
                f"no ballot {key[:40]!r} in this poll: answers were replaced. Mend: go on with the next"
            )
        if choice not in list(Choice):
            raise UsageError(f"choice {choice[:40]!r} is none. Mend: one of {', '.join(Choice)}")
        if not ballot.differs and choice in {Choice.A, Choice.B}:
            raise UsageError("the two answers are the same. Mend: say whether they are fine")
        if len(comment) > LONGEST_COMMENT:
            raise UsageError(
                f"the comment has {len(comment):,} characters. Mend: {LONGEST_COMMENT:,} are the most"
            )
        a, b = ballot.shown(reviewer)
        said = storable(comment).strip()
        self._store.cast(Vote(key, ballot.prompt.hash, reviewer, Choice(choice), dumped(a), dumped(b), said))

    def undo(self, reviewer: str) -> bool:
        """Take back the reviewer's last vote in this poll; False where there is none."""
        return self._store.withdraw_last(reviewer, self._by_key) is not None
