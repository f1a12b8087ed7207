"""What `stress` puts to the arms, the asking, and the answers as evaluation takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from random import Random

from tutelage.config import STARTER_SUITE, StressConfig
from tutelage.config.teachers import sole_teachers
from tutelage.data import SuitePrompt, read_sealed, read_suite, read_training
from tutelage.evaluation import (
    Answered,
    Declining,
    Perturbation,
    Perturbed,
    Reply,
    declining,
    known_perturbations,
)
from tutelage.evaluation.robustness import NO_TARGET
from tutelage.labelling import AnswerLedger, LedgerKey, shares_of
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus, Prompt, SealedGold, Value, dump_value
from tutelage.scale import open_engine
from tutelage.stages.asking import open_teacher, prompted_task, put
from tutelage.stages.costs import estimate_of
from tutelage.stages.findings import tell_bound, tell_price, tell_rejected
from tutelage.stages.label import require_gold
from tutelage.stages.paraphrases import paraphrased
from tutelage.stages.predictions import Answering, Kept, answered
from tutelage.stages.rights import require_rights
from tutelage.stages.sources import source_path
from tutelage.stages.task import resolved_task
from tutelage.students import load_student
from tutelage.tasks import Parsed, Task, with_labels
from tutelage.teachers import Teacher

_SOURCE = "stress"  # of prompts in the ledger
_LEAST_SAMPLE = 10  # answers to gold from which the cost is estimated

Said = Mapping[str, Parsed]
"""What an arm answered, by the text's hash; without those that it wasn't asked or didn't answer."""


@dataclass(frozen=True)
class Questions:
    """Perturbed gold and suite prompts; of these there are none where the task can't decline."""

    task: Task
    perturbed: tuple[Perturbed, ...]
    suite: tuple[SuitePrompt, ...]
    declining: Declining | None

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Each text once, under an id that says what it came from."""
        found: dict[str, Prompt] = {}
        for item in self.perturbed:
            gold, name = item.gold.prompt, item.perturbation.name
            for text, id_ in (
                (item.pair.before, f"{gold.id}~before-{name}"),
                (item.pair.after, f"{gold.id}~{name}"),
            ):
                prompt = gold if text == gold.text else Prompt(id_, text, _SOURCE, gold.slice)
                found.setdefault(prompt.hash, prompt)
        for one in self.suite:
            found.setdefault(one.prompt.hash, one.prompt)
        return list(found.values())

    def answered(self, said: Mapping[str, Said]) -> dict[str, list[Answered | None]]:
        """By arm, in the order of `perturbed`."""

        def of(answers: Said, item: Perturbed) -> Answered | None:
            before, after = (answers.get(_hash(text)) for text in (item.pair.before, item.pair.after))
            return None if before is None or after is None else Answered(before.value, after.value)

        return {name: [of(answers, item) for item in self.perturbed] for name, answers in said.items()}

    def replies(self, said: Mapping[str, Said]) -> dict[str, list[Reply | None]]:
        """By arm, in the order of `suite`."""
        return {
            name: [self._reply(answers.get(one.prompt.hash)) for one in self.suite]
            for name, answers in said.items()
        }

    def _reply(self, parsed: Parsed | None) -> Reply | None:
        if parsed is None:
            return None
        said = parsed.reason if parsed.value is None else dump_value(parsed.value)
        if self.declining is Declining.REFUSAL:
            return Reply(parsed.status is AnswerStatus.REFUSED, said)
        labelled = with_labels(self.task)
        names = labelled.names_of(parsed.value) if labelled is not None and parsed.value is not None else ()
        return Reply(labelled is not None and labelled.out_of_scope in names, said)


def _hash(text: str) -> str:
    return Prompt("", text).hash


def questions_of(programme: Programme, config: StressConfig, progress: Progress) -> Questions:
    """Draw the sample, perturb it and read the suites. Raises IntegrityError for touched gold, DataError."""
    task = resolved_task(programme)
    gold = sample_of(read_sealed(programme.sealed, programme.seal), config.sample, config.seed)
    known = known_perturbations()
    chosen = [known[name] for name in config.perturbations or known]
    perturbed = [
        item
        for change in chosen
        for one in gold
        if (item := _perturbed(change, one, task, config)) is not None
    ]
    if config.paraphraser is not None:
        perturbed += paraphrased(programme, config.paraphraser, gold, progress)
    how = declining(task)
    suite = _suite(programme, config, progress) if how is not None else ()
    if how is None and "suites" in config.model_fields_set and config.suites:
        progress.warn(
            f"stress.suites aren't asked: a task of type {task.kind} without a label out of "
            "scope can't decline"
        )
    return Questions(task, tuple(perturbed), tuple(suite), how)


def sample_of(gold: Sequence[SealedGold], size: int, seed: int) -> list[SealedGold]:
    """About `size` examples: of each slice its share, at least one. Drawn by the texts' hash."""
    if len(gold) <= size:
        return list(gold)
    slices: dict[str, list[SealedGold]] = {}
    for item in sorted(gold, key=lambda item: sha256(f"{seed}\0{item.prompt.hash}".encode()).hexdigest()):
        slices.setdefault(item.prompt.slice, []).append(item)
    counts = {name: max(1, round(size * len(items) / len(gold))) for name, items in slices.items()}
    return [item for name in sorted(slices) for item in slices[name][: counts[name]]]


