"""`annotate --import`: what people said in another tool, put where `annotate` keeps what they say here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tutelage import storage
from tutelage.data.duplicates import normalise
from tutelage.data.redaction import Redactor
from tutelage.errors import UsageError
from tutelage.extras import require_extra
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import NORMAL_SLICE, Prompt, Value, storable
from tutelage.review import LONGEST_COMMENT, Annotation, AnnotationStore, reviewer_name
from tutelage.review.exchange import (
    Export,
    LeftOut,
    Said,
    answer_value,
    chosen_questions,
    read_export,
    refused,
)
from tutelage.stages.annotate import answered_task
from tutelage.stages.gold import add_to_label, read_to_label
from tutelage.stages.privacy import redacting
from tutelage.tasks import CellFault, CellFaultKind, Task

_BARE = (CellFaultKind.EMPTY, CellFaultKind.NOT_TEXT)  # whose messages name no subject


@dataclass(frozen=True)
class Imported:
    """What became of an export.

    `taken` answers are new, `replaced` of them in place of another by the same person, and `known` stood
    already. `twice`: answers that the same person gave another of, later in the file. `suggested` are a
    model's suggestion that a person left as it was; `unsure` may be drafts, which some exports don't tell.
    `unmatched` has row and text of answers to what wasn't
    drawn. `left_out` counts what is nobody's answer, by its name.
    """

    tool: str
    rows: int
    taken: int
    replaced: int
    known: int
    twice: int
    suggested: int
    unsure: int
    annotators: int
    prompts: int
    added: int
    unmatched: Sequence[tuple[int, str]]
    left_out: Mapping[str, int]


def import_annotations(
    programme: Programme,
    progress: Progress,
    path: Path,
    *,
    form: str | None = None,
    answers: Sequence[str] = (),
    add_prompts: bool = False,
) -> Imported:
    """Take what people said in another tool of the prompts drawn for gold; all of the file or nothing.

    `form` is one of `review.exchange.FORMATS`, found out where absent; `answers` names the questions (of a
    table the people) that count. With `add_prompts` texts that weren't drawn are put to those that were.
    What a model suggested is nobody's answer. Raises DataError where the file, or an answer in it, can't be
    taken; UsageError where nothing was drawn, or the question can't be told.
    """
    require_extra("programme", "`tutelage annotate --import`")
    drawn = read_to_label(programme)
    if not drawn and not add_prompts:
        raise UsageError(
            f"no prompt waits for people: {programme.to_label} holds none. Mend: run "
            f"{programme.command('gold --plan')}, which draws them from the traffic, or take the file's own "
            "with --add-prompts"
        )
    task, columns = answered_task(programme, progress), programme.config.gold.columns
    export = read_export(path, columns, form=form, people=answers)
    questions = chosen_questions(task, export, () if export.joined else answers, columns.label)
    with redacting(programme, progress) as redactor:
        intake = _Intake(task, columns.separator, questions, _Prompts(drawn, redactor, path, add_prompts))
        intake.read(export)
    if intake.faults:
        raise refused(path, sorted(intake.faults), "correct these answers, or gold's labels")
    return _record(programme, export, intake, path)


class _Prompts:
    """Finds the prompt that an answer is about; makes one where that is wanted."""

    def __init__(self, drawn: Sequence[Prompt], redactor: Redactor | None, path: Path, adds: bool) -> None:
        self._redactor, self._path, self._adds = redactor, path, adds
        self._by_hash = {prompt.hash: prompt for prompt in drawn}
        self._by_text = {normalise(prompt.text): prompt for prompt in drawn}
        ids = Counter(prompt.id for prompt in drawn)
        self._by_id = {prompt.id: prompt for prompt in drawn if ids[prompt.id] == 1}
        self.added: list[Prompt] = []

    def of(self, said: Said) -> Prompt | None:
        """By its hash, else its text, as given or redacted; by its id where the export has no text."""
        for key in (said.about.hash, said.about.id):  # exports for Argilla have it as id
            if key in self._by_hash:
                return self._by_hash[key]
        if not said.text.strip():
            return self._by_id.get(said.about.id)
        if found := self._by_text.get(normalise(said.text)):
            return found
        text = said.text
        if self._redactor is not None:
            redacted = self._redactor.redact(text)
            if redacted.dropped:
                return None
            text = redacted.text
        return self._by_text.get(normalise(text)) or (self._made(said, text) if self._adds else None)

    def _made(self, said: Said, text: str) -> Prompt:
        if text != storable(text):
            raise ValueError("its text is not UTF-8")
        id_ = said.about.id or f"{self._path.stem}-{said.row}"
        made = Prompt(id_, text, self._path.name, said.about.slice or NORMAL_SLICE)
        self._by_text[normalise(text)] = made
        self.added.append(made)
        return made


@dataclass
class _Intake:
    """Answers as annotations, of what one person said of a prompt the last."""

    task: Task
    separator: str
    questions: Sequence[str]
    prompts: _Prompts
    taken: dict[tuple[str, str], tuple[Annotation, bool]] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    unmatched: list[tuple[int, str]] = field(default_factory=list)
    empty: int = 0
    twice: int = 0

    def read(self, export: Export) -> None:
        for said in sorted(export.said, key=lambda item: item.time):
            if not any(said.answers.get(name) for name in self.questions):
                self.empty += 1
                continue
            try:
                self._take(said, joined=export.joined)
            except (ValueError, UsageError) as error:
                self.faults.append((said.row, f"{said.annotator}: {_told(error)}"))

    def _take(self, said: Said, *, joined: bool) -> None:
        prompt = self.prompts.of(said)
        if prompt is None:
            self.unmatched.append((said.row, said.text or said.about.id))
            return
        value: Value = answer_value(self.task, said.answers, self.questions, self.separator, joined=joined)
        name = reviewer_name(said.annotator)
        comment = storable(said.comment).strip()[:LONGEST_COMMENT]
        key = (prompt.hash, name)
        self.twice += key in self.taken
        self.taken[key] = Annotation(prompt.hash, name, value, comment), said.suggested


def _told(error: Exception) -> str:
    if isinstance(error, CellFault) and error.kind in _BARE:
        return f"the answer {error}"
    return storable(str(error).split(". Mend:")[0])


def _record(programme: Programme, export: Export, intake: _Intake, path: Path) -> Imported:
    added = intake.prompts.added
    if added:
        add_to_label(programme, [(prompt, "") for prompt in added])
    store = AnnotationStore(programme.annotations)
    try:
        standing = {(item.prompt, item.annotator): item for item in store.standing() if not item.settles}
        new = [item for key, (item, _) in intake.taken.items() if _differs(standing.get(key), item)]
        store.add_all(new)
    finally:
        store.close()
    left_out = export.left_out + Counter({LeftOut.EMPTY: intake.empty})
    found = Imported(
        tool=export.tool,
        rows=export.rows,
        taken=len(new),
        replaced=sum((item.prompt, item.annotator) in standing for item in new),
        known=len(intake.taken) - len(new),
        twice=intake.twice,
        suggested=sum(suggested for _, suggested in intake.taken.values()),
        unsure=export.unsure,
        annotators=len({name for _, name in intake.taken}),
        prompts=len({hash_ for hash_, _ in intake.taken}),
        added=len(added),
        unmatched=intake.unmatched,
        left_out={str(what): count for what, count in left_out.items() if count},
    )
    programme.journal.append(
        "annotations_imported",
        file=storage.hash_file(path),
        tool=found.tool,
        taken=found.taken,
        replaced=found.replaced,
        annotators=found.annotators,
        added=found.added,
        unmatched=len(found.unmatched),
        left_out=found.left_out,
    )
    return found


def _differs(before: Annotation | None, now: Annotation) -> bool:
    return before is None or (before.value, before.comment) != (now.value, now.comment)
