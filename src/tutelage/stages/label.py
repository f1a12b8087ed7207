"""`label`: behind the gates, the teacher answers gold, and where it is fit then also traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import entry_points

from tutelage import faults, storage
from tutelage.config import TeacherConfig
from tutelage.config.teachers import sole_teachers
from tutelage.data import gold_gate, read_calibration, read_sealed, read_training
from tutelage.data.synthetic import connected, most_beside
from tutelage.errors import AwaitingPeople, TeacherUnavailable
from tutelage.gates import Decision
from tutelage.labelling import (
    AnswerLedger,
    LabellingReport,
    LedgerKey,
    Panel,
    asked_of,
    export_answers,
    export_batches,
    export_quarantined,
    panel_figures,
    repeated,
    shares_of,
)
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import (
    SYNTHETIC,
    AnswerStatus,
    Prompt,
    PromptStream,
    SealedGold,
    Value,
    answered_schema,
    in_parts,
    quarantined_schema,
)
from tutelage.scale import Engine, open_engine
from tutelage.stages.asking import asked_again, open_teacher, prompted_task, put
from tutelage.stages.batches import tell_stray_batches
from tutelage.stages.costs import estimate_of
from tutelage.stages.findings import tell_bound, tell_estimate, tell_price, tell_rejected
from tutelage.stages.gold import calibration_inputs
from tutelage.stages.meaning import apart_in_meaning, meaning_inputs
from tutelage.stages.planned import plan_inputs, planned_prompts, synthetic_inputs, synthetic_prompts
from tutelage.stages.review import corrections_fingerprint, programme_corrections
from tutelage.stages.rights import require_rights, use_fingerprint
from tutelage.stages.signals import keep_signals, require_revealing
from tutelage.stages.sources import model_fingerprint, source_fingerprint
from tutelage.stages.task import labels_fingerprint
from tutelage.stages.transfer import basis_counts, with_bases
from tutelage.tasks import Task
from tutelage.teachers import Selective, Teacher
from tutelage.teachers.human import human_queue

_NAMED = 5  # prompts without an answer
_LOOKED_UP = 50_000  # prompts whose answers are looked at together
_LEAST_SAMPLE = 10  # answers to gold from which the cost of the rest is estimated


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "gold/sealed.parquet": fingerprint(programme.sealed),
        "gold/training.parquet": fingerprint(programme.gold_training),
        **calibration_inputs(programme),
        "labels": labels_fingerprint(programme),
        "gold.margin": fingerprint([config.gold.margin, config.gold.expected_accuracy]),
        "task": fingerprint(config.task),
        "prompting": fingerprint(config.prompting),
        "teacher": fingerprint(config.teacher),
        "the teacher itself": _teacher_fingerprint(programme),
        "labelling.min_teacher_accuracy": fingerprint(config.labelling.min_teacher_accuracy),
        "labelling.repeats": fingerprint(config.labelling.repeats),
        "labelling.signals": fingerprint(
            [config.labelling.signals, config.labelling.top_k, config.labelling.hidden_layers]
        ),
        "labelling.corrections": corrections_fingerprint(programme),
        **plan_inputs(programme),
        **synthetic_inputs(programme),
        **meaning_inputs(programme),
        "rights": use_fingerprint(programme),
    }


def _teacher_fingerprint(programme: Programme, teacher: TeacherConfig | None = None) -> str:
    """What can change about a teacher though its configuration doesn't, as far as one can see from here."""
    teacher = teacher or programme.config.teacher
    match teacher.type:
        case "encoder" | "transformers" | "local":
            return model_fingerprint(programme, teacher.model)
        case "plugin":
            points = entry_points(group="tutelage.teachers", name=teacher.name)
            return fingerprint([point.dist.version for point in points if point.dist is not None])
        case "human":
            queue = human_queue(teacher, programme.config.task.type, programme.folder)
            given = source_fingerprint(programme, teacher.verdicts.path) if teacher.verdicts else ""
            return fingerprint([given, fingerprint(queue)])
        case "ensemble":
            return fingerprint([_teacher_fingerprint(programme, one) for one in sole_teachers(teacher)])
        case _:
            return ""


def require_gold(programme: Programme, teacher: Teacher, progress: Progress) -> None:
    """Journal the gold gate's answer. Raises GateRefused where it is no pass and the teacher costs money."""
    decision = gold_gate(storage.read_json(programme.seal), programme.config.gold)
    programme.journal.append("gate", **decision.to_json())
    if teacher.paid:
        decision.require()
    for reason in decision.reasons:
        progress.warn(f"gold is small: {reason} (no money is at stake, so labelling goes on)")


def _work(programme: Programme, progress: Progress) -> str:
    with open_engine(programme.config.engine, progress) as engine:
        return _labelled(programme, progress, engine)


