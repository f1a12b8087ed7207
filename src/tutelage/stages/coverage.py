"""`coverage`: is gold like the traffic? Asked before the teacher is paid.

What computes is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.config import WORDS
from tutelage.data import read_sealed, read_training
from tutelage.data.arrivals import Arrival, arrivals, draw_came_in
from tutelage.labelling import choose_examples
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.scale import LOCAL, Engine, open_engine
from tutelage.stages.asking import prompted_task
from tutelage.stages.collected import each_prompt, each_rejection, every_prompt, hash_batches
from tutelage.stages.gold import calibration_inputs, kept_apart
from tutelage.stages.representation import known_before, leaks_in_meaning, represented, transfer_profile
from tutelage.stages.sources import model_fingerprint
from tutelage.stages.task import labels_fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.data.leakage import Leak
    from tutelage.evaluation.likeness import Likeness, Space
    from tutelage.evaluation.weighting import Weights

_NAMED = 3
_LISTED = 50  # leaks
_COMPARED = 2_000  # texts that are looked up among so many others
_AGAINST = 20_000
MOST_LOOKED_AT = 100_000  # texts as they came in; of more as many are drawn at random


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "prompts/rejected.parquet": fingerprint(programme.prompts_rejected),
        "gold/sealed.parquet": fingerprint(programme.sealed),
        "gold/training.parquet": fingerprint(programme.gold_training),
        "gold/rejected.parquet": fingerprint(programme.gold_rejected),
        **calibration_inputs(programme),
        "labels": labels_fingerprint(programme),
        "task": fingerprint(config.task),
        "prompting": fingerprint(config.prompting),
        "traffic.near_duplicate": fingerprint(config.traffic.near_duplicate),
        **(
            {"traffic.semantic_duplicate": fingerprint(config.traffic.semantic_duplicate)}
            if config.traffic.semantic_duplicate
            else {}
        ),
        "coverage": fingerprint(config.coverage),
        "coverage.embedding": _model_of(programme),
    }


def _model_of(programme: Programme) -> str:
    name = programme.config.coverage.embedding
    return fingerprint(name) if name == WORDS else model_fingerprint(programme, name)


@dataclass(frozen=True)
class _Texts:
    """The traffic as it came in, gold, gold's training part, and which texts of that the teacher is shown.

    Of large traffic a part that was drawn at random, `of` so many with repeats.
    """

    traffic: Sequence[Arrival]
    of: int
    gold: Sequence[Prompt]
    training: Sequence[Prompt]
    shown: Set[str]


def read_coverage(programme: Programme) -> dict[str, Any]:
    """What `coverage` found, as `prompts/coverage.json` has it."""
    found: dict[str, Any] = storage.read_json(programme.coverage)
    return found


def shown_coverage(programme: Programme) -> dict[str, Any]:
    """`read_coverage` with `transfer`, what the transfer set has as it is now; None before `label`."""
    return {**read_coverage(programme), "transfer": transfer_profile(programme)}


def _work(programme: Programme, progress: Progress) -> str:
    from tutelage.evaluation.likeness import liken

    config = programme.config.coverage
    texts, before = _read(programme), known_before(programme)
    earlier = read_coverage(programme) if programme.coverage.exists() else {}
    with (
        open_engine(programme.config.engine, progress) as engine,
        progress.track("looking at coverage", 5, "steps") as tracker,
    ):
        likeness = liken(
            texts.traffic,
            texts.gold,
            texts.training,
            text_space(programme, [item.prompt.text for item in texts.traffic], engine),
            clusters=config.clusters,
            seed=config.seed,
        )
        tracker.advance(note="clusters")
        found = likeness.to_json()
        tracker.advance(note="tests")
        over_time = represented(texts.traffic, likeness, before, earlier, config.seed)
        tracker.advance(note="seasons")
        weights = likeness.weights()
        tracker.advance(note="weights")
        leaks = _leaks(programme, texts)
        leakage = {**_leakage(programme, texts, leaks), "meaning": _meaning(programme, texts, likeness)}
        tracker.advance(note="leaks")
    content = {
        **found,
        **over_time,
        "embedding": config.embedding,
        "seed": config.seed,
        "texts": {
            "traffic": len(texts.traffic),
            "traffic_with_repeats": int(likeness.traffic.counts.sum()),
            "traffic_in_all": texts.of,
            "gold": len(texts.gold),
            "training": len(texts.training),
            "example": len(texts.shown),
        },
        "covered": {name: None if one is None else one.covered for name, one in weights.items()},
        "leakage": leakage,
    }
    storage.write_table(programme.placed, _table(texts, likeness, weights, leaks))
    storage.write_json(programme.coverage, content)
    return _told(content, progress)


def _read(programme: Programme) -> _Texts:
    gold = [item.prompt for item in read_sealed(programme.sealed, programme.seal)]
    training = read_training(programme.gold_training)
    wanted = programme.config.prompting
    shown = {example.text for example in choose_examples(training, wanted.examples, wanted.seed)}
    drawn = draw_came_in(
        each_prompt(programme), each_rejection(programme), MOST_LOOKED_AT, programme.config.coverage.seed
    )
    came = arrivals(drawn.prompts, drawn.rejected, kept_apart(programme))
    return _Texts(came, drawn.of, gold, [item.prompt for item in training], shown)


def text_space(programme: Programme, texts: Sequence[str], engine: Engine = LOCAL) -> Space:
    """The space that `coverage.embedding` names; that of words is fitted on `texts`, in this process."""
    config = programme.config.coverage
    if config.embedding == WORDS:
        from tutelage.data.word_space import WordSpace

        return WordSpace.fit(texts, seed=config.seed)
    from tutelage.stages.embedding import EmbeddingSpace

    return EmbeddingSpace.named(config.embedding, programme.folder, engine)


def _leaks(programme: Programme, texts: _Texts) -> list[Leak]:
    """What of gold is left in what is learned from or shown to the teacher."""
    from tutelage.data.leakage import find_leaks

    asked = prompted_task(programme, read_training(programme.gold_training)).render("")
    return find_leaks(
        texts.gold,
        {"traffic": every_prompt(programme), "training": texts.training},
        shown="\n".join(message["content"] for message in asked),
        cleaned_at=programme.config.traffic.near_duplicate,
    )


def _learned(programme: Programme, texts: _Texts) -> list[Prompt]:
    """What was kept of the traffic that is looked at, without what was set aside as gold's."""
    hashes = [item.prompt.hash for item in texts.traffic]
    wanted = set(hashes)
    kept = set[str]().union(*(wanted.intersection(batch) for batch in hash_batches(programme)))
    return [item.prompt for item, hash_ in zip(texts.traffic, hashes, strict=True) if hash_ in kept]


