"""Ballots and votes of a programme: which answers can be compared, and what people said of them.

Votes are on words, and lie in one file of the programme: they hold for every run whose answers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tutelage import storage
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus, Prompt, Value, load_value
from tutelage.review import Ballot, Vote, VoteStore
from tutelage.review.ballots import dumped
from tutelage.scale import Engine, open_engine
from tutelage.stages.task import resolved_task

if TYPE_CHECKING:
    from tutelage.evaluation import JudgedPair

Where = Literal["gold", "traffic"]
Rival = Literal["teacher", "control"]

_EXAMPLES = 12


def votes_fingerprint(programme: Programme) -> str:
    """Changes with the votes that stand."""
    return storage.hash_json(
        [[vote.ballot, vote.reviewer, vote.choice, vote.comment] for vote in programme_votes(programme)]
    )


def find_results(
    programme: Programme, progress: Progress, *, where: Where = "gold", against: Rival = "teacher"
) -> dict[str, Any] | None:
    """`evaluation.preference` of the votes on this run's answers; None where there is none on them.

    With `where`, `other_answers` (votes on answers that none of these are), and `examples`: up to twelve
    pairs with their text, answers, outcome and comments, those that the student lost first.
    """
    votes = programme_votes(programme)
    if not votes:
        return None
    from tutelage.evaluation import preference

    ballots = programme_ballots(programme, where, against, progress)
    by_ballot: dict[str, list[Vote]] = {}
    for vote in votes:
        by_ballot.setdefault(vote.ballot, []).append(vote)
    judged = [(ballot, by_ballot[ballot.key]) for ballot in ballots if ballot.key in by_ballot]
    if not judged:
        return None
    pairs = [_judged(ballot, cast, against) for ballot, cast in judged]
    differing = sum(ballot.differs for ballot in ballots)
    results = preference(pairs, ("student", against), pairs=len(ballots), differing=differing)
    of_these = sum(len(cast) for _, cast in judged)
    examples = [
        _example(ballot, cast, pair.outcome, against)
        for (ballot, cast), pair in zip(judged, pairs, strict=True)
        if ballot.differs
    ]
    examples.sort(key=lambda item: (item["outcome"] != against, not item["comments"]))
    return {
        **results,
        "where": where,
        "other_answers": len(votes) - of_these,
        "examples": examples[:_EXAMPLES],
    }


def judge_file(programme: Programme) -> Path:
    """What a judge said of this run's answers: see `stages.judging`."""
    return programme.evaluation / "judge.json"


def judged_about(programme: Programme) -> str:
    """Changes with the answers and the votes that a judge is held to."""
    predictions = programme.evaluation / "predictions.parquet"
    told = storage.hash_file(predictions) if predictions.exists() else "absent"
    return storage.hash_json([told, votes_fingerprint(programme)])


def find_judgement(programme: Programme) -> dict[str, Any] | None:
    """What a judge said of the answers and votes that there are now; None where nothing."""
    path = judge_file(programme)
    if not path.exists():
        return None
    content: dict[str, Any] = storage.read_json(path)
    return content if content["of"] == judged_about(programme) else None


def programme_votes(programme: Programme) -> list[Vote]:
    """The votes that stand, of all runs."""
    if not programme.votes.exists():
        return []
    store = VoteStore(programme.votes)
    try:
        return store.standing()
    finally:
        store.close()


def programme_ballots(programme: Programme, where: Where, against: Rival, progress: Progress) -> list[Ballot]:
    """The student's answers beside those of `against`: on sealed gold, or on the transfer set."""
    if where == "traffic":
        return _traffic_ballots(programme, against, progress)
    table = storage.read_table(programme.evaluation / "predictions.parquet")
    return [
        Ballot(
            Prompt(row["id"], row["text"], "gold", row["slice"]),
            load_value(row["gold"]),
            (_value(row["student"]), _value(row[against])),
        )
        for row in table.to_pylist()
    ]


