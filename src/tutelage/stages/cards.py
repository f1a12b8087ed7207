"""Having cards answered by the writer, behind the gates, and taking from its answers what may be taken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tutelage.config import SoleTeacherConfig
from tutelage.data import DuplicateIndex, Match, drop_repeats, exclude_gold, read_training
from tutelage.data.duplicates import reject
from tutelage.data.redaction import Redactor
from tutelage.data.sources import MOST_CHARACTERS, RejectReason
from tutelage.data.synthesis import Card, instruction, read_messages
from tutelage.data.synthetic import Kind, Synthetic
from tutelage.gates import Decision
from tutelage.labelling import AnswerLedger, LabellingReport, LedgerKey
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import SYNTHETIC, Answer, Prompt, Rejection, in_parts, storable, text_hash
from tutelage.scale import Engine
from tutelage.stages.asking import put
from tutelage.stages.findings import tell_bound
from tutelage.stages.label import require_gold
from tutelage.tasks import Generate
from tutelage.teachers import Teacher, TeacherContext

Ask = tuple[Kind, int]  # why, and how many prompts a card
_LOOKED_UP = 10_000  # real prompts that are looked up together
_AT_ONCE = 100  # prompts that are compared with an index of those before them


@dataclass(frozen=True)
class Desk:
    """The writer with one thing to do: as many prompts of a kind."""

    writer: Teacher
    task: Generate
    key: LedgerKey


@dataclass(frozen=True, slots=True)
class Written:
    """A card with the writer's answer, and under which rights it was given."""

    card: Card
    answer: Answer
    key: LedgerKey
    basis: str


class Cards:
    """Cards, the writer at its desks, and what it answered; one ledger and one budget for all."""

    def __init__(
        self,
        programme: Programme,
        config: SoleTeacherConfig,
        cards: Sequence[Card],
        ledger: AnswerLedger,
        rights: Decision,
        engine: Engine,
    ) -> None:
        self._programme, self._ledger, self._rights = programme, ledger, rights
        self._engine = engine
        self._cards = {(card.kind, card.count, card.prompt.hash): card for card in cards}
        training = read_training(programme.gold_training)
        self._desks: dict[Ask, Desk] = {}
        for kind, count in sorted({(card.kind, card.count) for card in cards}):
            task = Generate(instruction(kind, count))
            writer = engine.build_teacher(config, TeacherContext(task, training, programme.folder))
            self._desks[kind, count] = Desk(writer, task, LedgerKey.of(writer, task))

    def require_gold(self, progress: Progress) -> None:
        """The gold gate, once. Raises GateRefused where the writer costs money and gold is too small."""
        for desk in list(self._desks.values())[:1]:
            require_gold(self._programme, desk.writer, progress)

    def answered(self) -> list[Written]:
        """The cards that have a usable answer, in their order."""
        found: dict[tuple[Kind, int, str], Written] = {}
        for (kind, count), cards in self._by_desk(self._cards.values()).items():
            desk, hashes = self._desks[kind, count], [card.prompt.hash for card in cards]
            bases = self._ledger.bases(desk.key, hashes)
            for hash_, answer in self._ledger.get_many(desk.key, hashes).items():
                card = self._cards[kind, count, hash_]
                found[kind, count, hash_] = Written(card, answer, desk.key, bases.get(hash_, ""))
        return [found[place] for place in self._cards if place in found]

    def open(self) -> list[Card]:
        """The cards without an answer, in their order."""
        done = {(one.card.kind, one.card.count, one.card.prompt.hash) for one in self.answered()}
        return [card for place, card in self._cards.items() if place not in done]

    def tell_costs(self, cards: Sequence[Card], progress: Progress) -> None:
        """How many calls these are, and what they can cost at most."""
        most = 0.0
        for ask, some in self._by_desk(cards).items():
            writer, prompts = self._desks[ask].writer, [card.prompt for card in some]
            tell_bound(writer, prompts, self._programme.config.labelling.budget, progress)
            most += sum(writer.most_expensive([prompt]) for prompt in prompts) if writer.paid else 0.0
        wanted = sum(card.count for card in cards)
        told = f", for ${most:,.2f} at the very most" if most else ""
        progress.note(f"{len(cards):,} requests to the writer for {wanted:,} prompts{told}")

    def ask(self, cards: Sequence[Card], progress: Progress) -> list[LabellingReport]:
        """Have them answered. Raises as `label`; what was answered is kept."""
        return [
            put(
                self._programme,
                self._desks[ask].writer,
                [card.prompt for card in some],
                self._desks[ask].task,
                self._ledger,
                progress,
                self._rights,
                self._engine,
            )
            for ask, some in self._by_desk(cards).items()
        ]

    def _by_desk(self, cards: Iterable[Card]) -> dict[Ask, list[Card]]:
        found: dict[Ask, list[Card]] = {}
        for card in cards:
            found.setdefault((card.kind, card.count), []).append(card)
        return found


