"""`collect`: traffic becomes prompts that may be labelled; what was collected before stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from tutelage import storage
from tutelage.data import prompts_from_table
from tutelage.data.intake import Collected, Intake
from tutelage.data.known_rows import KnownRows, Reading, prompt_key
from tutelage.data.preparation import Batch, Preparation, batches_of
from tutelage.data.sources import RejectReason
from tutelage.errors import DataError
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.scale import open_engine
from tutelage.stages.findings import tell_reasons
from tutelage.stages.gold import kept_apart, kept_apart_inputs
from tutelage.stages.keeping import keeping_of
from tutelage.stages.privacy import privacy_inputs, redacting
from tutelage.stages.sources import require_usable
from tutelage.stages.traffic import rows_expected, traffic_batches, traffic_inputs, traffic_terms

_LARGE = 0.2  # of the prompts in one group
_SMALL = 50  # prompts in a group that needs no warning
SERVED = "serving"
"""The source of prompts that a server was asked."""


def _inputs(programme: Programme) -> Mapping[str, str]:
    traffic = programme.config.traffic
    inputs = {
        "traffic": fingerprint(traffic),
        **traffic_inputs(programme),
        **kept_apart_inputs(programme),
        **privacy_inputs(programme),
    }
    if programme.served.exists():
        inputs["prompts/served.parquet"] = fingerprint(programme.served)
    return inputs


def _terms(programme: Programme) -> dict[str, Any]:
    """What has to be as it was for the prompts collected before to be built on: all that each row's reading
    depends on by itself, and how near duplicates are told."""
    traffic = programme.config.traffic
    return {
        "privacy": privacy_inputs(programme).get("privacy", ""),
        "traffic.near_duplicate": traffic.near_duplicate,
        "traffic.near_repeats": traffic.near_repeats,
        "traffic.word_apart": traffic.word_apart,
        "traffic.siblings": traffic.siblings,
        **traffic_terms(programme),
    }


def _work(programme: Programme, progress: Progress) -> str:
    traffic = programme.config.traffic
    served = read_served(programme)
    with Intake(_collected(programme), threshold=traffic.near_duplicate) as intake:
        reading = Reading(_known(programme, progress))
        _take(programme, served, reading, intake, progress)
        if traffic.split == "time" and not intake.timed:
            raise DataError(
                f"traffic.split is time, and no row of {traffic.named} has one. Mend: name the column of "
                "times in columns.time, or leave traffic.split out"
            )
        with progress.track("compared", intake.steps, "step") as tracker:
            intake.finish(
                traffic.near_repeats,
                reading.after(_terms(programme)),
                lambda note: tracker.advance(note=note),
            )
    about = intake.profile.content(intake.total)
    storage.write_json(programme.profile, about)
    tell_reasons(intake.profile.news, intake.profile.first_rejected, progress, "; prompts/rejected.parquet")
    _tell_gone(programme, reading, progress)
    _tell_siblings(intake.profile.rejected, intake.total, progress)
    require_usable(traffic.named, intake.kept, intake.total - len(served))
    _tell_groups(about, progress)
    return _summary(intake, reading)


def _summary(intake: Intake, reading: Reading) -> str:
    new, served = reading.new.total(), reading.new[SERVED]
    what = "new rows" if reading.known else "rows"
    text = f"{intake.kept - intake.known_kept:,} of {new:,} {what} taken"
    text += f", {served:,} of which were served" if served else ""
    if reading.known:
        text += f"; {reading.known:,} rows known, {intake.kept:,} prompts in all"
    if lost := intake.known - intake.known_kept:
        text += f", {lost:,} fewer of the known ones, which gold has now"
    return text


def _collected(programme: Programme) -> Collected:
    return Collected(
        programme.prompts, programme.prompts_rejected, programme.known_rows, programme.collecting
    )


def settle_collected(programme: Programme) -> None:
    """Put into its place what a `collect` that was killed had written whole."""
    _collected(programme).settle()


def forget_collected(programme: Programme) -> None:
    """Have the next `collect` read every row anew, and keep nothing that no source has any more."""
    settle_collected(programme)
    programme.known_rows.unlink(missing_ok=True)


def _known(programme: Programme, progress: Progress) -> KnownRows:
    """What may be built on; nothing where there is nothing, or its terms aren't those of now."""
    if not (programme.known_rows.exists() and programme.prompts.exists()):
        return KnownRows.none()
    known = KnownRows.read(programme.known_rows)
    changed = _changed(known.terms, _terms(programme))
    if changed is None:
        return known
    progress.note(f"every row is read anew, also those that are known: {changed}")
    return KnownRows.none()


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What of the terms differs so that all is to be read anew. A source more, or more of one, doesn't."""
    for name in sorted((before.keys() | now.keys()) - {"sources"}):
        if before.get(name) != now.get(name):
            return f"{name} changed"
    for path, read_by, limit in before["sources"]:
        limits = [most for one, by, most in now["sources"] if (one, by) == (path, read_by)]
        if not limits:
            return f"{path} is no source any more, or is read in another way"
        if not any(most is None or (limit is not None and most >= limit) for most in limits):
            return f"the limit of {path} is smaller"
    return None


