"""`collect --from-serving`: what a server was asked becomes prompts, and what people said of it labels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.data import prompts_to_table
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Fields, Prompt, Value, load_value
from tutelage.review import Consensus, read_sheet, record_consensus
from tutelage.review.consensus import cell_of
from tutelage.review.sheet import write_sheet
from tutelage.review.verdicts import HASH
from tutelage.stages.collect import SERVED, read_served
from tutelage.stages.collected import hash_batches
from tutelage.stages.gold import kept_apart
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.privacy import redacting
from tutelage.stages.review import review_file
from tutelage.stages.rights import require_rights
from tutelage.stages.serve import open_programme_store
from tutelage.stages.task import resolved_task

if TYPE_CHECKING:
    from tutelage.data.redaction import Redactor
    from tutelage.serving.captures import Capture
    from tutelage.serving.reviews import Reviewed
    from tutelage.serving.store import Store
    from tutelage.tasks import Task

_CANDIDATES = ("id", "text", "label", "slice", "reviewers", "subject", "time", "sensitivity", HASH)


@dataclass(frozen=True)
class _Judged:
    """What people agree on: items chosen for their value correct, those drawn at random may become gold."""

    chosen: Sequence[tuple[Reviewed, Consensus]]
    random: Sequence[tuple[Reviewed, Consensus]]


def take_served(programme: Programme, progress: Progress, *, most: int) -> None:
    """Put the `most` most valuable prompts that aren't known yet into `prompts/served.parquet`.

    And all that people decided: verdicts on chosen items go to the file of corrections, those on items that
    were drawn at random to `gold/candidates.jsonl`; texts of the latter are never learned from. `collect`
    reads the prompts from then on.

    Raises UsageError where nothing was served or gold isn't sealed, GateRefused where rights don't allow it.
    """
    require_earlier(programme, "collect", "collect --from-serving")
    require_rights(programme)
    store = _opened(programme)
    try:
        before, drawn = read_served(programme), store.reviews.held_out()
        known = {prompt.hash for prompt in before} | _known(programme) | drawn
        with redacting(programme, progress) as redactor:
            judged = _judged(store, drawn, redactor)
            new = _new_prompts([reviewed.item.capture for reviewed, _ in judged.chosen], known)
            new += _most_valuable(store, most, known | {prompt.hash for prompt in new}, redactor)
        _tell_agreement(store, resolved_task(programme), progress)
    finally:
        asyncio.run(store.close())
    new = [replace(prompt, sensitivity=programme.config.serving.sensitivity) for prompt in new]
    storage.write_table(programme.served, prompts_to_table([*before, *new]))
    corrected, waiting = _correct(programme, judged.chosen)
    candidates = _keep_candidates(programme, judged.random)
    counts = {"prompts": len(new), "corrections": corrected, "gold_candidates": candidates}
    programme.journal.append("served", **counts)
    progress.note(
        f"{len(new):,} prompts taken from what was served; people's verdicts: {corrected:,} corrections, "
        f"{waiting:,} rows that wait for an answer in {review_file(programme)}, "
        f"{candidates:,} new candidates for gold in {programme.candidates}"
    )


def purge_served(programme: Programme, progress: Progress, *, before: float) -> None:
    """Remove captures made before a time, in seconds since the epoch. Raises as `Store.purge`."""
    store = _opened(programme)
    try:
        removed = store.purge(before=before)
    finally:
        asyncio.run(store.close())
    programme.journal.append("purged", captures=removed, before=before)
    progress.note(f"{removed:,} captures removed")


def _opened(programme: Programme) -> Store:
    if programme.config.serving.database is None and not programme.server_state.exists():
        raise UsageError(
            f"nothing was served yet: {programme.server_state} doesn't exist. "
            f"Mend: run {programme.command('serve')} first, or set serving.database"
        )
    return open_programme_store(programme)


def _redacted(captures: Iterable[Capture], redactor: Redactor | None) -> Iterator[Capture]:
    """As they may be kept now: the programme may have come by its policy after they were captured."""
    for capture in captures:
        redacted = None if redactor is None or capture.text is None else redactor.redact(capture.text)
        if redacted is None:
            yield capture
        elif not redacted.dropped:
            yield replace(capture, text=redacted.text)


def _judged(store: Store, drawn: set[str], redactor: Redactor | None) -> _Judged:
    """Chosen items whose texts were also drawn at random are left out: these may become gold."""
    from tutelage.serving.reviews import Why

    found = []
    for reviewed in store.reviews.decided():
        capture = next(_redacted([reviewed.item.capture], redactor), None)
        if capture is None or (capture.hash in drawn and reviewed.item.why is not Why.RANDOM):
            continue
        reviewed = replace(reviewed, item=replace(reviewed.item, capture=capture))
        if reviewed.agreed is not None:
            value = reviewed.agreed.value
            names = sorted(v.reviewer for v in reviewed.verdicts if v.value == value)
            said = Consensus(None if value is None else load_value(value), tuple(names))
            found.append((reviewed, said))
    return _Judged(
        [pair for pair in found if pair[0].item.why is not Why.RANDOM],
        [pair for pair in found if pair[0].item.why is Why.RANDOM],
    )


def _known(programme: Programme) -> set[str]:
    """Hashes of what needn't be taken: prompts there are, and gold that nothing may learn from."""
    known = {prompt.hash for prompt in kept_apart(programme)}
    if programme.prompts.exists():
        known.update(*hash_batches(programme))
    return known