def _leakage(programme: Programme, texts: _Texts, leaks: Sequence[Leak]) -> dict[str, Any]:
    """What cleaning set aside, and what of gold is left.

    `gold` counts examples by kind, `known` those that are more than near; `left` counts pairs, of which the
    first fifty are listed. `near` compares gold with fresh traffic, where cleaning was lax; else None.
    """
    from tutelage.data.leakage import LeakKind

    set_aside = (("gold", programme.gold_rejected), ("traffic", programme.prompts_rejected))
    known = {leak.gold for leak in leaks if leak.kind is not LeakKind.NEAR}
    pairs = sorted(Counter((str(leak.kind), leak.part) for leak in leaks).items())
    return {
        "set_aside": {
            name: dict(sorted(Counter(storage.read_table(path).column("reason").to_pylist()).items()))
            for name, path in set_aside
        },
        "cleaned_at": programme.config.traffic.near_duplicate,
        "n_gold": len(texts.gold),
        "known": len(known),
        "gold": {str(kind): len({leak.gold for leak in leaks if leak.kind is kind}) for kind in LeakKind},
        "left": [{"kind": kind, "part": part, "pairs": count} for (kind, part), count in pairs],
        "near": _near(programme, texts),
        "listed": [{**asdict(leak), "kind": str(leak.kind)} for leak in leaks[:_LISTED]],
    }


def _meaning(programme: Programme, texts: _Texts, likeness: Likeness) -> dict[str, Any] | None:
    """None where texts are compared by their words, which don't tell."""
    from tutelage.data.meaning import USUAL_SIMILARITY

    config = programme.config
    if config.coverage.embedding == WORDS:
        return None
    return leaks_in_meaning(
        likeness,
        ([prompt.id for prompt in texts.gold], [item.prompt.id for item in texts.traffic]),
        {prompt.hash for prompt in _learned(programme, texts)},
        config.traffic.semantic_duplicate or USUAL_SIMILARITY,
        config.coverage.seed,
    )


