"""Prompts that say the same in other words: kept apart from gold, in one group, and told where they are left.

What computes is imported where it is used: `tutelage status` looks at stages and should be quick.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tutelage.errors import UsageError
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt, PromptStream
from tutelage.scale import LOCAL, Engine
from tutelage.stages.coverage import text_space
from tutelage.stages.gold import kept_apart, kept_apart_inputs
from tutelage.stages.sources import model_fingerprint

_NAMED = 3


def apart_in_meaning(
    programme: Programme,
    training: Sequence[Prompt],
    traffic: Collection[Prompt],
    progress: Progress,
    engine: Engine = LOCAL,
) -> Collection[Prompt]:
    """Gold's training part and the traffic, without what of the latter gold has in other words, in groups.

    Each text once, the traffic's first in order, as gold's prompt where both have it. Nothing is left out or
    grouped without `traffic.semantic_duplicate`. Raises UsageError for more texts than are compared.
    `traffic` has each text once, as `collect` leaves it.
    """
    every = _with_training(traffic, training)
    least = programme.config.traffic.semantic_duplicate
    if least is None:
        return every
    from tutelage.data.meaning import MOST, grouped, nearest

    if len(every) > MOST:
        raise UsageError(
            f"traffic.semantic_duplicate compares all pairs of {MOST:,} prompts at most, and there are "
            f"{len(every):,}. Mend: label a part (labelling.sample), or leave it out"
        )
    prompts = list(every)
    gold = kept_apart(programme)
    space = text_space(programme, [prompt.text for prompt in prompts], engine)
    with progress.track("comparing by meaning", 2, "steps") as tracker:
        points = space.embed([prompt.text for prompt in prompts])
        of_gold = space.embed([prompt.text for prompt in gold])
        tracker.advance(note="embedded")
        rows, cosines = nearest(points, of_gold)
        human = {prompt.hash for prompt in training}
        near = [
            cosine >= least and prompt.hash not in human
            for prompt, cosine in zip(prompts, cosines.tolist(), strict=True)
        ]
        kept = [place for place, flag in enumerate(near) if not flag]
        found = grouped([prompts[place] for place in kept], points[kept], least)
        tracker.advance(note="grouped")
    if any(near):
        named = "; ".join(
            f"{prompts[place].id!r} and gold's {gold[rows[place]].id!r} ({cosines[place]:.2f})"
            for place in [place for place, flag in enumerate(near) if flag][:_NAMED]
        )
        progress.warn(
            f"{sum(near):,} prompts aren't asked, since gold has them in other words "
            f"(traffic.semantic_duplicate {least:g}): {named}"
        )
    names = [prompt.group for prompt in found if prompt.group]
    progress.note(
        f"{len(names):,} prompts in {len(set(names)):,} groups, near duplicates in meaning included"
    )
    return found


def _with_training(traffic: Collection[Prompt], training: Sequence[Prompt]) -> Collection[Prompt]:
    known = {prompt.hash: prompt for prompt in training}
    if not known:
        return traffic
    met = {hash_ for prompt in traffic if (hash_ := prompt.hash) in known}
    rest = [prompt for hash_, prompt in known.items() if hash_ not in met]
    as_gold = PromptStream(lambda: (known.get(prompt.hash, prompt) for prompt in traffic), len(traffic))
    return PromptStream.of(as_gold, rest)


def meaning_inputs(programme: Programme) -> Mapping[str, str]:
    """Of stages that compare by meaning; empty where that is off."""
    least, config = programme.config.traffic.semantic_duplicate, programme.config
    if least is None:
        return {}
    return {
        "traffic.semantic_duplicate": fingerprint(least),
        "coverage.embedding": model_fingerprint(programme, config.coverage.embedding),
        **kept_apart_inputs(programme),
    }
