"""All sampling plans beside each other, before one is chosen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from tutelage.config import SampleConfig, SamplingName
from tutelage.economics import Estimate
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.plan import open_pool
from tutelage.stages.pool import Pool, needs_student

_REACHED = 5  # prompts of a cluster from which on it counts as covered
_RARE = 0.1  # share of the traffic that the smallest clusters hold together
_USUAL = 1_000  # prompts that plans are compared at where nothing says how many


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """One plan: what it would ask and cover.

    `prompts` new ones beside those answered; `estimate` of their cost in US dollars, None where the teacher
    costs nothing or has answered too little, then `most` is the very most. Of `clusters`, `reached` have five
    prompts or more, answered ones counted, and hold `traffic` of it (repeats counted); `rare` is the share of
    the new ones in the smallest clusters, which together hold a tenth of the traffic. `labels` that a first
    student gives to the new ones, `doubt` their mean uncertainty; None without one. `lacking` says why a plan
    can't be drawn.
    """

    name: SamplingName
    prompts: int = 0
    estimate: Estimate | None = None
    most: float = 0.0
    reached: int = 0
    traffic: float = 0.0
    rare: float = 0.0
    labels: int | None = None
    doubt: float | None = None
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """All plans at one limit. `chosen` is what `labelling.sample` names, None where it is absent."""

    plans: tuple[PlanFigures, ...]
    candidates: int
    answered: int
    clusters: int
    limit: SampleConfig
    chosen: SamplingName | None
    student: str
    reckoned: bool

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "limit": self.limit.model_dump(mode="json", exclude={"by"})}


def compare_plans(
    programme: Programme, progress: Progress, prompts: int | None = None, budget: float | None = None
) -> PlanComparison:
    """What each plan would ask, cost and cover, at the configured limit or the one given. Writes nothing.

    Raises UsageError where `collect` has to run first.
    """
    require_earlier(programme, "plan")
    wanted = programme.config.labelling.sample
    given = {"prompts": prompts, "budget": budget} if prompts is not None or budget is not None else {}
    base = wanted or SampleConfig(prompts=_USUAL)
    limit = SampleConfig.model_validate({**base.model_dump(), **given})
    with open_pool(programme, progress, limit.seed) as pool:
        figures = []
        for name in get_args(SamplingName):
            progress.note(f"plan by {name}")
            figures.append(_figures(pool, limit.model_copy(update={"by": name})))
        return PlanComparison(
            tuple(figures),
            int((~pool.taken).sum()),
            len(pool.answered),
            len(pool.found),
            limit,
            None if wanted is None or given else wanted.by,
            pool.first.lacking or pool.first.described,
            pool.purse is None or pool.purse.known,
        )


def _figures(pool: Pool, sample: SampleConfig) -> PlanFigures:
    if needs_student(sample.by) and (lacking := pool.first.lacking):
        return PlanFigures(sample.by, lacking=lacking)
    chosen, _ = pool.chosen(sample)
    k = len(pool.found)
    mass = np.bincount(pool.clusters, weights=pool.counts, minlength=k)
    held = np.bincount(pool.clusters[np.concatenate([chosen, np.flatnonzero(pool.taken)])], minlength=k)
    smallest = np.argsort(mass, kind="stable")
    rare = smallest[np.cumsum(mass[smallest]) <= _RARE * mass.sum()]
    covered = held >= np.minimum(_REACHED, np.bincount(pool.clusters, minlength=k))
    prompts = [pool.prompts[row] for row in chosen]
    has_student = pool.first.lacking is None
    return PlanFigures(
        sample.by,
        len(chosen),
        pool.estimate(prompts),
        float(pool.most(prompts)),
        int(covered.sum()),
        float(mass[covered].sum() / mass.sum()),
        float(np.isin(pool.clusters[chosen], rare).mean()) if len(chosen) else 0.0,
        len({pool.guesses[row] for row in chosen}) if has_student else None,
        float(pool.uncertainty[chosen].mean()) if has_student and len(chosen) else None,
    )