def _perturbed(change: Perturbation, gold: SealedGold, task: Task, config: StressConfig) -> Perturbed | None:
    target = _target(gold, task, config.seed) if change.family == "injection" else ""
    pair = change.apply(gold.prompt.text, seed=config.seed, target=target, typo_rate=config.typo_rate)
    return None if pair is None else Perturbed(change, gold, pair, target)


def _target(gold: SealedGold, task: Task, seed: int) -> str:
    """What injected text asks for: a label that isn't right; of open values one that nobody would give."""
    labelled = with_labels(task)
    if labelled is None:
        return NO_TARGET
    wrong = [
        label for label in labelled.labels if not task.compare(labelled.value_of([label]), gold.value).agree
    ]
    return Random(f"{seed}\0{gold.prompt.hash}").choice(wrong) if wrong else ""  # noqa: S311


def _suite(programme: Programme, config: StressConfig, progress: Progress) -> list[SuitePrompt]:
    prompts: dict[str, SuitePrompt] = {}
    for name in config.suites:
        suite = read_suite(name if name == STARTER_SUITE else source_path(programme, name))
        tell_rejected(suite.rejected, progress, f" in suite {suite.name}")
        for one in suite.prompts:
            prompts.setdefault(one.prompt.hash, one)
    return list(prompts.values())


def asked_teacher(programme: Programme, questions: Questions, progress: Progress) -> Said | None:
    """Ask the teacher what it hasn't answered yet, behind rights and gold gate; None where it isn't asked.

    Raises as `label`; what was answered is kept, and the next run goes on from there.
    """
    config = programme.config
    if not (config.stress is None or config.stress.teacher):
        progress.note("the teacher isn't asked (stress.teacher), so nothing is compared with it")
        return None
    if any(one.type == "human" for one in sole_teachers(config.teacher)):
        progress.warn("the teacher isn't asked: people don't answer perturbed prompts")
        return None
    rights = require_rights(programme)
    training = read_training(programme.gold_training)
    task, prompts = prompted_task(programme, training), questions.prompts
    with (
        AnswerLedger(programme.answers) as ledger,
        open_engine(config.engine, progress) as engine,
    ):
        teacher = open_teacher(programme, training, task, engine)
        require_gold(programme, teacher, progress)
        tell_price(config.teacher, progress)
        _tell_costs(programme, teacher, task, ledger, questions, progress)
        report = put(programme, teacher, prompts, task, ledger, progress, rights, engine)
        answers = ledger.get_many(LedgerKey.of(teacher, task), [prompt.hash for prompt in prompts])
    if report.failed:
        progress.warn(
            f"{report.failed:,} of {len(prompts):,} prompts have no answer of the teacher after all their "
            "tries, and aren't compared with it (`tutelage stress --force` asks them again)"
        )
    return {
        hash_: Parsed(answer.status, answer.value, answer.reason or answer.raw)
        for hash_, answer in answers.items()
    }


def _tell_costs(
    programme: Programme,
    teacher: Teacher,
    task: Task,
    ledger: AnswerLedger,
    questions: Questions,
    progress: Progress,
) -> None:
    """How many prompts are new to the teacher, and what they may cost, before they are sent."""
    open_ = ledger.unanswered(LedgerKey.of(teacher, task), questions.prompts)
    progress.note(
        f"{len(questions.prompts):,} prompts ({len(questions.perturbed):,} perturbations, "
        f"{len(questions.suite):,} of suites), {len(open_):,} of them new to the teacher"
    )
    if not teacher.paid or not open_:
        return
    budget = programme.config.labelling.budget
    tell_bound(teacher, open_, budget, progress)
    gold = list(dict.fromkeys(item.gold.prompt for item in questions.perturbed))
    at_once = teacher.concurrency or programme.config.labelling.concurrency
    found = estimate_of(shares_of(teacher, task, ledger, gold, questions.prompts), at_once, _LEAST_SAMPLE)
    if found is None or not found.cost > 0:
        return
    progress.note(f"{found.describe()}. Gold's answers are taken for typical of the rest")
    left = None if budget is None else max(0.0, budget - ledger.spent())
    if left is not None and found.high > left:
        progress.warn(
            f"${left:,.2f} of labelling.budget is left, which may not do. What is answered until then is "
            "kept. Mend: raise it, lower stress.sample, or name fewer stress.perturbations"
        )


def put_to_student(programme: Programme, name: str, questions: Questions, progress: Progress) -> Said:
    """What `student` or `control` answers to every text; one that writes goes on where it was stopped."""
    folder = programme.student / name
    answering = Answering(questions.task, load_student(folder), folder)
    kept = Kept(kept_answers(programme), answering.weights)
    texts = [prompt.text for prompt in questions.prompts]
    with open_engine(programme.config.engine, progress) as engine:
        said = answered(answering, texts, progress, f"stressing the {name}", kept=kept, engine=engine)
    refused = [False] * len(texts) if said.refused is None else said.refused.tolist()
    return {
        prompt.hash: _parsed(value, declined)
        for prompt, value, declined in zip(questions.prompts, said.values, refused, strict=True)
    }


def kept_answers(programme: Programme) -> Path:
    """The folder of what students that write have said so far, until the stage is whole."""
    return programme.evaluation / ".stressed"


def _parsed(value: Value | None, refused: bool) -> Parsed:
    if value is not None:
        return Parsed(AnswerStatus.OK, value)
    if refused:
        return Parsed(AnswerStatus.REFUSED, None, "the student declined to answer")
    return Parsed(AnswerStatus.UNPARSEABLE, None, "the student gave no usable answer")
