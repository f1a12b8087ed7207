"""`vote --judge`: a model votes on pairs of answers to sealed gold, and is heard if it agrees with people.

It never decides the release gate: it says how the answers compare where people can't look at all of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tutelage import storage
from tutelage.config import JudgingConfig
from tutelage.errors import UsageError
from tutelage.evaluation.judging import judge_agreement, judged_preference
from tutelage.evaluation.votes import SPLIT
from tutelage.gates import Decision
from tutelage.labelling import AnswerLedger, LedgerKey, label
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Prompt, Value, dump_value
from tutelage.review import Ballot, Vote, majority
from tutelage.scale import Engine, open_engine
from tutelage.stages.asking import answers_stand_under
from tutelage.stages.ballots import (
    Rival,
    arm_of,
    judge_file,
    judged_about,
    programme_ballots,
    programme_votes,
)
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.rights import require_helper_rights
from tutelage.tasks import Judge, RationaleMode
from tutelage.teachers import Teacher, TeacherContext

_MEANINGS = {
    "first": "the first answer is better",
    "second": "the second answer is better",
    "both": "both are fine, and neither is better",
    "neither": "neither will do",
}


def judge_task(config: JudgingConfig) -> Judge:
    """What a judge is asked of two answers."""
    return Judge(
        labels=tuple(_MEANINGS),
        rubric=config.criteria,
        descriptions=_MEANINGS,
        instruction="Two answers to one message stand beside each other, with a person's own answer as a "
        "reference. Judge which answers the message better.",
        reasons=RationaleMode.BEFORE,
    )


def ask_judge(programme: Programme, progress: Progress, *, against: Rival = "teacher") -> dict[str, Any]:
    """Have the judge vote where people did, and, if it agrees with them, on the other pairs that differ.

    Each pair is put to it twice, turned round. What it says is kept in `evaluation/judge.sqlite` and costs
    once. Returns and writes what `judge.json` holds: `judge_agreement` and `preference` (None where it isn't
    heard), with `judge`, `against`, `pairs` and `spent`.

    Raises UsageError where no judge is named, a stage before has to run, or people haven't voted; GateRefused
    where its rights aren't settled; and what asking a teacher raises.
    """
    config = programme.config.judging
    if config is None:
        raise UsageError("no judge is named. Mend: add a section `judging` with a `teacher` to tutelage.yaml")
    require_earlier(programme, "report", "vote --judge")
    ballots = programme_ballots(programme, "gold", against, progress)
    differing = {ballot.key: ballot for ballot in ballots if ballot.differs}
    people = _people(programme_votes(programme), differing, against)
    if not people:
        raise UsageError(
            f"nobody has voted on what student and {against} say, and a judge is heard only once it was seen "
            f"to agree with people. Mend: run {programme.command(f'vote --against {against}')}"
        )
    rights = require_helper_rights(programme, "the judge", config.teacher)
    voted = [differing[key] for key in people]
    others = [ballot for key, ballot in differing.items() if key not in people][: config.most]
    with open_engine(programme.config.engine, progress) as engine:
        judging = _Judging(programme, config, progress, rights, engine)
        said = judging.ask(voted, against)
        found = judge_agreement(people, said, config.min_kappa)
        if found["heard"]:
            said |= judging.ask(others, against)
        name, spent = judging.name, judging.spent
    slices = {key: ballot.prompt.slice for key, ballot in differing.items()}
    counts = {"pairs": len(ballots), "differing": len(differing)}
    content = {
        **found,
        "judge": name,
        "against": against,
        "pairs": {**counts, "people": len(people), "judged": len(said)},
        "spent": spent,
        "preference": judged_preference(said, slices, ("student", against), **counts)
        if found["heard"]
        else None,
        "of": judged_about(programme),
    }
    storage.write_json(judge_file(programme), content)
    programme.journal.append("judged", run=programme.config.student.run, heard=found["heard"], spent=spent)
    return content


def _people(votes: Iterable[Vote], ballots: Mapping[str, Ballot], against: Rival) -> dict[str, str]:
    """By ballot what more than half of its reviewers say, `split` where none does."""
    cast: dict[str, list[str]] = {}
    for vote in votes:
        if (ballot := ballots.get(vote.ballot)) is not None:
            cast.setdefault(vote.ballot, []).append(arm_of(vote, ballot, against))
    return {key: majority(words) or SPLIT for key, words in cast.items()}


class _Judging:
    """A judge, asked where the engine has its work done, and the ledger in which what it said is kept."""

    def __init__(
        self,
        programme: Programme,
        config: JudgingConfig,
        progress: Progress,
        rights: Decision,
        engine: Engine,
    ) -> None:
        self._rights, self._engine = rights, engine
        self._programme, self._config, self._progress = programme, config, progress
        self._task = judge_task(config)

    @property
    def _ledger(self) -> AnswerLedger:
        return AnswerLedger(self._programme.folder / "evaluation" / "judge.sqlite")

    def _teacher(self) -> Teacher:
        context = TeacherContext(self._task, [], self._programme.folder)
        return self._engine.build_teacher(self._config.teacher, context)

    @property
    def name(self) -> str:
        """The judge's."""
        return self._teacher().name

    @property
    def spent(self) -> float:
        """US dollars, of all its judging in this programme."""
        with self._ledger as ledger:
            return ledger.spent()

    def ask(self, ballots: Sequence[Ballot], against: Rival) -> dict[str, str]:
        """By ballot the arm it prefers, `both` or `neither`; `split` where it changes its mind turned round.

        A pair of which one answer of the judge can't be used is left out.
        """
        prompts = {
            ballot.key: (_prompt(ballot, turned=False), _prompt(ballot, turned=True)) for ballot in ballots
        }
        said = self._said([prompt for pair in prompts.values() for prompt in pair])
        found = {}
        for key, (straight, turned) in prompts.items():
            if straight.hash in said and turned.hash in said:
                one = _word(said[straight.hash], ("student", against))
                found[key] = one if one == _word(said[turned.hash], (against, "student")) else SPLIT
        return found

    def _said(self, prompts: Sequence[Prompt]) -> dict[str, Value]:
        """The judge's usable answers by prompt hash, asked for where there is none yet."""
        if not prompts:
            return {}
        teacher = self._teacher()
        labelling = self._programme.config.labelling.model_copy(update={"budget": self._config.budget})
        if teacher.paid:
            most = sum(teacher.most_expensive([prompt]) for prompt in prompts)
            self._progress.note(f"{len(prompts):,} questions to the judge could cost ${most:,.2f} at most")
        with self._ledger as ledger:
            ledger.under(answers_stand_under(teacher, self._rights))
            try:
                label(prompts, teacher, self._task, ledger, self._engine.labelling(labelling), self._progress)
            finally:
                asyncio.run(teacher.close())
            answers = ledger.get_many(LedgerKey.of(teacher, self._task), [prompt.hash for prompt in prompts])
        return {hash_: answer.value for hash_, answer in answers.items() if answer.value is not None}


def _word(value: Value, order: tuple[str, str]) -> str:
    """The judge's label as the name of an arm, given which arm's answer stood first."""
    return {"first": order[0], "second": order[1]}.get(str(value), str(value))


def _prompt(ballot: Ballot, *, turned: bool) -> Prompt:
    """A pair as the judge sees it: JSON, so that no text can pass for another part."""
    first, second = reversed(ballot.answers) if turned else ballot.answers
    content = {
        "message": ballot.prompt.text,
        "reference": _plain(ballot.gold),
        "first": _plain(first),
        "second": _plain(second),
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    return Prompt(f"{ballot.key}-{'ba' if turned else 'ab'}", text, "ballot", ballot.prompt.slice)


def _plain(value: Value | None) -> Any:
    return None if value is None else json.loads(dump_value(value))
