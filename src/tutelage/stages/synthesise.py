"""`synthesise`: a model writes prompts where the traffic is thin or hard.

They stand beside the traffic and never among it: coverage, plans, novelty and gold see real prompts alone.
What computes is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.config import SoleTeacherConfig, SynthesisConfig
from tutelage.data import read_training, rejections_to_table
from tutelage.data.synthetic import Kind, Synthetic, most_beside, read_synthetic, synthetic_to_table
from tutelage.errors import UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt, PromptStream, Rejection
from tutelage.scale import Engine, open_engine
from tutelage.stages.collected import every_prompt, prompts_with
from tutelage.stages.coverage import MOST_LOOKED_AT, read_coverage, text_space
from tutelage.stages.findings import tell_price, tell_rejected
from tutelage.stages.gold import kept_apart, kept_apart_inputs
from tutelage.stages.planned import plan_inputs, planned_prompts
from tutelage.stages.privacy import privacy_inputs, redacting
from tutelage.stages.rights import require_writer_rights, use_fingerprint

if TYPE_CHECKING:
    from tutelage.data.synthesis import Card
    from tutelage.stages.cards import Cards

_KINDS = {Kind.VARIATION: "variations of hard ones", Kind.CLUSTER: "for thin clusters"}
_CARDS = 50  # of hard prompts, as a multiple of the prompts that are kept at most
_ROUNDS = 3  # of asking: not all that is written is taken


def synthesis_config(programme: Programme) -> SynthesisConfig:
    """The section. Raises UsageError where there is none: nobody is asked to write by default."""
    config = programme.config.synthesis
    if config is None:
        raise UsageError(
            "tutelage.yaml has no section synthesis, so that nothing is written. Mend: add `synthesis: {}` "
            "for the defaults (docs/stages/synthesise.md)"
        )
    return config


def writer_config(programme: Programme) -> SoleTeacherConfig:
    """Who writes: `synthesis.writer`, else the teacher with one answer to each request."""
    config = synthesis_config(programme)
    if config.writer is not None:
        return config.writer
    teacher = programme.config.teacher
    if teacher.type == "ensemble":
        raise AssertionError("unreachable: the schema asks for a writer beside an ensemble")
    if teacher.type in ("openai", "anthropic", "local"):
        return teacher.model_copy(update={"samples": 1})
    return teacher


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    if config.synthesis is None:
        return {"synthesis": "absent"}
    return {
        "synthesis": fingerprint(config.synthesis),
        "the writer": fingerprint(writer_config(programme)),
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "prompts/coverage.parquet": fingerprint(programme.placed),
        "gold/training.parquet": fingerprint(programme.gold_training),
        "traffic.near_duplicate": fingerprint(config.traffic.near_duplicate),
        "coverage.embedding": fingerprint(config.coverage.embedding),
        "rights": use_fingerprint(programme),
        **kept_apart_inputs(programme),
        **plan_inputs(programme),
        **privacy_inputs(programme),
    }


@dataclass(frozen=True)
class _Real:
    """What is real: the prompts that the teacher will be asked, and in which cluster each lies by its hash.

    `traffic` has also those that a plan leaves out. Of large traffic `coverage` has placed a part, which
    stands for the rest.
    """

    asked: Collection[Prompt]
    traffic: Collection[Prompt]
    training: Sequence[Prompt]
    numbers: Mapping[str, int]
    names: Mapping[int, str]
    share: float = 1.0  # of the traffic that was placed

    @classmethod
    def read(cls, programme: Programme) -> _Real:
        placed = storage.read_table(programme.placed).select(["hash", "cluster"]).to_pylist()
        found = read_coverage(programme)
        entries, texts = found["clusters"], found["texts"]
        return cls(
            planned_prompts(programme),
            every_prompt(programme),
            [item.prompt for item in read_training(programme.gold_training)],
            {row["hash"]: row["cluster"] for row in placed},
            {int(entry["cluster"]): str(entry["name"]) for entry in entries},
            texts["traffic_with_repeats"] / texts.get("traffic_in_all", texts["traffic_with_repeats"]),
        )

    @cached_property
    def clusters(self) -> Mapping[str, Sequence[Prompt]]:
        """What the teacher will be asked, by cluster."""
        from tutelage.data.synthesis import clusters_of

        return clusters_of(self.asked, self.numbers, self.names)

    @property
    def count(self) -> int:
        """Texts beside which synthetic ones will stand."""
        training = {prompt.hash for prompt in self.training}
        return len(self.asked) + len(training.difference(prompt.hash for prompt in self.asked))


def _work(programme: Programme, progress: Progress) -> str:
    from tutelage.stages.cards import Cards

    config, writer = synthesis_config(programme), writer_config(programme)
    rights = require_writer_rights(programme, writer)
    real = _Real.read(programme)
    earlier, gone = _still_taken(programme, real)
    most = _most(config, real, progress)
    wanted, least = _cards(config, real)
    with open_engine(programme.config.engine, progress) as engine:
        with AnswerLedger(programme.answers) as ledger:
            cards = Cards(programme, writer, wanted, ledger, rights, engine)
            cards.require_gold(progress)
            tell_price(writer, progress)
            taken, rejected = _written(programme, cards, real, earlier, most, progress)
        kept = [*earlier, *taken][:most]
        tell_rejected([*gone, *rejected], progress, "; prompts/synthetic_rejected.parquet")
        realism = _realism(programme, real, kept, engine)
    limits = {"most": most, "least_in_cluster": least}
    about = {**_about(programme, real, kept, rejected, limits), "realism": realism}
    storage.write_table(programme.synthetic_rejected, rejections_to_table([*gone, *rejected]))
    storage.write_table(programme.synthetic, synthetic_to_table(kept))
    storage.write_json(programme.synthesis, about)
    return _told(about, wanted, progress)


def _still_taken(programme: Programme, real: _Real) -> tuple[list[Synthetic], list[Rejection]]:
    """What earlier runs wrote and may stay: what has become gold or traffic since goes."""
    from tutelage.stages.cards import without_known

    threshold = programme.config.traffic.near_duplicate
    earlier = read_synthetic(programme.synthetic)
    known = PromptStream.of(real.traffic, real.training)
    return without_known(earlier, kept_apart(programme), known, threshold)


def _most(config: SynthesisConfig, real: _Real, progress: Progress) -> int:
    allowed = most_beside(real.count, config.share)
    if allowed < config.prompts:
        progress.note(
            f"{allowed:,} synthetic prompts at most beside {real.count:,} real ones (synthesis.share "
            f"{config.share:g}; synthesis.prompts is {config.prompts:,})"
        )
    return min(allowed, config.prompts)


def _cards(config: SynthesisConfig, real: _Real) -> tuple[list[Card], int]:
    """Cards of hard prompts and of thin clusters in turns; and what a cluster ought to have."""
    from tutelage.data.synthesis import least_prompts, of_thin_clusters, variations

    given = config.least_in_cluster
    least = least_prompts(real.clusters) if given is None else max(1, round(given * real.share))
    turns = zip_longest(
        variations(chain(real.training, real.asked), config.slices, config.seed, _CARDS * config.prompts),
        of_thin_clusters(real.clusters, least, config.seed),
    )
    return [card for turn in turns for card in turn if card is not None], least


def _written(
    programme: Programme,
    cards: Cards,
    real: _Real,
    earlier: Sequence[Synthetic],
    most: int,
    progress: Progress,
) -> tuple[list[Synthetic], list[Rejection]]:
    """Ask until as many are taken as may be, or there is nothing left to ask; what goes, and why."""
    taken, rejected = _taken(programme, cards, real, earlier, progress)
    for _ in range(_ROUNDS):
        chosen, lacking = [], most - len(earlier) - len(taken)
        for card in cards.open():
            if lacking <= 0:
                break
            chosen.append(card)
            lacking -= card.count
        if not chosen:
            break
        cards.tell_costs(chosen, progress)
        failed = sum(report.failed for report in cards.ask(chosen, progress))
        taken, rejected = _taken(programme, cards, real, earlier, progress)
        if failed:
            progress.warn(f"{failed:,} requests have no answer after all their tries, and are left out")
            break
    return taken, rejected


def _taken(
    programme: Programme, cards: Cards, real: _Real, earlier: Sequence[Synthetic], progress: Progress
) -> tuple[list[Synthetic], list[Rejection]]:
    from tutelage.stages.cards import prompts_of, without_known

    taken: list[Synthetic] = []
    rejected: list[Rejection] = []
    with redacting(programme, progress) as redactor:
        for written in cards.answered():
            some, refused = prompts_of(written, redactor)
            taken += some
            rejected += refused
    known = PromptStream.of(real.traffic, real.training, [item.prompt for item in earlier])
    threshold = programme.config.traffic.near_duplicate
    taken, repeated = without_known(taken, kept_apart(programme), known, threshold)
    return taken, [*rejected, *repeated]


def _about(
    programme: Programme,
    real: _Real,
    kept: Sequence[Synthetic],
    rejected: Sequence[Rejection],
    limits: Mapping[str, int],
) -> dict[str, Any]:
    """`prompts/synthesis.json`: counts, who wrote, the clusters that were added to."""
    config = synthesis_config(programme)
    got = Counter(item.cluster for item in kept if item.kind is Kind.CLUSTER)
    share = len(kept) / (real.count + len(kept)) if kept else 0.0
    return {
        **limits,
        "prompts": len(kept),
        "real": real.count,
        "share": share,
        "share_limit": config.share,
        "kinds": dict(sorted(Counter(str(item.kind) for item in kept).items())),
        "slices": dict(sorted(Counter(item.prompt.slice for item in kept).items())),
        "writers": dict(sorted(Counter(item.writer for item in kept).items())),
        "bases": dict(sorted(Counter(item.basis for item in kept).items())),
        "rejected": dict(sorted(Counter(str(item.reason) for item in rejected).items())),
        "clusters": [
            {"name": name, "had": len(real.clusters.get(name, ())), "written": count}
            for name, count in sorted(got.items())
        ],
        "embedding": programme.config.coverage.embedding,
    }


def _realism(
    programme: Programme, real: _Real, kept: Sequence[Synthetic], engine: Engine
) -> dict[str, Any] | None:
    """The distances from the traffic; None where nothing was written."""
    import numpy as np

    from tutelage.evaluation.realism import measure_realism

    if not kept:
        return None
    written = [item.prompt.text for item in kept]
    seeds = {seed for item in kept for seed in item.seeds}
    many = len(real.traffic) > MOST_LOOKED_AT
    traffic = prompts_with(programme, real.numbers.keys() | seeds) if many else list(real.traffic)
    texts = [prompt.text for prompt in traffic]
    space = text_space(programme, [*texts, *written], engine)
    shown = np.array([prompt.hash in seeds for prompt in traffic], dtype=bool)
    of = (
        [str(real.numbers.get(item.seeds[0], "")) for item in kept],
        [str(real.numbers.get(prompt.hash, "")) for prompt in traffic],
    )
    seed = synthesis_config(programme).seed
    return measure_realism(space.embed(written), space.embed(texts), shown, groups=of, seed=seed)


def _told(about: Mapping[str, Any], wanted: Sequence[Card], progress: Progress) -> str:
    if not wanted:
        progress.warn(
            "nothing was hard or thin: no prompt is of synthesis.slices, and each cluster has "
            f"{about['least_in_cluster']:,} prompts. Mend: name slices that the traffic has (traffic.columns."
            "slice), or raise synthesis.least_in_cluster"
        )
    kinds = ", ".join(f"{count:,} {_KINDS[Kind(kind)]}" for kind, count in about["kinds"].items())
    return (
        f"{about['prompts']:,} synthetic prompts ({kinds or 'none'}), {about['share']:.1%} of what will be "
        "labelled"
    )


def read_synthesis(programme: Programme) -> dict[str, Any]:
    """What `synthesise` left, as `prompts/synthesis.json` has it."""
    found: dict[str, Any] = storage.read_json(programme.synthesis)
    return found


SYNTHESISE = Stage(
    name="synthesise",
    inputs=_inputs,
    outputs=lambda programme: [programme.synthetic, programme.synthetic_rejected, programme.synthesis],
    work=_work,
    wanted=lambda programme: programme.config.synthesis is not None,
)