def _near(programme: Programme, texts: _Texts) -> dict[str, Any] | None:
    import numpy as np

    from tutelage.data.leakage import USUAL_THRESHOLD, have_near
    from tutelage.evaluation.shift import commoner

    if programme.config.traffic.near_duplicate <= USUAL_THRESHOLD:
        return None
    generator = np.random.default_rng(programme.config.coverage.seed)
    learned = _learned(programme, texts)
    order = generator.permutation(len(learned))
    fresh = [learned[index].text for index in order[: min(_COMPARED, len(order) // 4)]]
    rest = [learned[index].text for index in order[len(fresh) : len(fresh) + _AGAINST]]
    gold = [texts.gold[index].text for index in generator.permutation(len(texts.gold))[:_COMPARED]]
    return commoner(have_near(gold, rest), len(gold), have_near(fresh, rest), len(fresh))


def _table(
    texts: _Texts, likeness: Likeness, weights: Mapping[str, Weights | None], leaks: Sequence[Leak]
) -> pa.Table:
    """A row a text: part, id, hash, how often it came in, cluster; and gold's weights and kind of leak.

    What is shown to the teacher as an example is a row of its training part too.
    """
    import numpy as np
    import pyarrow as pa

    leaked = {leak.gold: str(leak.kind) for leak in reversed(leaks)}
    shown = [index for index, prompt in enumerate(texts.training) if prompt.text in texts.shown]
    parts = (
        ("traffic", [item.prompt for item in texts.traffic], likeness.traffic, None),
        ("gold", texts.gold, likeness.gold, None),
        ("training", texts.training, likeness.training, None),
        ("example", [texts.training[index] for index in shown], likeness.training, shown),
    )
    tables = []
    for part, prompts, placed, rows in parts:
        taken = np.arange(len(placed)) if rows is None else np.array(rows, dtype=np.int64)
        kinds = [leaked.get(prompt.id) if part == "gold" else None for prompt in prompts]
        columns = {
            "part": pa.array([part] * len(prompts), pa.string()),
            "id": pa.array([prompt.id for prompt in prompts], pa.string()),
            "hash": pa.array([placed.hashes[index] for index in taken], pa.string()),
            "count": pa.array(placed.counts[taken], pa.int64()),
            "cluster": pa.array(placed.clusters[taken], pa.int32()),
            "leak": pa.array(kinds, pa.string()),
        }
        for name, one in weights.items():
            values = one.values if part == "gold" and one is not None else np.full(len(prompts), np.nan)
            columns[f"{name}_weight"] = pa.array(values, pa.float64(), from_pandas=True)
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _told(content: Mapping[str, Any], progress: Progress) -> str:
    """Warn of what a person should mend; return the stage's line."""
    clusters, unlike = content["clusters"], content["unlike"]
    short = [entry for entry in clusters if entry["state"] != "covered"]
    if short:
        named = "; ".join(f"“{entry['name']}” ({entry['traffic']:.1%})" for entry in short[:_NAMED])
        more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
        progress.warn(
            f"gold lacks, or is thin in, {len(short)} of {len(clusters)} clusters, which hold "
            f"{unlike['estimate']:.1%} of the traffic: {named}{more}. Mend: label about "
            f"{unlike['needed']:,} prompts of these (prompts/coverage.parquet lists them)"
        )
    if left := content["leakage"]["left"]:
        found = ", ".join(f"{one['pairs']:,} {one['kind']} ({one['part']})" for one in left)
        progress.warn(
            f"gold is among what is learned from or shown to the teacher: {found}; prompts/coverage.json"
        )
    looked_at, of = content["texts"]["traffic_with_repeats"], content["texts"]["traffic_in_all"]
    if looked_at < of:
        progress.note(f"{looked_at:,} of {of:,} texts that came in were looked at, drawn at random")
    test = content["classifier"]
    told = f"; told apart with an AUC of {test['auc']:.2f} (p {test['p']:.2g})" if test else ""
    return (
        f"{unlike['estimate']:.1%} of the traffic in clusters that gold lacks or is thin in, of "
        f"{len(clusters)}{told}"
    )


COVERAGE = Stage(
    name="coverage",
    inputs=_inputs,
    outputs=lambda programme: [programme.placed, programme.coverage],
    work=_work,
    needed_by=("synthesise", "evaluate"),
)
