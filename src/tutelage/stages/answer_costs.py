"""What a teacher's answers cost, in live traffic and to teach. Measured, or reckoned beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from tutelage.config import EconomicsConfig
from tutelage.config.teachers import (
    USUAL_VOTES,
    EndpointConfig,
    HumanTeacherConfig,
    OpenAITeacherConfig,
    SoleTeacherConfig,
    TeacherConfig,
    sole_teachers,
)
from tutelage.economics import Ends, Origin, Quantity, price_of
from tutelage.errors import UsageError
from tutelage.labelling import TeacherSummary
from tutelage.teachers import batch_discount_of, tariff_of

if TYPE_CHECKING:
    from tutelage.config import PriceConfig
    from tutelage.records import AnyGold, Prompt
    from tutelage.tasks import Task

# Bytes of a token, from plain English to text that tokenizers cut small; of an answer's JSON they are fewer.
_PROMPT_BYTES = (5.5, 4.2, 3.0)
_ANSWER_BYTES = (4.5, 3.3, 2.5)
_REASONS_TOKENS = (20.0, 60.0, 150.0)  # of one to three sentences
# Keys of `extra` that have a model think, and the share of max_output_tokens that its thoughts then take.
_THINKS = {"reasoning", "reasoning_effort", "thinking", "thinking_config", "enable_thinking"}
_THOUGHT = (0.02, 0.2, 1.0)
_LEAST_CACHED = 1_024  # tokens that never change, from which providers' prompt caches keep them
_MESSAGE_TOKENS = 4.0  # that a chat template adds to each message
_DRIFT = 0.1  # live prompts may be longer or shorter by this share than those that were labelled
_DISPUTED = Ends(0.05, 0.2, 0.5)  # share of prompts that a committee's judge decides
# Requests a second on one core, of teachers that run here and that nobody has timed yet.
_LOCAL_RATES = {"encoder": Ends(40.0, 130.0, 400.0), "transformers": Ends(3.0, 20.0, 130.0)}


@dataclass(frozen=True, slots=True)
class _Part:
    """What one teacher adds to the cost of an answer."""

    ends: Ends
    origin: Origin
    source: str


@dataclass(frozen=True)
class AnswerCosts:
    """The costs of a teacher's answers, in US dollars, from what is known of the asking.

    `task` is as the teacher is asked it, `gold` and `traffic` are a sample of texts, `prompts` is how many
    are to be labelled, `minutes` a person's for one. `ledger` has what was spent, by teacher, where any was,
    and `labelled` tells that labelling is done;
    `rate` is the teacher's measured speed in requests a second, `joules` the energy of one answer, where it
    runs here and was timed and metered.
    """

    teacher: TeacherConfig
    assumed: EconomicsConfig
    task: Task
    gold: Sequence[AnyGold]
    traffic: Sequence[Prompt]
    prompts: int
    minutes: Ends
    ledger: Mapping[str, TeacherSummary]
    labelled: bool
    rate: float | None = None
    joules: float | None = None

    def live(self) -> Quantity:
        """1,000 answers in live traffic: one sample of each prompt, no batch.

        As `economics.teacher_per_1000` says; else as the ledger measured; else reckoned from lengths and
        prices. Raises UsageError where it can't be known, ConfigError where a price is missing.
        """
        text = "1,000 answers of the teacher"
        if (given := self.assumed.teacher_per_1000) is not None:
            return Quantity.of(text, "$", given, Origin.GIVEN, "economics.teacher_per_1000")
        together, origins, sources = Ends.at(0.0), set(), []
        for one, share in self._shares():
            part = self._part(one)
            together = together.plus(part.ends.times(share))
            origins.add(part.origin)
            sources.append(part.source)
        origin = origins.pop() if len(origins) == 1 else Origin.RECKONED
        return Quantity.of(text, "$", together.scaled(1_000.0), origin, "; ".join(dict.fromkeys(sources)))

    def labelling(self) -> Quantity:
        """All answers that teach, and those to gold: as spent, or reckoned where nothing is yet."""
        text = "the teacher's answers to learn from"
        answers = sum(row.answers for row in self.ledger.values())
        people = any(isinstance(one, HumanTeacherConfig) for one, _ in self._shares())
        if self.labelled and not people:
            spent = sum(row.spent for row in self.ledger.values())
            return Quantity.of(text, "$", Ends.at(spent), Origin.MEASURED, f"the ledger, {answers:,} answers")
        total = Ends.at(0.0)
        for one, share in self._shares():
            if isinstance(one, HumanTeacherConfig):
                total = total.plus(self._by_people().times(share))
            elif isinstance(one, EndpointConfig) and (price := tariff_of(one).price) is not None:
                total = total.plus(self._each(one, price).times(share))
        source = f"{self.prompts:,} prompts, by " + (
            f"{answers:,} answers so far" if answers else "their lengths"
        )
        return Quantity.of(text, "$", total.scaled(self.prompts), Origin.RECKONED, source)

    def _each(self, one: EndpointConfig, price: PriceConfig) -> Ends:
        """What one prompt costs to label: as those did that it has answered so far, else by lengths."""
        row = self.ledger.get(f"{one.type}:{one.model}")
        if row is None or not row.answers:
            return self._by_length(one, price).ends.times(self._samples(one))
        each = row.spent / row.answers
        return Ends(each * (1 - _DRIFT), each, each * (1 + _DRIFT))

    def watt_hours(self) -> Quantity:
        """Energy of one answer: as metered, by the speed of a model that runs here, else as assumed.

        People's isn't reckoned.
        """
        text = "energy of one answer of the teacher"
        if self.joules is not None:
            ends = Ends.at(self.joules / 3_600.0)
            return Quantity.of(text, "Wh", ends, Origin.MEASURED, "the machine's counters")
        together, origin, source = Ends.at(0.0), Origin.ASSUMED, "economics.teacher_wh"
        for one, share in self._shares():
            if isinstance(one, HumanTeacherConfig):
                continue
            if (rates := self._rates(one)) is None:
                together = together.plus(Ends(*self.assumed.teacher_wh).times(share))
            else:
                together = together.plus(Ends(*self.assumed.watts).over(rates).scaled(1.0 / 3_600.0))
                origin, source = Origin.RECKONED, "watts, and the speed of what runs here"
        return Quantity.of(text, "Wh", together, origin, source)

    def _rates(self, one: SoleTeacherConfig) -> Ends | None:
        """Answers a second of a teacher that runs here; None where nothing is known of it."""
        kind = _LOCAL_RATES.get(one.type)
        return Ends.at(self.rate) if kind is not None and self.rate is not None else kind

    def _shares(self) -> list[tuple[SoleTeacherConfig, Ends]]:
        """Each teacher with the share of prompts that it answers."""
        found = [(one, Ends.at(1.0)) for one in sole_teachers(self.teacher)]
        if self.teacher.type == "ensemble" and self.teacher.judge is not None:
            found[-1] = (self.teacher.judge, _DISPUTED)
        return found

    def _part(self, one: SoleTeacherConfig) -> _Part:
        if isinstance(one, HumanTeacherConfig):
            return _Part(self._by_people(), Origin.RECKONED, "people's minutes and the price of their hour")
        if isinstance(one, EndpointConfig) and (price := tariff_of(one).price) is not None:
            row = self.ledger.get(f"{one.type}:{one.model}")
            return (
                _booked(one, row, price) if row is not None and row.answers else self._by_length(one, price)
            )
        rates = self._rates(one)
        if rates is None:
            raise UsageError(
                f"what an answer of the teacher (type {one.type}) costs in live traffic can't be told from "
                "here: it has no price of tokens. Mend: set economics.teacher_per_1000, US dollars for 1,000 "
                "answers; of a model on your own machines, of their hours"
            )
        seconds = Ends.at(1.0).over(rates).over(Ends(*self.assumed.utilisation))
        each = seconds.times(Ends(*self.assumed.machine_hour)).scaled(1.0 / 3_600.0)
        speed = "its measured speed" if self.rate is not None else "a usual speed of its kind"
        return _Part(each, Origin.RECKONED, f"{speed} on a machine like the student's")

    def _by_people(self) -> Ends:
        return self.minutes.times(Ends(*self.assumed.person_hour)).scaled(1.0 / 60.0)

    def _by_length(self, one: EndpointConfig, price: PriceConfig) -> _Part:
        """From prompts' bytes and the price. At the low end what never changes is read from the cache."""
        if not self.traffic or not self.gold:
            raise UsageError("there is no usable prompt to reckon with. Mend: run `tutelage check`")
        rendered = [self.task.render(prompt.text) for prompt in self.traffic]
        whole = fmean(_bytes(message["content"] for message in messages) for messages in rendered)
        fixed = _bytes(message["content"] for message in rendered[0][:-1])
        inputs = [whole / size + _MESSAGE_TOKENS * len(rendered[0]) for size in _PROMPT_BYTES]
        if one.structured:  # some providers count the schema
            inputs[2] += _bytes([json.dumps(self.task.json_schema())]) / _PROMPT_BYTES[2]
        answers = fmean(_bytes([self.task.answer_text(item.value)]) for item in self.gold)
        reasons = _REASONS_TOKENS if str(self.task.prompting.rationale) != "none" else (0.0, 0.0, 0.0)
        thinks = one.max_output_tokens if _THINKS.intersection(one.extra) else 0
        outputs = [
            answers / size + more + share * thinks
            for size, more, share in zip(_ANSWER_BYTES, reasons, _THOUGHT, strict=True)
        ]
        low, likely, high = (
            into * price.input + out * price.output for into, out in zip(inputs, outputs, strict=True)
        )
        if price.cached_input is not None and fixed / _PROMPT_BYTES[1] >= _LEAST_CACHED:
            low -= fixed / _PROMPT_BYTES[0] * max(price.input - price.cached_input, 0.0)
        source = (
            f"about {inputs[1]:,.0f} tokens in and {outputs[1]:,.0f} out, by the length of {len(rendered):,} "
            f"prompt{'s' if len(rendered) > 1 else ''}, at ${price.input:g} and ${price.output:g} a million"
            f"{_listing(one)}"
        )
        if thinks:
            source += "; how long it thinks is a guess"
        return _Part(Ends(low, likely, high).scaled(1e-6), Origin.RECKONED, source)

    def _samples(self, one: EndpointConfig) -> Ends:
        """Calls for each prompt when it labels, with what a batch takes off."""
        if one.samples is not None or not self.task.labels:
            asked = Ends.at(one.samples or 1)
        elif isinstance(one, OpenAITeacherConfig) and one.logprobs and not self.task.multi_label:
            asked = Ends(1.0, 1.0, USUAL_VOTES)  # as many where log-probabilities don't come
        else:
            asked = Ends.at(USUAL_VOTES)
        return asked.scaled(1.0 - batch_discount_of(one)) if one.batch else asked


def _booked(one: EndpointConfig, row: TeacherSummary, price: PriceConfig) -> _Part:
    """From the ledger: what was booked for each answer; of votes and batches the tokens of one live call."""
    each, calls = row.cost / row.answers, max(row.calls, row.answers)
    if calls > row.answers or one.batch:
        each = price.of(row.input_tokens, row.output_tokens) / calls
    source = f"the ledger, {row.answers:,} answers; live prompts may differ by {_DRIFT:.0%}"
    return _Part(Ends(each * (1 - _DRIFT), each, each * (1 + _DRIFT)), Origin.MEASURED, source)


def _listing(one: EndpointConfig) -> str:
    """Which entry of the list of prices it is, where the configuration gives none, and how old."""
    listed = price_of(one.remote_host, one.model) if one.price is None else None
    if listed is None:
        return ""
    age = "more than a year ago: set teacher.price" if listed.stale() else ""
    return f" ({listed.entry}, read {listed.read}{', ' if age else ''}{age})"


def _bytes(texts: Iterable[str]) -> float:
    return float(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts))
