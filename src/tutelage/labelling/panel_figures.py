"""What an ensemble's answers tell of its members: agreement, kappa, the judge's part, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tutelage.labelling.adjudication import Adjudication, disputed
from tutelage.labelling.combining import disagree
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.panel import Panel, read_voices
from tutelage.records import Prompt, Value

if TYPE_CHECKING:
    from tutelage.tasks import Task


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Two members over the prompts of which both have a usable answer.

    `kappa` is Cohen's (1960), agreement beyond chance; None where values are open or chance alone agrees
    always.
    """

    one: str
    other: str
    both: int
    agreement: float | None
    kappa: float | None


@dataclass(slots=True)
class PanelFigures:
    """`asked` prompts went to the judge, who sided with each member so often, and with none `with_none`.

    `cost` is by member, and under `the judge`, in US dollars: what their answers to these prompts cost,
    whenever they were given. Failed calls stand in the ledger's own sums.
    """

    pairs: list[PairFigures] = field(default_factory=list)
    asked: int = 0
    sided_with: dict[str, int] = field(default_factory=dict)
    with_none: int = 0
    cost: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `answers/teacher.json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """In words, a line each."""
        said = []
        for pair in self.pairs:
            if pair.agreement is not None:
                kappa = "" if pair.kappa is None else f", kappa {pair.kappa:.2f}"
                said.append(
                    f"{pair.one} and {pair.other} agree on {pair.agreement:.1%} of {pair.both:,}{kappa}"
                )
        if self.asked:
            sides = ", ".join(f"with {name} {count:,}" for name, count in self.sided_with.items())
            said.append(f"the judge was asked {self.asked:,} times: {sides}, with none {self.with_none:,}")
        return said


def panel_figures(prompts: Iterable[Prompt], panel: Panel, task: Task, ledger: AnswerLedger) -> PanelFigures:
    """Read from the ledger what the members and the judge have said of `prompts`, each text once."""
    names = [member.name for member in panel.members]
    costs = dict.fromkeys(names, 0.0)
    pairs = {pair: _Pair() for pair in combinations(range(len(names)), 2)}
    judge = _Judge(panel, task, ledger) if panel.judge is not None else None
    for prompt, voices in read_voices(prompts, panel, task, ledger):
        for voice in voices:
            costs[voice.member] += 0.0 if voice.answer is None else voice.answer.usage.cost
        for (one, other), pair in pairs.items():
            pair.add(task, voices[one].value, voices[other].value)
        if judge is not None and (values := disagree(task, voices)):
            judge.add(prompt, values, [(voice.member, voice.value) for voice in voices])
    figures = PanelFigures(
        pairs=[pair.figures(names[one], names[other], task) for (one, other), pair in pairs.items()],
        cost=costs,
    )
    if judge is not None:
        judge.tell(figures, names)
    return figures


class _Pair:
    """Counts of two members' values."""

    def __init__(self) -> None:
        self._both = self._agree = self._same = 0
        self._one: Counter[Value] = Counter()
        self._other: Counter[Value] = Counter()

    def add(self, task: Task, one: Value | None, other: Value | None) -> None:
        if one is None or other is None:
            return
        self._both += 1
        self._agree += task.compare(one, other).agree
        if task.labels:
            self._same += one == other
            self._one[one] += 1
            self._other[other] += 1

    def figures(self, one: str, other: str, task: Task) -> PairFigures:
        if not self._both:
            return PairFigures(one, other, 0, None, None)
        kappa = None
        if task.labels:
            chance = sum(count * self._other[value] for value, count in self._one.items()) / self._both**2
            kappa = None if chance >= 1.0 else (self._same / self._both - chance) / (1.0 - chance)
        return PairFigures(one, other, self._both, self._agree / self._both, kappa)


class _Judge:
    """What the judge decided, looked up in parts."""

    def __init__(self, panel: Panel, task: Task, ledger: AnswerLedger) -> None:
        assert panel.judge is not None  # noqa: S101 - the caller's doing
        self._key, self._task, self._ledger = LedgerKey.of(panel.judge, Adjudication(task)), task, ledger
        self._waiting: dict[str, list[tuple[str, Value | None]]] = {}
        self._asked = self._with_none = 0
        self._sided: Counter[str] = Counter()
        self._cost = 0.0

    def add(self, prompt: Prompt, values: Sequence[Value], said: list[tuple[str, Value | None]]) -> None:
        self._waiting[disputed(prompt, values).hash] = said
        if len(self._waiting) >= 1_000:
            self._look()

    def _look(self) -> None:
        for hash_, answer in self._ledger.get_many(self._key, self._waiting).items():
            self._asked += 1
            self._cost += answer.usage.cost
            decided = answer.value
            if decided is None:
                continue
            sides = [
                name
                for name, value in self._waiting[hash_]
                if value is not None and self._task.compare(value, decided).agree
            ]
            self._sided.update(sides)
            self._with_none += not sides
        self._waiting = {}

    def tell(self, figures: PanelFigures, names: Sequence[str]) -> None:
        self._look()
        figures.asked, figures.with_none = self._asked, self._with_none
        figures.sided_with = {name: self._sided[name] for name in names}
        figures.cost["the judge"] = self._cost