def _labelled(programme: Programme, progress: Progress, engine: Engine) -> str:
    rights = require_rights(programme)
    gold = read_sealed(programme.sealed, programme.seal)
    calibration = [item.prompt for item in read_calibration(programme.gold_calibration, programme.seal)]
    training = read_training(programme.gold_training)
    task = prompted_task(programme, training)
    teacher = open_teacher(programme, training, task, engine)
    require_revealing(programme, teacher)
    require_gold(programme, teacher, progress)
    prices = tell_price(programme.config.teacher, progress)
    taught = [item.prompt for item in training]
    real = apart_in_meaning(programme, taught, planned_prompts(programme), progress, engine)
    synthetic = synthetic_prompts(programme, len(real), progress)
    real, written = connected(real, synthetic)
    transfer: Collection[Prompt] = PromptStream.of(real, written)
    corrections = programme_corrections(programme, task, transfer, progress)
    with AnswerLedger(programme.answers) as ledger:
        tell_stray_batches(ledger, asked_of(teacher, task), progress)
        asking = _Asking(programme, teacher, task, ledger, progress, rights, engine)
        asking.people(gold, PromptStream.of(calibration, transfer))
        record = {
            "name": teacher.name,
            "revision": teacher.revision,
            "paid": teacher.paid,
            "rights": rights.to_json(),
            "prices": prices,
            **asking.gold_first(gold, PromptStream.of(calibration, transfer)),
        }
        asking.calibration(calibration)
        asking.transfer(transfer)
        transfer = asking.within_share(real, written)
        if isinstance(teacher, Panel):
            every = PromptStream.of([item.prompt for item in gold], transfer)
            figures = panel_figures(every, teacher, task, ledger)
            record["panel"] = figures.to_json()
            for line in figures.lines():
                progress.note(line)
        human = {item.prompt.hash: item.value for item in training}
        bases = {item.prompt.hash: item.basis for item in synthetic}
        record["bases"] = asking.export(transfer, [item.prompt for item in gold], human, corrections, bases)
        record["synthetic"] = sum(prompt.source == SYNTHETIC for prompt in transfer) if written else 0
        asking.export_calibration(calibration)
    keep_signals(programme, teacher, task, transfer, progress)
    faults.point("exported")
    storage.write_json(programme.teacher_record, record)
    return _summary(asking.reports)