def _traffic_ballots(programme: Programme, against: Rival, progress: Progress) -> list[Ballot]:
    """On the transfer set: there the student has learned from the teacher's answers, or from people's."""
    rows = _transfer_rows(programme)
    texts = [row["text"] for row in rows]
    with open_engine(programme.config.engine, progress) as engine:
        student = _predicted(programme, "student", texts, progress, engine)
        rival = (
            [_taught(row) for row in rows]
            if against == "teacher"
            else _predicted(programme, against, texts, progress, engine)
        )
    return [
        Ballot(_prompt(row), None, (one, other)) for row, one, other in zip(rows, student, rival, strict=True)
    ]


def _predicted(
    programme: Programme, arm: str, texts: Sequence[str], progress: Progress, engine: Engine
) -> Sequence[Value | None]:
    from tutelage.stages.predictions import Answering, answered
    from tutelage.students import load_student

    folder = programme.student / arm
    answering = Answering(resolved_task(programme), load_student(folder), folder)
    return answered(answering, texts, progress, f"answers of the {arm}", engine=engine).values


def taught_answers(programme: Programme) -> list[tuple[Prompt, Value | None]]:
    """The prompts of the transfer set that nobody has corrected, with what the teacher said.

    Raises UsageError where there is none yet.
    """
    return [(_prompt(row), _taught(row)) for row in _transfer_rows(programme) if row["teacher_value"] is None]


def _transfer_rows(programme: Programme) -> list[dict[str, Any]]:
    if not programme.transfer.exists():
        raise UsageError(f"{programme.transfer} doesn't exist. Mend: run {programme.command('label')} first")
    rows: list[dict[str, Any]] = storage.read_table(programme.transfer).to_pylist()
    return rows


def _prompt(row: Mapping[str, Any]) -> Prompt:
    return Prompt(row["id"], row["text"], row["source"], row["slice"])


def _taught(row: Mapping[str, Any]) -> Value | None:
    """What the teacher said, whoever corrected it."""
    if row["teacher_value"] is not None:
        return load_value(row["teacher_value"])
    return _value(row["value"]) if row["status"] == AnswerStatus.OK else None


def _value(text: str | None) -> Value | None:
    return None if text is None else load_value(text)


def arm_of(vote: Vote, ballot: Ballot, against: str) -> str:
    """Whose answer the vote prefers, else what it says of both."""
    if vote.preferred is None:
        return str(vote.choice)
    return "student" if vote.preferred == dumped(ballot.answers[0]) else against


def _judged(ballot: Ballot, cast: Sequence[Vote], against: str) -> JudgedPair:
    from tutelage.evaluation import JudgedPair

    votes = {vote.reviewer: arm_of(vote, ballot, against) for vote in cast}
    pair = JudgedPair(
        ballot.prompt.slice,
        ballot.differs,
        votes,
        (sum(vote.choice == "a" for vote in cast), sum(vote.choice == "b" for vote in cast)),
    )
    liked = {"student": ballot.answers[0], against: ballot.answers[1]}.get(pair.outcome)
    others = [answer for answer in ballot.answers if answer != liked]
    against_gold = liked is not None and ballot.gold is not None and ballot.gold in others
    return JudgedPair(pair.slice, pair.differs, pair.votes, pair.sides, against_gold)


def _example(ballot: Ballot, cast: Sequence[Vote], outcome: str, against: str) -> dict[str, Any]:
    """Values as JSON text, as in `predictions.parquet`."""
    return {
        "id": ballot.prompt.id,
        "text": ballot.prompt.text,
        "slice": ballot.prompt.slice,
        "gold": None if ballot.gold is None else dumped(ballot.gold),
        "student": dumped(ballot.answers[0]),
        against: dumped(ballot.answers[1]),
        "outcome": outcome,
        "votes": len(cast),
        "comments": [vote.comment for vote in cast if vote.comment],
    }