def _most_valuable(store: Store, most: int, known: set[str], redactor: Redactor | None) -> list[Prompt]:
    """A capture's hash is that of its text before anything was cut out: what is left may be known already."""
    new: list[Prompt] = []
    looked_at = set(known)
    while len(new) < most and (captures := store.most_valuable(most - len(new), looked_at)):
        looked_at |= {capture.hash for capture in captures}
        new += _new_prompts(_redacted(captures, redactor), known | {prompt.hash for prompt in new})
    return new


def _new_prompts(captures: Iterable[Capture], known: set[str]) -> list[Prompt]:
    """Each text once."""
    taken, new = set(known), []
    for capture in captures:
        prompt = _prompt(capture)
        if prompt.hash not in taken and prompt.text.strip():
            taken.add(prompt.hash)
            new.append(prompt)
    return new


def _prompt(capture: Capture) -> Prompt:
    """Where a request didn't say whose it was, the text's hash stands for that: nobody's."""
    subject = "" if capture.key == capture.hash else capture.key
    return Prompt(
        f"{SERVED}-{capture.id}",
        capture.text or "",
        SERVED,
        capture.slice,
        subject=subject,
        time=capture.at,
        group=subject,
    )


def _correct(programme: Programme, chosen: Sequence[tuple[Reviewed, Consensus]]) -> tuple[int, int]:
    taught: list[tuple[Prompt, Value | None]] = []
    found: dict[str, Consensus] = {}
    for reviewed, said in chosen:
        capture = reviewed.item.capture
        prompt = _prompt(capture)
        found[prompt.hash] = said
        teachers = None if capture.teacher_value is None else load_value(capture.teacher_value)
        taught.append((prompt, teachers))
    return record_consensus(review_file(programme), found, taught, programme.config.gold.columns.separator)


def _keep_candidates(programme: Programme, random: Sequence[tuple[Reviewed, Consensus]]) -> int:
    """Add what isn't there; how many that are. Where no answer is right there is none to become gold."""
    path, separator = programme.candidates, programme.config.gold.columns.separator
    sensitivity = programme.config.serving.sensitivity
    rows = [{"sensitivity": sensitivity, **row} for row in read_sheet(path)]
    there, new = {str(row.get(HASH)) for row in rows}, []
    for reviewed, said in random:
        prompt = _prompt(reviewed.item.capture)
        if said.value is None or prompt.hash in there:
            continue
        there.add(prompt.hash)
        label = dict(said.value) if isinstance(said.value, Fields) else cell_of(said.value, separator)
        row: dict[str, Any] = {"id": prompt.id, "text": prompt.text, "label": label, "slice": prompt.slice}
        row |= {"reviewers": list(said.reviewers), "subject": prompt.subject, "time": prompt.time}
        new.append(row | {"sensitivity": sensitivity, HASH: prompt.hash})
    if new:
        write_sheet(path, _CANDIDATES, [*rows, *new], readable=False)
    return len(new)


def _tell_agreement(store: Store, task: Task, progress: Progress) -> None:
    """Of scores in their order: who says that none is right gives none, and has no place among them."""
    from tutelage.evaluation.annotators import scale_of
    from tutelage.evaluation.votes import agreement

    units, scale = store.reviews.independent(), scale_of(task)
    if scale:
        units = [{who: said for who, said in unit.items() if said in scale} for unit in units]
    measured = agreement(units, scale=scale)
    if measured is None:
        return
    alpha, text = measured["alpha"], f"{measured['same']:.0%} of pairs of verdicts are the same"
    if alpha["low"] is not None:
        of = " of scores in their order" if scale else ""
        text += (
            f"; Krippendorff's alpha{of} {alpha['estimate']:.2f} [{alpha['low']:.2f}, {alpha['high']:.2f}]"
        )
    progress.note(f"{measured['units']:,} items before two people, independently: {text}")