class _Asking:
    """One teacher, one task, one ledger: what is asked in which order, and what is written of it."""

    def __init__(
        self,
        programme: Programme,
        teacher: Teacher,
        task: Task,
        ledger: AnswerLedger,
        progress: Progress,
        rights: Decision,
        engine: Engine,
    ) -> None:
        self._programme, self._teacher, self._task, self._rights = programme, teacher, task, rights
        self._ledger, self._progress, self._engine = ledger, progress, engine
        self._key = LedgerKey.of(teacher, task)
        self._labelling = programme.config.labelling
        self._waiting: AwaitingPeople | None = None  # people of an ensemble
        self.reports: list[LabellingReport] = []

    def people(self, gold: Sequence[SealedGold], transfer: Collection[Prompt]) -> None:
        """Where people answer, put all to them at once: gold and traffic, also those who are an ensemble's.

        Raises AwaitingPeople while some wait for them; for an ensemble `gold_first` does, once gold was put
        to the others.
        """
        prompts = PromptStream.of([item.prompt for item in gold], transfer)
        if isinstance(self._teacher, Selective):
            tell_rejected(self._teacher.rejected, self._progress, " of people's answers")
            self._put(prompts, may_lack=0)
        if isinstance(self._teacher, Panel):
            for member in self._teacher.members:
                if isinstance(member.teacher, Selective):
                    tell_rejected(member.teacher.rejected, self._progress, " of people's answers")
                    self._leave(member.teacher, LedgerKey.of(member.teacher, self._task), prompts)

    def _leave(self, people: Selective, key: LedgerKey, prompts: Collection[Prompt]) -> None:
        unanswered = list(self._ledger.unanswered(key, prompts))
        ready = {prompt.hash for prompt in people.answerable(unanswered)}
        if waiting := [prompt for prompt in unanswered if prompt.hash not in ready]:
            try:
                people.leave(waiting)
            except AwaitingPeople as error:
                self._waiting = error

    def gold_first(self, gold: Sequence[SealedGold], transfer: Collection[Prompt]) -> dict[str, object]:
        """Ask gold, without which there is no evaluation; judge the teacher; then say what the rest may cost.

        Raises GateRefused where the teacher is below the bar, TeacherUnavailable where gold lacks an answer,
        AwaitingPeople where an ensemble's people have yet to answer.
        """
        prompts = [item.prompt for item in gold]
        self._tell_bound(PromptStream.of(prompts, transfer))
        try:
            self._put(prompts, may_lack=0)
        except AwaitingPeople as error:
            raise self._waiting or error from None
        fitness = self._judge(gold)
        found: dict[str, object] = {"fitness": fitness.to_json()} if fitness else {}
        if self._labelling.repeats:
            found["repeatability"] = self._repeat(prompts[: self._labelling.repeats])
        self._estimate(prompts, transfer)
        return found

    def _estimate(self, asked: Sequence[Prompt], transfer: Collection[Prompt]) -> None:
        """What the transfer set will probably cost, from the answers to gold."""
        if not self._teacher.paid:
            return
        shares = shares_of(self._teacher, self._task, self._ledger, asked, transfer)
        found = estimate_of(shares, max(report.at_once for report in self.reports), _LEAST_SAMPLE)
        if found is not None and found.cost > 0:
            tell_estimate(found, self._labelling.budget, self._ledger.spent(), self._progress)

    def calibration(self, prompts: Sequence[Prompt]) -> None:
        """Ask gold's calibration part, where there is one.

        Raises TeacherUnavailable where one lacks an answer: those that teachers fail on aren't like the rest.
        """
        if prompts:
            self._put(prompts, may_lack=0)

    def transfer(self, prompts: Collection[Prompt]) -> None:
        """Ask the transfer set. Raises TeacherUnavailable where too much of it lacks an answer."""
        self._put(prompts, may_lack=int(self._labelling.max_failed_share * len(prompts)))

    def within_share(self, real: Collection[Prompt], written: Sequence[Prompt]) -> Collection[Prompt]:
        """Real prompts and what was `written` beside them, without what is too much beside usable answers."""
        synthesis = self._programme.config.synthesis
        if synthesis is None or not written:
            return PromptStream.of(real, written)
        usable = sum(len(self._usable(part)) for part in in_parts(real, _LOOKED_UP))
        allowed = most_beside(usable, synthesis.share)
        answered = self._usable(written)
        taught = [prompt for prompt in written if prompt.hash in answered]
        if len(taught) <= allowed:
            return PromptStream.of(real, written)
        self._progress.warn(
            f"{len(taught) - allowed:,} answered synthetic prompts are left out of the transfer set: beside "
            f"{usable:,} usable answers to real ones synthesis.share {synthesis.share:g} allows {allowed:,}"
        )
        dropped = {prompt.hash for prompt in taught[allowed:]}
        return PromptStream.of(real, [prompt for prompt in written if prompt.hash not in dropped])

    def _usable(self, prompts: Sequence[Prompt]) -> set[str]:
        """Hashes of those whose answer can teach."""
        hashes = [prompt.hash for prompt in prompts]
        found = self._ledger.read_answers(self._key, ("hash", "status"), hashes).to_pydict()
        pairs = zip(found["hash"], found["status"], strict=True)
        return {hash_ for hash_, status in pairs if status == AnswerStatus.OK}

    def _asked(self, teacher: Teacher, prompts: Collection[Prompt]) -> LabellingReport:
        programme, task, ledger, progress = self._programme, self._task, self._ledger, self._progress
        return put(programme, teacher, prompts, task, ledger, progress, self._rights, self._engine)

    def _put(self, prompts: Collection[Prompt], may_lack: int) -> None:
        report = self._asked(self._teacher, prompts)
        self.reports.append(report)
        _tell_calls(report, self._progress)
        if report.failed > may_lack:
            named = report.failed_prompts[:_NAMED]
            names = {hash_: prompt.id for prompt in prompts if (hash_ := prompt.hash) in named}
            first = ", ".join(names[hash_] for hash_ in named)
            raise TeacherUnavailable(
                f"{report.failed:,} of {len(prompts):,} prompts have no answer after all their tries (ids "
                f"{first}{', ...' if report.failed > _NAMED else ''}); none of gold may lack one, and of the "
                f"rest a share of {self._labelling.max_failed_share:g} (labelling.max_failed_share). Mend: "
                "run `tutelage label` again, what was answered is kept; where the same ones fail each time, "
                "raise that share, or take them out of gold"
            )
        if report.failed:
            self._progress.warn(
                f"{report.failed:,} prompts have no answer after all their tries and are left out "
                "(`tutelage label --force` asks them again)"
            )

    def _tell_bound(self, prompts: Collection[Prompt]) -> None:
        if self._labelling.budget is None and self._teacher.paid:
            unanswered = self._ledger.unanswered(self._key, prompts)
            tell_bound(self._teacher, unanswered, None, self._progress)

    def _judge(self, gold: Sequence[SealedGold]) -> Decision | None:
        """The gate `teacher`, journalled; None where no bar is set."""
        bar = self._labelling.min_teacher_accuracy
        if bar is None:
            return None
        from tutelage.evaluation import fitness_decision  # here, so that `tutelage status` needn't load it

        answers = self._ledger.get_many(self._key, [item.prompt.hash for item in gold])
        values = [answers[item.prompt.hash].value for item in gold]
        decision = fitness_decision(self._task, values, [item.value for item in gold], bar)
        self._programme.journal.append("gate", **decision.to_json())
        decision.require()
        self._progress.note(decision.evidence[0].reason)
        return decision

    def _repeat(self, prompts: Sequence[Prompt]) -> dict[str, object]:
        """Ask some of gold a second time: {agreeing, asked}."""
        again = asked_again(self._teacher)
        self._asked(again, prompts)
        hashes = [prompt.hash for prompt in prompts]
        first = self._ledger.get_many(self._key, hashes)
        second = self._ledger.get_many(LedgerKey.of(again, self._task), hashes)
        agreeing, both = repeated(self._task, first, second, hashes)
        if both:
            self._progress.note(
                f"asked twice, the teacher agrees with itself on {agreeing:,} of {both:,} "
                f"({agreeing / both:.1%}), which bounds what agreement with it can mean"
            )
        return {"agreeing": agreeing, "asked": both}

    def export(
        self,
        transfer: Collection[Prompt],
        gold: Sequence[Prompt],
        human: Mapping[str, Value],
        corrections: Mapping[str, Value],
        written: Mapping[str, str],
    ) -> dict[str, int]:
        """Write the transfer set and the answers to gold, which only evaluation reads.

        `written` says of synthetic prompts, by hash, under which rights they were written: answers to them
        stand under those too. Returns how many rows of the transfer set stand under which rights.
        """
        import pyarrow as pa

        programme, ledger, key = self._programme, self._ledger, self._key
        faults.point("exporting")
        counts = Counter[str]()
        with storage.table_writer(programme.transfer, answered_schema()) as write:
            for batch in export_batches(transfer, ledger, key, self._task, human, corrections):
                table = with_bases(pa.Table.from_batches([batch]), written)
                counts.update(basis_counts(table))
                write(table)
        storage.write_table(programme.gold_answers, export_answers(gold, ledger, key, self._task, {}))
        with storage.table_writer(programme.quarantined, quarantined_schema()) as write:
            for table in export_quarantined(transfer, ledger, key):
                write(table)
        return dict(counts)

    def export_calibration(self, prompts: Sequence[Prompt]) -> None:
        """Write the answers to gold's calibration part, which only certificates read; if there is one."""
        if self._programme.config.gold.calibration is not None:
            table = export_answers(prompts, self._ledger, self._key, self._task, {})
            storage.write_table(self._programme.calibration_answers, table)


