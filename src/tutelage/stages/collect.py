"""`collect`: traffic becomes prompts that may be labelled."""

from __future__ import annotations

from collections.abc import Mapping

from tutelage import storage
from tutelage.data import (
    drop_repeats,
    exclude_gold,
    profile,
    prompts_from_table,
    prompts_to_table,
    rejections_to_table,
)
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.stages.findings import tell_rejected
from tutelage.stages.gold import kept_apart, kept_apart_inputs
from tutelage.stages.privacy import privacy_inputs
from tutelage.stages.sources import require_usable
from tutelage.stages.traffic import read_traffic, traffic_inputs


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
    rows = read_traffic(programme, progress)
    served = read_served(programme)
    distinct, repeats = drop_repeats([*rows.accepted, *served])
    kept, in_gold = exclude_gold(distinct, kept_apart(programme), traffic.near_duplicate)
    rejected = [*rows.rejected, *repeats, *in_gold]
    about = profile(kept, rejected, rows.total + len(served))
    storage.write_table(programme.prompts, prompts_to_table(kept))
    storage.write_table(programme.prompts_rejected, rejections_to_table(rejected))
    storage.write_json(programme.profile, about)
    tell_rejected(rejected, progress, "; prompts/rejected.parquet")
    require_usable(traffic.named, len(kept), rows.total)
    taken = f"{len(kept):,} of {rows.total + len(served):,} rows taken"
    return f"{taken}, {len(served):,} of which were served" if served else taken


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