def _take(
    programme: Programme, served: Sequence[Prompt], reading: Reading, intake: Intake, progress: Progress
) -> None:
    traffic = programme.config.traffic
    with (
        redacting(programme, progress) as redactor,
        open_engine(programme.config.engine, progress) as engine,
    ):
        gold = kept_apart(programme)
        prepare = Preparation(
            redactor,
            gold,
            traffic.near_duplicate,
            apart=int(traffic.word_apart == "drop"),
            groups=frozenset(prompt.group for prompt in gold if prompt.group and traffic.siblings == "drop"),
            keeping=keeping_of(programme),
        )
        batches = chain(
            _earlier(programme, reading, intake),
            traffic_batches(programme, reading),
            batches_of("", None, reading.rows(SERVED, served, prompt_key)),
        )
        told = 0
        with progress.track("read", rows_expected(programme), "row") as tracker:
            for prepared in engine.map_batches(prepare, batches):
                intake.add(prepared)
                if redactor is not None:
                    redactor.take(prepared.found, prepared.renamed)
                met = reading.known + reading.new.total()
                tracker.advance(met - told)
                told = met


def _earlier(programme: Programme, reading: Reading, intake: Intake) -> Iterator[Batch]:
    """What was collected before, where that may be built on."""
    if not len(reading.before.keys):
        return
    for table in storage.table_batches(programme.prompts_rejected):
        intake.carry(table)
    for table in storage.table_batches(programme.prompts):
        for batch in batches_of("", None, prompts_from_table(table)):
            yield replace(batch, known=True)


def _tell_gone(programme: Programme, reading: Reading, progress: Progress) -> None:
    if reading.gone:
        progress.note(
            f"{reading.gone:,} rows that were read at an earlier time are in no source any more; what was "
            f"taken of them stays. Mend, if it shouldn't: {programme.command('collect --anew')}"
        )


def _tell_siblings(rejected: Mapping[str, int], total: int, progress: Progress) -> None:
    count = rejected.get(RejectReason.SIBLING_OF_GOLD, 0)
    if count > _LARGE * total:
        progress.warn(
            f"{count:,} of {total:,} prompts ({count / total:.0%}) are of subjects that gold has a prompt "
            "of, and stay out of the transfer set. Mend: take gold from fewer subjects, or set "
            "traffic.siblings to keep where columns.subject says little of what is asked"
        )


def _tell_groups(about: Mapping[str, Any], progress: Progress) -> None:
    groups = about["groups"]
    if groups["count"]:
        progress.note(
            f"{groups['prompts']:,} prompts in {groups['count']:,} groups that no split divides; the largest "
            f"has {groups['largest']:,}"
        )
    if groups["largest"] > _LARGE * about["accepted"] and groups["largest"] > _SMALL:
        progress.warn(
            f"one group holds {groups['largest'] / about['accepted']:.0%} of the prompts, so that a split "
            "can hardly be even. Mend: raise traffic.near_duplicate, or set traffic.near_repeats to drop or "
            "ignore"
        )


def read_served(programme: Programme) -> list[Prompt]:
    """What `take_served` took so far."""
    if not programme.served.exists():
        return []
    return prompts_from_table(storage.read_table(programme.served))


COLLECT = Stage(
    name="collect",
    inputs=_inputs,
    outputs=lambda programme: [programme.prompts, programme.prompts_rejected, programme.profile],
    work=_work,
)