def _summary(reports: Sequence[LabellingReport]) -> str:
    asked, reused = (sum(getattr(report, name) for report in reports) for name in ("asked", "reused"))
    cost = sum(report.cost for report in reports)
    statuses, models = Counter[str](), Counter[str]()
    for report in reports:
        statuses.update(report.by_status)
        models.update(report.other_models)
    parts = [f"{asked:,} asked of gold and traffic, {reused:,} answered before, ${cost:.4f}"]
    if quarantined := statuses.total() - statuses["ok"]:
        parts.append(f"{quarantined:,} quarantined (answers/quarantined.parquet)")
    if models:
        parts.append(f"answered by another model: {', '.join(sorted(models))}")
    return "; ".join(parts)


def _pace(per_second: float) -> str:
    return f"{per_second:,.0f} answers/s" if per_second >= 10 else f"{60 * per_second:.0f} answers a minute"


def _tell_calls(report: LabellingReport, progress: Progress) -> None:
    """How the asking went: pace, latency, calls made again, how far the teacher repeats itself."""
    parts = []
    if report.latency_p50 is not None and report.at_once > 1:
        parts.append(
            f"{_pace(report.asked / max(report.seconds, 1e-9))}, up to {report.at_once:,} at once, "
            f"latency {report.latency_p50:.2f} s (95% within {report.latency_p95:.2f} s)"
        )
    if report.again:
        of = ", ".join(f"{kind} {count:,}" for kind, count in sorted(report.faults.items()))
        parts.append(f"{report.again:,} calls made again ({of})")
    if report.repeatability is not None:
        parts.append(f"{report.repeatability:.1%} of pairs of samples agree")
    if parts:
        progress.note("; ".join(parts))
    if report.unmetered:
        progress.warn(
            f"{report.unmetered:,} answers came without a usable count of tokens, and "
            f"${report.unmetered_cost:.4f} is booked for them: of an endpoint's, the most that they can cost"
        )


LABEL = Stage(
    name="label",
    inputs=_inputs,
    outputs=lambda programme: [
        programme.answers,
        programme.transfer,
        programme.gold_answers,
        *([programme.calibration_answers] if programme.config.gold.calibration is not None else []),
        programme.quarantined,
        programme.teacher_record,
    ],
    work=_work,
)
