"""`plan`: which prompts of the traffic the teacher is asked, chosen before it is paid.

What computes is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.config import SampleConfig
from tutelage.errors import UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.scale import open_engine
from tutelage.stages.task import labels_fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.data.sampling import Floats, Order
    from tutelage.stages.pool import Pool

_ANSWERED = "answered before"  # of prompts that no plan named


@contextmanager
def open_pool(programme: Programme, progress: Progress, seed: int) -> Iterator[Pool]:
    """The traffic as plans see it, embedded where the engine has its work done; nothing is asked."""
    from tutelage.stages.first_student import FirstStudent
    from tutelage.stages.pool import Pool

    with (
        AnswerLedger(programme.answers) as ledger,
        open_engine(programme.config.engine, progress) as engine,
    ):
        yield Pool(programme, ledger, FirstStudent(programme, progress, engine), seed, engine)


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "labels": labels_fingerprint(programme),
        "labelling.sample": fingerprint(programme.config.labelling.sample),
    }


def _work(programme: Programme, progress: Progress) -> str:
    sample = programme.config.labelling.sample
    if sample is None:
        raise UsageError(
            "labelling.sample is absent, so that all of the traffic is asked. Mend: add it, e.g. "
            "labelling.sample: {by: cluster, prompts: 1000}"
        )
    with open_pool(programme, progress, sample.seed) as pool:
        chosen, score = pool.chosen(sample)
        if pool.left_out:
            progress.warn(
                f"{pool.left_out:,} prompts are no candidates: those that the plan looks at were drawn at "
                "random"
            )
        if sample.budget is not None and pool.purse is not None and not pool.purse.known:
            progress.warn(
                "the teacher has answered too little to reckon from, so that each prompt counts with the "
                f"very most it can cost. Mend: {programme.command('label --pilot 50')}, then "
                f"{programme.command('plan --force')}"
            )
        rows = [*(kept := _kept(programme, pool)), *_new(pool, sample, chosen, score, kept)]
        if sample.by not in ("random", "cluster") and pool.first.lacking is None:
            progress.note(f"first student: {pool.first.described}")
        estimate = pool.estimate([pool.prompts[row] for row in chosen])
    if not rows:
        raise UsageError(
            f"labelling.sample.budget {sample.budget:g} allows no prompt. Mend: raise it, or say prompts"
        )
    storage.write_table(programme.plan, _table(rows))
    if estimate is not None and estimate.cost > 0:
        progress.note(estimate.describe())
    return (
        f"{len(rows):,} prompts, {len(chosen):,} of them new by {sample.by}, {len(kept):,} answered already"
    )


def _kept(programme: Programme, pool: Pool) -> list[dict[str, Any]]:
    """Rows of what is answered already: as an earlier plan has them, in its order, then those in none."""
    before = storage.read_table(programme.plan).to_pylist() if programme.plan.exists() else []
    answered = {prompt.hash: prompt for prompt in pool.answered}
    kept = [row for row in before if row["hash"] in answered]
    known = {row["hash"] for row in kept}
    others = [prompt for hash_, prompt in answered.items() if hash_ not in known]
    return [*kept, *(_row(prompt, 0, _ANSWERED) for prompt in others)]


def _new(
    pool: Pool, sample: SampleConfig, chosen: Order, score: Floats | None, kept: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of the plan's next round, each with what it was chosen by."""
    number = 1 + max((row["round"] for row in kept), default=0)
    by_cluster = sample.by in ("cluster", "value")
    by_student = sample.by not in ("random", "cluster") and pool.first.lacking is None
    return [
        _row(
            pool.prompts[row],
            number,
            sample.by,
            None if score is None else float(score[row]),
            pool.found.names[pool.clusters[row]] if by_cluster else None,
            pool.guesses[row] if by_student else None,
        )
        for row in chosen
    ]


def _row(
    prompt: Prompt,
    number: int,
    by: str,
    score: float | None = None,
    cluster: str | None = None,
    guess: str | None = None,
) -> dict[str, Any]:
    return {
        "hash": prompt.hash,
        "id": prompt.id,
        "slice": prompt.slice,
        "round": number,
        "by": by,
        "score": score,
        "cluster": cluster,
        "guess": guess,
    }


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """`answers/plan.parquet`, in the plan's order.

    `round` counts plans that added to each other, 0 for what was answered outside any; `by` names the plan,
    with its `score`, `cluster` and the first student's `guess` where it went by them, else null.
    """
    import pyarrow as pa

    text = [(name, pa.string()) for name in ("hash", "id", "slice")]
    schema = pa.schema(
        [
            *text,
            ("round", pa.int32()),
            ("by", pa.string()),
            ("score", pa.float64()),
            ("cluster", pa.string()),
            ("guess", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


PLAN = Stage(
    name="plan",
    inputs=_inputs,
    outputs=lambda programme: [programme.plan],
    work=_work,
    wanted=lambda programme: programme.config.labelling.sample is not None,
)
