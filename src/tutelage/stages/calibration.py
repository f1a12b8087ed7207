"""Gold's calibration part with the teacher's answers, as `certify` tests a student on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data import prompts_from_table, read_calibration, read_training
from tutelage.errors import DataError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus, Gold, Value, load_value
from tutelage.stages.asking import prompted_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tutelage.serving import Reference
    from tutelage.serving.learn_then_test import Flags
    from tutelage.tasks import LabelTask


@dataclass(frozen=True)
class Calibration:
    """The examples, and what the teacher said of each: None where it gave no usable answer.

    `known` counts examples that were left out, since they also stand among what is learned from.
    """

    gold: list[Gold]
    teacher: list[Value | None]
    hash: str
    known: int

    @property
    def texts(self) -> list[str]:
        """In the order of the examples."""
        return [item.prompt.text for item in self.gold]

    @property
    def slices(self) -> list[str]:
        """Likewise."""
        return [item.prompt.slice for item in self.gold]

    def wrong(self, task: LabelTask, said: Sequence[Value]) -> dict[Reference, Flags]:
        """Where a student that said this is wrong, by reference: bool [n]; see `Reference`.

        Where the teacher gave no answer, a student can't agree with it, nor be worse than it.
        """
        import numpy as np

        from tutelage.serving import Reference

        def differs(values: Sequence[Value | None], others: Sequence[Value | None]) -> Flags:
            pairs = zip(values, others, strict=True)
            return np.array(
                [a is None or b is None or not task.compare(a, b).agree for a, b in pairs], np.bool_
            )

        people = [item.value for item in self.gold]
        against_gold = differs(said, people)
        return {
            Reference.GOLD: against_gold,
            Reference.TEACHER: differs(said, self.teacher),
            Reference.EXCESS: against_gold & ~differs(self.teacher, people),
        }


def require_calibration(programme: Programme) -> None:
    """Raise UsageError where the programme has no calibration part."""
    if programme.config.gold.calibration is None:
        raise UsageError(
            "gold.calibration is absent, and a certificate is tested on human-labelled prompts that nothing "
            "was learned from or decided on. Mend: add `calibration: {path: more.csv}` to gold, labelled "
            "prompts drawn at random from the requests to come, or `calibration: {share: 0.2}`, which makes "
            f"the sealed set smaller; then {programme.command('run')}"
        )


def read_calibration_part(programme: Programme, progress: Progress) -> Calibration:
    """What a certificate is tested on.

    Raises DataError where the teacher wasn't asked about all of it or nothing is left, IntegrityError where
    it isn't what was sealed.
    """
    gold = read_calibration(programme.gold_calibration, programme.seal)
    known = _known(programme, gold)
    if known:
        progress.warn(
            f"{len(known):,} of {len(gold):,} calibration prompts also stand, but for punctuation, among "
            "what is learned from or shown to the teacher, and are left out"
        )
    kept = [item for item in gold if item.prompt.id not in known]
    if not kept:
        raise DataError(
            f"{programme.gold_calibration} has no prompt to test on. Mend: label some, drawn at random from "
            "the requests to come"
        )
    answers = {row["hash"]: row for row in storage.read_table(programme.calibration_answers).to_pylist()}
    if missing := sum(item.prompt.hash not in answers for item in kept):
        raise DataError(
            f"{programme.calibration_answers} has no answer of the teacher to {missing:,} of {len(kept):,} "
            f"prompts. Mend: run {programme.command('label')}"
        )
    rows = [answers[item.prompt.hash] for item in kept]
    said = [load_value(row["value"]) if row["status"] == AnswerStatus.OK else None for row in rows]
    return Calibration(kept, said, storage.hash_file(programme.gold_calibration), len(gold) - len(kept))


def _known(programme: Programme, gold: Sequence[Gold]) -> set[str]:
    """Ids of examples that cleaning left among the traffic, the training part or the teacher's prompt."""
    from tutelage.data.leakage import USUAL_THRESHOLD, find_leaks

    training = read_training(programme.gold_training)
    prompts = [item.prompt for item in gold]
    asked = prompted_task(programme, training).render("")
    shown = "\n".join(message["content"] for message in asked)
    learned = [item.prompt for item in training]
    leaks = find_leaks(prompts, {"training": learned}, shown=shown, cleaned_at=USUAL_THRESHOLD)
    for table in storage.table_batches(programme.prompts):
        traffic = prompts_from_table(table)
        leaks += find_leaks(prompts, {"traffic": traffic}, cleaned_at=USUAL_THRESHOLD)  # none that are near
    return {leak.gold for leak in leaks}
