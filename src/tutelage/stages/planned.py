"""What the teacher is to be asked: the traffic's prompts, or those of its plan, and what a model wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from tutelage import storage
from tutelage.data.synthetic import Synthetic, most_beside, read_synthetic
from tutelage.gates import Verdict
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt, PromptStream
from tutelage.rights import standing_gate
from tutelage.stages.collected import are_among, each_where, every_prompt
from tutelage.stages.rights import programme_use

_FEW = 100_000  # prompts of a plan that are held, since going through all of the traffic again takes longer


def planned_prompts(programme: Programme) -> Collection[Prompt]:
    """Those that `answers/plan.parquet` names, in the traffic's order; many of them aren't held in memory.

    All of `prompts/prompts.parquet` without `labelling.sample`, or while `plan` has yet to run.
    """
    if programme.config.labelling.sample is None or not programme.plan.exists():
        return every_prompt(programme)
    chosen = are_among(programme, storage.read_table(programme.plan)["hash"].to_pylist())
    planned = PromptStream(lambda: each_where(programme, chosen), int(chosen.sum()))
    return planned if len(planned) > _FEW else list(planned)


def plan_inputs(programme: Programme) -> Mapping[str, str]:
    """Of stages that read the planned prompts; empty where all of the traffic is asked."""
    if programme.config.labelling.sample is None:
        return {}
    return {"answers/plan.parquet": fingerprint(programme.plan)}


def synthetic_prompts(programme: Programme, real: int, progress: Progress) -> list[Synthetic]:
    """What `synthesise` left and may be labelled beside so many `real` texts; none without the section.

    Raises GateRefused where a right has lapsed under which some were written, and `rights.lapsed` is refuse.
    """
    config = programme.config.synthesis
    if config is None:
        return []
    written = read_synthetic(programme.synthetic)
    counts = Counter(item.basis for item in written)
    decision = standing_gate(counts, programme_use(programme), "synthetic prompts")
    if written and decision.verdict is not Verdict.PASS:
        if programme.config.rights.lapsed == "refuse":
            decision.require()
        lapsed = {item.term: item.reason for item in decision.evidence if item.verdict is not Verdict.PASS}
        for reason in lapsed.values():
            progress.warn(f"left out (rights.lapsed): {reason}")
        written = [item for item in written if item.basis not in lapsed]
    allowed = most_beside(real, config.share)
    if len(written) > allowed:
        progress.warn(
            f"{len(written) - allowed:,} of {len(written):,} synthetic prompts are left out: beside {real:,} "
            f"real ones synthesis.share {config.share:g} allows {allowed:,}. Mend: raise it, or label more"
        )
    return written[:allowed]


def synthetic_inputs(programme: Programme) -> Mapping[str, str]:
    """Of stages that read the synthetic prompts; empty where there are none."""
    config = programme.config.synthesis
    if config is None:
        return {}
    return {
        "prompts/synthetic.parquet": fingerprint(programme.synthetic),
        "synthesis.share": fingerprint(config.share),
    }
