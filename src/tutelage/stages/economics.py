"""What a student costs and saves: before any spend from configuration and prices, afterwards as measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.data import read_calibration, read_sealed, read_training
from tutelage.economics import Economics, Ends, Origin, Quantities, Quantity, economics
from tutelage.errors import UsageError
from tutelage.labelling import AnswerLedger, TeacherSummary
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Silent
from tutelage.stages.answer_costs import AnswerCosts
from tutelage.stages.asking import prompted_task
from tutelage.stages.gold import label_set, read_gold_rows
from tutelage.stages.label import LABEL
from tutelage.stages.planned import planned_prompts
from tutelage.stages.sources import require_usable
from tutelage.stages.subjects import Evaluated, Subject, left_by
from tutelage.stages.traffic import read_traffic
from tutelage.stages.train import TRAIN
from tutelage.tasks import task_from_config

if TYPE_CHECKING:
    from tutelage.records import AnyGold, Prompt
    from tutelage.tasks import Task

_SAMPLE = 500  # texts whose length tells that of all
_MINUTES = {  # of a person, for one gold example
    "classify": Ends(0.2, 0.5, 1.5),
    "judge": Ends(0.5, 1.0, 3.0),
    "extract": Ends(1.0, 2.0, 5.0),
    "generate": Ends(2.0, 4.0, 10.0),
}
# Of students that nobody has timed yet, by family: requests a second on one core, and seconds of training
# (with the control) for 1,000 prompts. docs/results.md has what ours took.
_RATES = {
    "static": Ends(500.0, 2_000.0, 50_000.0),
    "encoder": Ends(60.0, 250.0, 600.0),
    "seq2seq": Ends(0.2, 1.0, 10.0),
    "causal": Ends(0.2, 1.0, 10.0),
}
_TRAINING = {
    "static": Ends(0.8, 2.5, 10.0),
    "encoder": Ends(6.0, 15.0, 60.0),
    "seq2seq": Ends(60.0, 600.0, 6_000.0),
    "causal": Ends(60.0, 600.0, 6_000.0),
}


def programme_economics(programme: Programme, metrics: Mapping[str, Any] | None = None) -> Economics:
    """The economics of a programme: measured figures where its folder has them, else reckoned and assumed.

    `metrics` are the evaluation's, by default those that the last one left, where it is of the student that
    there is. Raises UsageError where the traffic a month isn't said or what an answer costs can't be known,
    and what reading the sources raises.
    """
    if programme.config.economics.monthly is None:
        raise UsageError(
            "how many requests a month there are isn't said. Mend: --monthly 300000, or economics.monthly in "
            "tutelage.yaml"
        )
    return economics(_Gathering(programme, _left_metrics(programme) if metrics is None else metrics).all())


def _left_metrics(programme: Programme) -> Mapping[str, Any]:
    """The last evaluation's, where the student it measured is the one that there is.

    What else it depends on may have changed: neither terms nor assumptions make a student slower.
    """
    from tutelage.stages.evaluate import EVALUATE  # which asks this module for its section

    state, path = EVALUATE.state_path(programme), programme.evaluation / "metrics.json"
    if not (state.exists() and path.exists()) or TRAIN.reason_to_run(programme) is not None:
        return {}
    measured = storage.read_json(state)["inputs"].get(f"students/{programme.config.student.run}")
    same = measured == TRAIN.left(programme, programme.student)
    return storage.read_json(path) if same else {}


@dataclass(frozen=True)
class _Texts:
    """What is known of the programme's texts: the task as asked, a sample, and how many there are in all."""

    task: Task
    gold: Sequence[AnyGold]
    traffic: Sequence[Prompt]
    sealed: int
    training: int
    prompts: int
    source: str


