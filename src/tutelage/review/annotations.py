"""What people say the right answer to a prompt is, each by themselves, and what becomes gold of it.

Enough people answer a prompt independently. Where more than half of them agree, that is its answer. Where
they don't it is disputed, and they, or somebody else, see the answers that were given and settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tutelage.records import Value, dump_value, load_value
from tutelage.review.database import PeopleDatabase, now

Agree = Callable[[Value, Value], bool]

_SCHEMA = """
CREATE TABLE annotations (
    id INTEGER PRIMARY KEY, prompt TEXT NOT NULL, annotator TEXT NOT NULL, settles INTEGER NOT NULL,
    value TEXT, comment TEXT NOT NULL, created TEXT NOT NULL, withdrawn TEXT
);
CREATE UNIQUE INDEX standing ON annotations (prompt, annotator, settles) WHERE withdrawn IS NULL;
"""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's answer to the prompt with this hash; None where it was skipped.

    `settles` tells that the annotator had seen the answers of others.
    """

    prompt: str
    annotator: str
    value: Value | None
    comment: str = ""
    settles: bool = False


class State(StrEnum):
    """What is known of a prompt's answer."""

    OPEN = "open"
    DISPUTED = "disputed"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a prompt stands: its `value` where it is settled, and by whom.

    `independent` holds the answers that were given without sight of others, by annotator; `adjudicated` tells
    that these disagreed.
    """

    state: State
    value: Value | None
    independent: Sequence[tuple[str, Value]]
    adjudicators: tuple[str, ...] = ()

    @property
    def adjudicated(self) -> bool:
        """Whether people disagreed, and then settled it."""
        return self.state is State.SETTLED and bool(self.adjudicators)


def standing(annotations: Iterable[Annotation], wanted: int, agree: Agree) -> Standing:
    """Where a prompt stands by its `annotations`, of which `wanted` independent ones are asked for.

    Settled by whoever settled it without having answered before, the last of them; or by all who answered,
    where what they say after seeing each other's answers agrees; or where more than half of the independent
    answers agree (the first of these stands).
    """
    said = list(annotations)
    independent = [
        (item.annotator, item.value) for item in said if not item.settles and item.value is not None
    ]
    settling = {item.annotator: item.value for item in said if item.settles and item.value is not None}
    people = {name for name, _ in independent}
    outsiders = [name for name in settling if name not in people]
    if outsiders:
        return Standing(State.SETTLED, settling[outsiders[-1]], independent, (outsiders[-1],))
    if people and settling.keys() == people:
        first, *others = settling.values()
        if all(agree(other, first) for other in others):
            return Standing(State.SETTLED, first, independent, tuple(settling))
    if len(independent) < wanted:
        return Standing(State.OPEN, None, independent)
    value = _majority([value for _, value in independent], agree)
    return Standing(State.DISPUTED if value is None else State.SETTLED, value, independent)


def _majority(values: Sequence[Value], agree: Agree) -> Value | None:
    """The first of those that more than half agree with; None where there is none."""
    for value in values:
        if 2 * sum(agree(other, value) for other in values) > len(values):
            return value
    return None


class AnnotationStore(PeopleDatabase):
    """`annotations.sqlite`: of a person's answers to a prompt the last stands; see `PeopleDatabase`."""

    schema = _SCHEMA
    schema_version = 1
    holds = "annotations"

    def add(self, annotation: Annotation) -> None:
        """Record it in place of the annotator's earlier one of this kind on this prompt, if any."""
        self.add_all([annotation])

    def add_all(self, annotations: Iterable[Annotation]) -> None:
        """`add` each of them, all or none."""
        with self._transaction() as database:
            for annotation in annotations:
                key = (annotation.prompt, annotation.annotator, annotation.settles)
                value = None if annotation.value is None else dump_value(annotation.value)
                database.execute(
                    "UPDATE annotations SET withdrawn=? "
                    "WHERE prompt=? AND annotator=? AND settles=? AND withdrawn IS NULL",
                    (now(), *key),
                )
                database.execute(
                    "INSERT INTO annotations (prompt, annotator, settles, value, comment, created) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (*key, value, annotation.comment, now()),
                )

    def withdraw_last(self, annotator: str, prompts: Iterable[str]) -> str | None:
        """Take back the annotator's last one on one of `prompts`; return which, None where there is none."""
        wanted = set(prompts)
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, prompt FROM annotations WHERE annotator=? AND withdrawn IS NULL ORDER BY id DESC",
                (annotator,),
            )
            for id_, prompt in rows.fetchall():
                if prompt in wanted:
                    database.execute("UPDATE annotations SET withdrawn=? WHERE id=?", (now(), id_))
                    return str(prompt)
        return None

    def withdraw_skips(self, annotator: str) -> int:
        """Put before the annotator again what was skipped; return how many that are."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE annotations SET withdrawn=? "
                "WHERE annotator=? AND value IS NULL AND withdrawn IS NULL",
                (now(), annotator),
            )
            return changed.rowcount

    def last_of(self, annotator: str, prompt: str) -> Annotation | None:
        """What the annotator last said of the prompt, taken back or not."""
        query = (
            "SELECT prompt, annotator, value, comment, settles FROM annotations "
            "WHERE annotator=? AND prompt=? ORDER BY id DESC LIMIT 1"
        )
        with self._errors():
            row = self._database.execute(query, (annotator, prompt)).fetchone()
        return None if row is None else _read(row)

    def standing(self) -> list[Annotation]:
        """All that stand, in the order in which they were made."""
        query = (
            "SELECT prompt, annotator, value, comment, settles FROM annotations "
            "WHERE withdrawn IS NULL ORDER BY id"
        )
        with self._errors():
            return [_read(row) for row in self._database.execute(query).fetchall()]

    def pseudonyms(self) -> dict[str, str]:
        """For each name that stands in the file what it is called elsewhere: `annotator-1` came first."""
        query = "SELECT annotator FROM annotations GROUP BY annotator ORDER BY MIN(id)"
        with self._errors():
            names = [str(row[0]) for row in self._database.execute(query).fetchall()]
        return {name: f"annotator-{number}" for number, name in enumerate(names, start=1)}


def _read(row: Sequence[object]) -> Annotation:
    prompt, annotator, value, comment, settles = row
    read = None if value is None else load_value(str(value))
    return Annotation(str(prompt), str(annotator), read, str(comment), bool(settles))
