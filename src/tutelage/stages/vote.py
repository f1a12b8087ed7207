"""`vote`: two arms' answers side by side before people who don't know whose they are; what the votes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.review import Poll, VoteStore, consensus, drawn, record_consensus
from tutelage.stages.ballots import (
    Rival,
    Where,
    find_results,
    programme_ballots,
    programme_votes,
    taught_answers,
)
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.review import review_file

Sample = Literal["differing", "random"]


def open_poll(
    programme: Programme,
    progress: Progress,
    *,
    where: Where = "gold",
    against: Rival = "teacher",
    sample: Sample = "differing",
    most: int = 200,
    seed: int = 0,
    show_gold: bool = True,
) -> Poll:
    """The student's answers beside those of `against`, on sealed gold or on the traffic that was labelled.

    At most `most` pairs, drawn at random and in proportion to slices: of those whose answers differ, or of
    all. Raises UsageError where a stage before has to run first, or no pair is there to be voted on.
    """
    require_earlier(programme, "report", "vote")
    ballots = programme_ballots(programme, where, against, progress)
    wanted = [ballot for ballot in ballots if ballot.differs or sample == "random"]
    if not wanted:
        raise UsageError(
            f"student and {against} say the same of all {len(ballots):,} prompts of {where}: there is "
            "nothing to choose between. Mend: `--sample random` asks whether what they say is right"
        )
    chosen = drawn(wanted, seed)[:most]
    differing = sum(ballot.differs for ballot in ballots)
    progress.note(
        f"student and {against} differ on {differing:,} of {len(ballots):,} prompts of {where}; "
        f"{len(chosen):,} {'of them' if sample == 'differing' else 'prompts'} are put to the vote"
    )
    return Poll(
        chosen,
        VoteStore(programme.votes),
        title=programme.folder.resolve().name,
        instruction=programme.config.task.instruction,
        show_gold=show_gold,
    )


def vote_results(
    programme: Programme, progress: Progress, *, where: Where = "gold", against: Rival = "teacher"
) -> dict[str, Any] | None:
    """See `find_results`. Raises UsageError where a stage before has to run first."""
    require_earlier(programme, "report", "vote")
    return find_results(programme, progress, where=where, against=against)


def votes_to_review(programme: Programme, progress: Progress, *, at_least: int = 1) -> Path:
    """Where people prefer another answer than the teacher's, put that into the file of corrections.

    The next `label` takes it. Only prompts of the transfer set: sealed gold never is in it. Raises UsageError
    where nobody has voted or there is no transfer set.
    """
    if not programme.votes.exists():
        raise UsageError(
            f"nobody has voted yet: {programme.votes} doesn't exist. Mend: run "
            f"{programme.command('vote --where traffic')}"
        )
    taught = taught_answers(programme)
    found = consensus(programme_votes(programme), at_least=at_least)
    path = review_file(programme)
    separator = programme.config.gold.columns.separator
    given, waiting = record_consensus(path, found, taught, separator)
    progress.note(f"{given:,} corrections given, {waiting:,} rows that wait for one, in {path}")
    return path