def _texts(programme: Programme) -> _Texts:
    """From what `gold` and `collect` left, else from the sources."""
    config = programme.config
    if programme.seal.exists():
        sealed = read_sealed(programme.sealed, programme.seal)
        apart = read_calibration(programme.gold_calibration, programme.seal)
        training = read_training(programme.gold_training)
        task, source = prompted_task(programme, training), "sealed"
    else:
        gold = read_gold_rows(programme, Silent())
        sealed, training, apart = list(gold.sealed), list(gold.training), list(gold.calibration)
        unprompted = task_from_config(config.task, label_set(programme, gold), programme.folder)
        task, source = prompted_task(programme, training, task=unprompted), "gold's file"
    known: list[AnyGold] = [*sealed, *apart, *training]
    texts = {item.prompt.text for item in known}
    traffic: Collection[Prompt]
    if programme.prompts.exists():
        traffic = planned_prompts(programme)  # each text once
        prompts = len(traffic) + len(texts.difference(prompt.text for prompt in traffic))
    else:
        rows = read_traffic(programme, Silent())
        require_usable(config.traffic.named, len(rows.accepted), rows.total)
        traffic = rows.accepted
        prompts = len(texts.union(prompt.text for prompt in traffic))
    return _Texts(
        task=task,
        gold=_spread([*sealed, *training]),
        traffic=_spread(traffic),
        sealed=len(sealed) + len(apart),
        training=len(training),
        prompts=prompts,
        source=source,
    )


