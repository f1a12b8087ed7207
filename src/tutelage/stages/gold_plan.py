"""`gold --plan`: what gold still needs, and prompts of the traffic, drawn at random, for people to label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.data import drop_repeats, exclude_gold
from tutelage.errors import DataError, UsageError
from tutelage.extras import require_extra
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import AnyGold, Prompt
from tutelage.stages.gold import add_to_label, read_gold_parts, read_to_label
from tutelage.stages.sources import source_path
from tutelage.stages.traffic import read_traffic
from tutelage.stages.transfer import split_by_time

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tutelage.data import GoldSet
    from tutelage.data.gold_plan import SliceNeed

_EACH_CLUSTER = 10  # examples of gold that a cluster is to have on average
_LATEST = 0.2  # of the traffic, from which gold is drawn where what is held back is the latest
_CHOICE = 2  # prompts at least for each that is drawn of those
_MOST_LOOKED_AT = 100_000  # texts of the traffic among which are drawn; a random part of more


@dataclass(frozen=True)
class GoldPlan:
    """What gold needs by slice, all last; how many prompts were drawn now, and how many wait in all.

    `siblings` counts the texts that aren't drawn and leave the transfer set with gold: of the same subjects.
    """

    needs: Sequence[SliceNeed]
    drawn: int
    waiting: int
    path: Path
    seed: int
    siblings: int


def plan_gold(
    programme: Programme, progress: Progress, *, seed: int = 0, most: int | None = None, draw: bool = True
) -> GoldPlan:
    """What gold needs for its margins; with `draw` that many prompts more, at most `most`, into `to_label`.

    They are in no gold yet, and from now on `collect` keeps them out of the transfer set. Raises UsageError
    where the traffic has none left, DataError and ConfigError where a source can't be read.
    """
    require_extra("programme", "`tutelage gold --plan`")
    gold = _gold(programme, progress)
    traffic = _Traffic.read(programme, progress, gold, seed)
    needs = _needs(programme, gold, traffic)
    wanted = {need.slice: need.rows for need in needs}
    drawn: list[tuple[Prompt, str]] = []
    if draw and any(wanted.values()):
        if not traffic.fresh:
            raise UsageError(
                f"every prompt of {programme.config.traffic.path} is gold, or drawn for it already. "
                "Mend: add traffic, or write examples"
            )
        drawn = traffic.draw(wanted, gold, seed, most)
        add_to_label(programme, drawn)
        programme.journal.append(
            "drawn_for_gold",
            seed=seed,
            n=len(drawn),
            slices=dict(sorted(Counter(prompt.slice for prompt, _ in drawn).items())),
            prompts=fingerprint(sorted(prompt.hash for prompt, _ in drawn)),
        )
    waiting = sum(traffic.waiting.values()) + len(drawn)
    siblings = 0 if programme.config.traffic.siblings == "keep" else traffic.siblings(drawn)
    return GoldPlan(needs, len(drawn), waiting, programme.to_label, seed, siblings)


def _gold(programme: Programme, progress: Progress) -> GoldSet:
    """Gold as sealing would have it now; none where nobody has labelled anything yet."""
    from tutelage.data import GoldSet

    path = source_path(programme, programme.config.gold.path)
    if isinstance(path, Path) and not path.exists():
        progress.note(f"{path} doesn't exist: gold begins with what is labelled now")
        return GoldSet([], [], [])
    return read_gold_parts(programme, progress)


def _needs(programme: Programme, gold: GoldSet, traffic: _Traffic) -> list[SliceNeed]:
    from tutelage.data.gold_plan import slice_needs

    config = programme.config.gold
    parts = [part for part in (config.training, config.calibration) if part is not None and part.path is None]
    return slice_needs(
        Counter(item.prompt.slice for item in gold.sealed),
        traffic.waiting,
        Counter(prompt.slice for prompt in traffic.fresh),
        margins(programme, gold, traffic.slices),
        accuracy=config.expected_accuracy,
        sealed_share=1 - sum(part.share_taken for part in parts),
    )


def margins(programme: Programme, gold: GoldSet, others: Sequence[str]) -> dict[str, tuple[float, str]]:
    """The half-width that each slice with terms of its own is to be known to, and all, with whose term it is.

    A loss smaller than the interval can't be told from chance, so a slice's largest acceptable loss is the
    margin it needs.
    """
    from tutelage.data.gold_plan import ALL

    config, release = programme.config.gold, programme.config.release
    there = dict.fromkeys([*sorted({item.prompt.slice for item in gold.sealed}), *others])
    found: dict[str, tuple[float, str]] = {}
    for name in dict.fromkeys([*there, *release.critical_slices]):
        if name in release.critical_slices:
            if name in there or "critical_slices" in release.model_fields_set:
                found[name] = (release.max_critical_loss, "release.max_critical_loss")
        elif release.max_slice_loss is not None:
            found[name] = (release.max_slice_loss, "release.max_slice_loss")
    usable = {name: (margin, why) for name, (margin, why) in found.items() if margin > 0}
    return {**usable, ALL: (config.margin, "gold.margin")}


@dataclass(frozen=True)
class _Traffic:
    """The traffic's distinct texts that aren't gold, how often each came in, and what waits by slice.

    With `by_time` gold is drawn among the latest.
    """

    fresh: Sequence[Prompt]
    counts: Sequence[int]
    waiting: Mapping[str, int]
    slices: Sequence[str]
    groups: frozenset[str]
    by_time: bool = False

    @classmethod
    def read(cls, programme: Programme, progress: Progress, gold: GoldSet, seed: int) -> _Traffic:
        """Read it. Raises as `read_traffic`, and DataError where none of what is split by time has one."""
        rows = read_traffic(programme, progress).accepted
        distinct, _ = drop_repeats(rows)
        counts = _counts(distinct, rows)
        known = [item.prompt for item in gold.examples]
        drawn = read_to_label(programme)
        ours = {prompt.hash for prompt in known}
        waiting = Counter(prompt.slice for prompt in drawn if prompt.hash not in ours)
        kept = _some(distinct, seed)
        fresh, _ = exclude_gold(kept, [*known, *drawn], programme.config.traffic.near_duplicate)
        slices = sorted({prompt.slice for prompt in rows})
        held: list[AnyGold] = [*gold.sealed, *gold.calibration]
        apart = [*(item.prompt for item in held), *drawn]
        groups = frozenset(prompt.group for prompt in apart if prompt.group)
        by_time = split_by_time(programme)
        if by_time and fresh and all(prompt.time is None for prompt in fresh):
            raise DataError(
                f"traffic.split is time, and no prompt of {programme.config.traffic.named} has one. Mend: "
                "name the column of times in columns.time, or leave traffic.split out"
            )
        often = [counts[prompt.hash] for prompt in fresh]
        return cls(fresh, often, waiting, slices, groups, by_time)

    def siblings(self, drawn: Sequence[tuple[Prompt, str]]) -> int:
        """How many of the texts looked at are of a subject of gold, or of what is `drawn` now."""
        taken = {prompt.hash for prompt, _ in drawn}
        groups = self.groups | {prompt.group for prompt, _ in drawn if prompt.group}
        return sum(prompt.group in groups and prompt.hash not in taken for prompt in self.fresh)

    def draw(
        self, wanted: Mapping[str, int], gold: GoldSet, seed: int, most: int | None
    ) -> list[tuple[Prompt, str]]:
        """Prompts with the names of their clusters, in random order: first of slices, then of all."""
        import numpy as np

        from tutelage.data.gold_plan import ALL, draw_stratified

        names, numbers, of_gold = self._clusters(gold, sum(wanted.values()), seed)
        counts = np.array(self.counts, dtype=np.int64)
        chosen: list[int] = []
        taken: set[int] = set()
        for name, rows in wanted.items():
            left = rows - (len(chosen) if name == ALL else 0)
            places = [
                place
                for place, prompt in enumerate(self.fresh)
                if (name == ALL or prompt.slice == name) and place not in taken
            ]
            if left <= 0 or not places:
                continue
            some = np.array(self._latest(places, left) if self.by_time else places, dtype=np.int64)
            have = np.bincount(
                [number for number, item in of_gold if name in (ALL, item)], minlength=len(names)
            ).astype(np.float64)
            found = draw_stratified(left, numbers[some], counts[some], have, seed=seed)
            chosen += some[found].tolist()
            taken.update(chosen)
        order = np.random.default_rng(seed).permutation(len(chosen))[:most]
        return [(self.fresh[chosen[place]], names[numbers[chosen[place]]]) for place in order]

    def _latest(self, places: Sequence[int], rows: int) -> Sequence[int]:
        """A fifth of those that have a time, or twice `rows`: a student is asked what is to come."""
        dated = [(time, place) for place in places if (time := self.fresh[place].time) is not None]
        most = max(round(_LATEST * len(dated)), _CHOICE * rows)
        return [place for _, place in sorted(sorted(dated, reverse=True)[:most])] or places

    def _clusters(
        self, gold: GoldSet, rows: int, seed: int
    ) -> tuple[Sequence[str], npt.NDArray[np.int64], list[tuple[int, str]]]:
        """Names of the traffic's clusters, the number of each fresh text, and number and slice of gold's."""
        import numpy as np

        from tutelage.data.clusters import cluster_count, fit_clusters
        from tutelage.data.word_space import WordSpace

        texts = [prompt.text for prompt in self.fresh]
        space = WordSpace.fit(texts, seed=seed)
        points = space.embed(texts)
        judged = len(gold.sealed) + rows
        count = cluster_count(len(texts), least_in_each=_EACH_CLUSTER, judged=judged)
        clusters = fit_clusters(texts, points, count, seed=seed)
        numbers, _ = clusters.place(points)
        placed, _ = clusters.place(space.embed([item.prompt.text for item in gold.sealed]))
        slices = [item.prompt.slice for item in gold.sealed]
        return clusters.names, numbers.astype(np.int64), list(zip(placed.tolist(), slices, strict=True))


def _counts(distinct: Sequence[Prompt], rows: Sequence[Prompt]) -> dict[str, int]:
    from tutelage.data.duplicates import normalise

    often = Counter(normalise(prompt.text) for prompt in rows)
    return {prompt.hash: often[normalise(prompt.text)] for prompt in distinct}


def _some(prompts: list[Prompt], seed: int) -> list[Prompt]:
    """All of them, or a random part of so many that what is drawn of them stays random."""
    import numpy as np

    if len(prompts) <= _MOST_LOOKED_AT:
        return prompts
    taken = np.random.default_rng(seed).choice(len(prompts), _MOST_LOOKED_AT, replace=False)
    return [prompts[place] for place in np.sort(taken)]