def prompts_of(written: Written, redactor: Redactor | None) -> tuple[list[Synthetic], list[Rejection]]:
    """The prompts in one answer, redacted as the traffic is; none where the writer declined or wrote none."""
    card, value = written.card, written.answer.value
    taken: list[Synthetic] = []
    rejected: list[Rejection] = []
    for text in read_messages(value, card.count) if isinstance(value, str) else ():
        text = storable(text).replace("\0", "")
        redacted = None if redactor is None else redactor.redact(text)
        prompt = _prompt(text if redacted is None else redacted.text, card)
        if redacted is not None and redacted.dropped:
            detail = f"it holds {', '.join(redacted.dropped)}"
            rejected.append(reject(prompt, RejectReason.PERSONAL_DATA, detail))
        elif len(prompt.text) > MOST_CHARACTERS:
            rejected.append(reject(prompt, RejectReason.TOO_LONG, f"{len(prompt.text):,} characters"))
        else:
            taken.append(_synthetic(prompt, written))
    return taken, rejected


def _prompt(text: str, card: Card) -> Prompt:
    subjects = {seed.subject for seed in card.seeds}
    subject = subjects.pop() if len(subjects) == 1 else ""
    return Prompt(f"{SYNTHETIC}-{text_hash(text)[:16]}", text, SYNTHETIC, card.slice, subject=subject)


def _synthetic(prompt: Prompt, written: Written) -> Synthetic:
    card = written.card
    return Synthetic(
        prompt,
        card.kind,
        tuple(seed.hash for seed in card.seeds),
        card.prompt.hash,
        written.key.teacher,
        written.key.revision,
        written.basis,
        card.cluster,
        tuple(sorted({seed.subject for seed in card.seeds} - {""})),
    )


def without_known(
    written: Sequence[Synthetic], gold: Sequence[Prompt], real: Collection[Prompt], threshold: float
) -> tuple[list[Synthetic], list[Rejection]]:
    """Those that are none of gold's, none of the real prompts and not written twice, and why the others go.

    Of gold's are also those that differ from one in a single word: nobody asked a customer for it.
    """
    by_id = {item.prompt.id: item for item in reversed(written)}
    prompts, rejected = drop_repeats([item.prompt for item in written])
    prompts, of_gold = exclude_gold(prompts, gold, threshold, apart=1)
    prompts, known = _without_real(prompts, real, threshold)
    prompts, again = _without_near(prompts, threshold)
    return [by_id[prompt.id] for prompt in prompts], [*rejected, *of_gold, *known, *again]


def _without_real(
    prompts: Sequence[Prompt], real: Collection[Prompt], threshold: float
) -> tuple[list[Prompt], list[Rejection]]:
    """The traffic is looked up among what was written, which is far less; until nothing more is found."""
    left, rejected = list(prompts), []
    while left:
        index = DuplicateIndex([prompt.text for prompt in left], threshold, apart=0)
        found: dict[int, tuple[Prompt, bool, str]] = {}
        for some in in_parts(real, _LOOKED_UP):
            for other, match in zip(some, index.match_all([one.text for one in some]), strict=True):
                if match is not None:
                    found.setdefault(match.index, (other, match.exact, match.told))
        for place, (other, exact, told) in sorted(found.items()):
            reason = RejectReason.DUPLICATE_TEXT if exact else RejectReason.NEAR_DUPLICATE_TEXT
            rejected.append(reject(left[place], reason, f"{told}: the real {other.id!r}"))
        left = [prompt for place, prompt in enumerate(left) if place not in found]
        if not found:
            break
    return left, rejected


def _without_near(prompts: Sequence[Prompt], threshold: float) -> tuple[list[Prompt], list[Rejection]]:
    """The first of those that are nearly the same, in their order."""
    kept: list[Prompt] = []
    rejected: list[Rejection] = []
    for start in range(0, len(prompts), _AT_ONCE):
        part = prompts[start : start + _AT_ONCE]
        before = _matches(part, kept, threshold)
        taken: list[Prompt] = []
        for prompt, match in zip(part, before, strict=True):
            match = match or _matches([prompt], taken, threshold)[0]
            if match is None:
                taken.append(prompt)
            else:
                detail = f"{match.told}: another that was written"
                rejected.append(reject(prompt, RejectReason.NEAR_DUPLICATE_TEXT, detail))
        kept += taken
    return kept, rejected


def _matches(prompts: Sequence[Prompt], others: Sequence[Prompt], threshold: float) -> list[Match | None]:
    index = DuplicateIndex([one.text for one in others], threshold, apart=0)
    return index.match_all([prompt.text for prompt in prompts])
