"""`collect`: traffic becomes prompts that may be labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from tutelage import storage
from tutelage.data import prompts_from_table
from tutelage.data.forgotten import Forgotten
from tutelage.data.intake import Intake
from tutelage.data.preparation import Preparation, batches_of
from tutelage.data.processes import map_batches
from tutelage.data.sources import RejectReason
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.stages.findings import tell_reasons
from tutelage.stages.gold import kept_apart, kept_apart_inputs
from tutelage.stages.privacy import privacy_inputs, redacting
from tutelage.stages.sources import require_usable
from tutelage.stages.traffic import rows_expected, traffic_batches, traffic_inputs

_LARGE = 0.2  # of the prompts in one group
_SMALL = 50  # prompts in a group that needs no warning


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


def _work(programme: Programme, progress: Progress) -> str:
    traffic = programme.config.traffic
    served = read_served(programme)
    with Intake(
        programme.collecting,
        programme.prompts,
        programme.prompts_rejected,
        threshold=traffic.near_duplicate,
    ) as intake:
        _take(programme, served, intake, progress)
        with progress.track("compared", intake.steps, "step") as tracker:
            intake.finish(traffic.near_repeats, lambda note: tracker.advance(note=note))
    about = intake.profile.content(intake.total)
    storage.write_json(programme.profile, about)
    tell_reasons(
        intake.profile.rejected, intake.profile.first_rejected, progress, "; prompts/rejected.parquet"
    )
    _tell_siblings(intake.profile.rejected, intake.total, progress)
    require_usable(traffic.named, intake.kept, intake.total - len(served))
    _tell_groups(about, progress)
    taken = f"{intake.kept:,} of {intake.total:,} rows taken"
    return f"{taken}, {len(served):,} of which were served" if served else taken


def _take(programme: Programme, served: Sequence[Prompt], intake: Intake, progress: Progress) -> None:
    traffic = programme.config.traffic
    with redacting(programme, progress) as redactor:
        gold = kept_apart(programme)
        prepare = Preparation(
            redactor,
            gold,
            traffic.near_duplicate,
            apart=int(traffic.word_apart == "drop"),
            groups=frozenset(prompt.group for prompt in gold if prompt.group and traffic.siblings == "drop"),
            forgotten=Forgotten.read(programme.forgotten),
        )
        batches = chain(traffic_batches(programme), batches_of("", None, served))
        with progress.track("read", rows_expected(programme), "row") as tracker:
            for prepared in map_batches(prepare, batches):
                intake.add(prepared)
                if redactor is not None:
                    redactor.take(prepared.found, prepared.renamed)
                tracker.advance(prepared.total)


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