def _spread(items: Collection[Any]) -> Sequence[Any]:
    """A sample from all over them."""
    step = max(1, len(items) // _SAMPLE)
    return list(islice(items, 0, step * _SAMPLE, step))


class _Gathering:
    """Every quantity of a programme, from the best source that there is."""

    def __init__(self, programme: Programme, metrics: Mapping[str, Any]) -> None:
        self._programme, self._assumed = programme, programme.config.economics
        self._texts = _texts(programme)
        arms = metrics.get("arms", {})
        self._student = _footprint(arms, "student")
        teacher = _footprint(arms, "teacher")
        rate = teacher.get("latency_p50_ms")
        path = left_by(TRAIN, programme, programme.student / "run.json")
        self._run = None if path is None else storage.read_json(path)
        kind = programme.config.task.type
        given = self._assumed.minutes_per_label
        self._minutes = Quantity.of(
            "minutes of a person for one gold label",
            "min",
            _MINUTES[kind] if given is None else given,
            Origin.ASSUMED if given is None else Origin.GIVEN,
            "usual of its task" if given is None else "minutes_per_label",
        )
        self._answers = AnswerCosts(
            teacher=programme.config.teacher,
            assumed=self._assumed,
            task=self._texts.task,
            gold=self._texts.gold,
            traffic=self._texts.traffic,
            prompts=self._texts.prompts,
            minutes=Ends(self._minutes.low, self._minutes.likely, self._minutes.high),
            ledger=_ledger(programme),
            labelled=left_by(LABEL, programme, programme.teacher_record) is not None,
            rate=None if not rate else 1_000.0 / rate,
            joules=teacher.get("joules"),
        )

    def all(self) -> Quantities:
        """All of them."""
        rate, hours = self._student_rate(), self._training_hours()
        return Quantities(
            requests=self._stated("monthly", "requests a month", ""),
            escalation=self._stated("escalation", "share passed on to the teacher", "share"),
            audit=self._stated("audit", "share audited by the teacher", "share"),
            teacher_per_1000=self._answers.live(),
            teacher_fall=self._stated("teacher_price_fall", "fall of the teacher's price a year", "share"),
            student_rate=rate,
            machine_hour=self._stated("machine_hour", "an hour of the student's machine", "$"),
            machines=self._machines(),
            utilisation=self._stated("utilisation", "share of its speed in use", "share"),
            person_hour=self._stated("person_hour", "an hour of a person", "$"),
            sealed_examples=self._counted("sealed gold examples", self._texts.sealed),
            training_examples=self._counted("gold examples to learn from", self._texts.training),
            gold_minutes=self._minutes,
            labelling_cost=self._answers.labelling(),
            training_hours=hours,
            training_hour=self._training_hour(),
            setup_hours=self._stated("setup_hours", "people's hours to set it up", "h"),
            governance_hours=self._stated("governance_hours", "people's hours of governance", "h"),
            retrain_months=self._stated("retrain_months", "months between trainings", ""),
            relabelled=self._stated("relabelled", "share of labels anew each time", "share"),
            retrain_hours=self._stated("retrain_hours", "people's hours each time", "h"),
            student_joules=self._student_joules(rate),
            teacher_wh=self._answers.watt_hours(),
            training_wh=self._training_wh(hours),
            grams_per_kwh=self._stated("grams_per_kwh", "CO2 equivalent of a kilowatt hour", "g"),
        )

    def _stated(self, name: str, text: str, unit: str) -> Quantity:
        """What the configuration says, or its default."""
        given = name in self._assumed.model_fields_set
        origin = Origin.GIVEN if given else Origin.ASSUMED
        return Quantity.of(text, unit, getattr(self._assumed, name), origin, f"economics.{name}")

    def _counted(self, text: str, count: int) -> Quantity:
        return Quantity.of(text, "", Ends.at(count), Origin.MEASURED, self._texts.source)

    def _machines(self) -> Quantity:
        given = "machines" in self._assumed.model_fields_set
        origin = Origin.GIVEN if given else Origin.ASSUMED
        ends = Ends.at(self._assumed.machines)
        return Quantity.of("machines that always run", "", ends, origin, "economics.machines")

    def _training_hour(self) -> Quantity:
        name = "machine_hour" if self._assumed.training_hour is None else "training_hour"
        return self._stated(name, "an hour of the machine that trains", "$")

    def _student_rate(self) -> Quantity:
        text, family = "requests a second of one machine", self._programme.config.student.family
        median, slow = (self._student.get(f"latency_{name}_ms") for name in ("p50", "p95"))
        if not median or not slow:
            source = f"a usual speed of family {family}"
            return Quantity.of(text, "", _RATES[family], Origin.ASSUMED, source)
        likely = 1_000.0 / median
        low, high = 1_000.0 / max(slow, median), max(likely, self._student.get("throughput") or 0.0)
        return Quantity.of(text, "", Ends(low, likely, high), Origin.MEASURED, "its latency on one thread")

    def _training_hours(self) -> Quantity:
        text, config = "hours of one training, with its control", self._programme.config.student
        if self._run is not None:
            ends = Ends.at(_trained_seconds(self._run) / 3_600.0)
            return Quantity.of(text, "h", ends, Origin.MEASURED, "its record")
        ends = _TRAINING[config.family].scaled(self._texts.prompts / 1_000.0 / 3_600.0)
        return Quantity.of(text, "h", ends, Origin.ASSUMED, f"a usual time of family {config.family}")

    def _student_joules(self, rate: Quantity) -> Quantity:
        text, metered = "energy of one answer of the student", self._student.get("joules")
        if metered is not None:
            return Quantity.of(text, "J", Ends.at(metered), Origin.MEASURED, "the machine's counters")
        ends = Ends(*self._assumed.watts).over(_ends(rate))
        return Quantity.of(text, "J", ends, Origin.RECKONED, f"watts, and {rate.source}")

    def _training_wh(self, hours: Quantity) -> Quantity:
        text, metered = "energy of one training", (self._run or {}).get("energy")
        # A training that was killed and went on was metered from then on alone.
        if self._run is not None and metered and metered["seconds"] >= _trained_seconds(self._run):
            ends = Ends.at(metered["joules"] / 3_600.0)
            return Quantity.of(text, "Wh", ends, Origin.MEASURED, metered["source"])
        ends = Ends(*self._assumed.watts).times(_ends(hours))
        return Quantity.of(text, "Wh", ends, Origin.RECKONED, f"watts, and {hours.source}")


def _trained_seconds(run: Mapping[str, Any]) -> float:
    """Of both arms."""
    return sum(float(run[arm]["record"]["seconds"]) for arm in ("student", "control"))


def _footprint(arms: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return (arms.get(name) or {}).get("footprint") or {}


def _ends(quantity: Quantity) -> Ends:
    return Ends(quantity.low, quantity.likely, quantity.high)


def _ledger(programme: Programme) -> dict[str, TeacherSummary]:
    if not programme.answers.exists():
        return {}
    with AnswerLedger(programme.answers) as ledger:
        return {row.teacher: row for row in ledger.summary()}


def _sections(programme: Programme, evaluated: Evaluated) -> Mapping[str, Any]:
    if programme.config.economics.monthly is None:
        return {"economics": None}
    return {"economics": programme_economics(programme, evaluated.metrics).to_json()}


ECONOMICS = Subject(
    name="economics",
    inputs=lambda programme: {"economics": fingerprint(programme.config.economics)},
    sections=_sections,
)
