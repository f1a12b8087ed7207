"""People as a teacher: they answer in files, and what they haven't answered waits in a queue for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tutelage.config import ColumnsConfig, located
from tutelage.errors import AwaitingPeople, TeacherError
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Rejection, dump_value
from tutelage.review.queue import Queue
from tutelage.review.verdicts import HumanVerdict, read_verdicts
from tutelage.storage import hash_json

if TYPE_CHECKING:
    from tutelage.config import HumanTeacherConfig
    from tutelage.teachers.protocol import TeacherContext

_NAMED = 5  # bad rows told one by one


class HumanTeacher:
    """Verdicts of people, from the verdict file and from the queue; see `teachers.Selective`.

    Several verdicts on one prompt become one answer by `Task.vote`, with their distribution and the share of
    pairs that agree as its repeatability; of one reviewer's several the last counts. `revision` changes with
    what they said. Costs nothing and sends nothing anywhere.
    """

    name = "human"
    paid = False
    batch_size = 256
    concurrency: int | None = 1

    def __init__(self, config: HumanTeacherConfig, context: TeacherContext) -> None:
        self._task = context.task
        source = config.verdicts
        columns = source.columns if source else ColumnsConfig()
        queue = human_queue(config, context.task.kind, context.folder)
        self._queue = Queue(queue, columns.separator)
        verdicts: list[HumanVerdict] = []
        rejected: list[Rejection] = []
        if source is not None:
            given = read_verdicts(
                located(source.path, context.folder),
                columns,
                self._task,
                form=source.format,
                limit=source.limit,
                reviewer=config.reviewer,
                reasons=config.reasons,
            )
            verdicts, rejected = given.accepted, given.rejected
        queued = self._queue.verdicts(self._task)
        self.rejected: Sequence[Rejection] = [*rejected, *queued.rejected]
        self._by_hash: dict[str, list[HumanVerdict]] = {}
        self._by_id: dict[str, list[HumanVerdict]] = {}
        for verdict in [*verdicts, *queued.accepted]:
            kept = self._by_hash if verdict.hash else self._by_id
            kept.setdefault(verdict.hash or verdict.id, []).append(verdict)
        self.revision = _revision([self._by_hash, self._by_id])

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """Nothing."""
        return 0.0

    def answerable(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Those that somebody has answered."""
        return [prompt for prompt in prompts if self._said(prompt)]

    def leave(self, prompts: Sequence[Prompt]) -> NoReturn:
        """Put the others into the queue file. Raises AwaitingPeople, which says where it is."""
        self._queue.put(prompts)
        bad = "".join(
            f"; row {item.row} of {item.source} can't be taken: {item.detail}"
            for item in self.rejected[:_NAMED]
        )
        more = len(self.rejected) - _NAMED
        bad += f"; and {more:,} further rows" if more > 0 else ""
        raise AwaitingPeople(
            f"{len(prompts):,} prompts wait for people in {self._queue.path}{bad}. Mend: fill in its column "
            "label, then run the same command again; it goes on from here, and answers that are there stay"
        )

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """What they said. Raises TeacherError for a prompt that nobody has answered (see `answerable`)."""
        return [self._answer(prompt) for prompt in prompts]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _said(self, prompt: Prompt) -> list[HumanVerdict]:
        """The verdicts on a prompt: by its text, and by its id where a row had nothing else."""
        said = [*self._by_hash.get(prompt.hash, ()), *self._by_id.get(prompt.id, ())]
        return list({verdict.reviewer or f"row {n}": verdict for n, verdict in enumerate(said)}.values())

    def _answer(self, prompt: Prompt) -> Answer:
        said = self._said(prompt)
        if not said:
            raise TeacherError(f"nobody has answered prompt {prompt.id!r}. Mend: see docs/people.md")
        values = [verdict.value for verdict in said]
        value, distribution = self._task.vote(values)
        pairs = [self._task.compare(one, other).agree for one, other in combinations(values, 2)]
        several = len(said) > 1
        agreeing = [verdict for verdict in said if self._task.compare(verdict.value, value).agree]
        return Answer(
            AnswerStatus.OK,
            value,
            distribution if several else None,
            DistributionOrigin.HUMAN,
            raw="\n".join(map(dump_value, values)),
            model=", ".join(dict.fromkeys(verdict.reviewer for verdict in said if verdict.reviewer)),
            rationale=next((verdict.reasons for verdict in agreeing if verdict.reasons), ""),
            repeatability=sum(pairs) / len(pairs) if several else None,
        )


def human_queue(config: HumanTeacherConfig, kind: str, folder: Path) -> Path:
    """The queue file of a programme in `folder`, whose task is of that kind."""
    ending = "jsonl" if kind == "extract" else "csv"
    return folder / (config.queue or f"answers/queue.{ending}")


def _revision(kept: Sequence[dict[str, list[HumanVerdict]]]) -> str:
    """A hash of all verdicts that count, in whatever order their rows stand."""
    return hash_json(
        [
            sorted(
                [key, [[dump_value(one.value), one.reviewer, one.reasons] for one in said]]
                for key, said in group.items()
            )
            for group in kept
        ]
    )
