"""The traffic's prompts that the teacher is to be asked: those of the plan, where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from tutelage import storage
from tutelage.data import prompts_from_table
from tutelage.programme import Programme, fingerprint
from tutelage.records import Prompt


def planned_prompts(programme: Programme) -> list[Prompt]:
    """Those that `answers/plan.parquet` names, in the traffic's order.

    All of `prompts/prompts.parquet` without `labelling.sample`, or while `plan` has yet to run.
    """
    prompts = prompts_from_table(storage.read_table(programme.prompts))
    if programme.config.labelling.sample is None or not programme.plan.exists():
        return prompts
    chosen = set(storage.read_table(programme.plan).column("hash").to_pylist())
    return [prompt for prompt in prompts if prompt.hash in chosen]


def plan_inputs(programme: Programme) -> Mapping[str, str]:
    """Of stages that read the planned prompts; empty where all of the traffic is asked."""
    if programme.config.labelling.sample is None:
        return {}
    return {"answers/plan.parquet": fingerprint(programme.plan)}
