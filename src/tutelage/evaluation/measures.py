"""Each task's own figures beside accuracy, as functions of sums over examples.

A figure that is made of sums (a mean, an F1, a kappa) can be drawn again on any sample of examples from what
each example adds, which is computed once. `evaluation._measured` does so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.recovered import Estimated, share
from tutelage.records import Value
from tutelage.tasks import Classify, Extract, Generate, Judge, Task, names_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measure:
    """One figure of one arm.

    `parts`, float64 [n, parts], is what each example adds; `of` makes the figure, [...], of sums
    [..., parts], NaN where there is nothing to divide by. `bounded`: it lies in [0, 1], 1 being best, and
    is 1 only where every example is. `field` names the record's field that it is of; empty for the whole.
    `estimated` gives estimate and interval, where it knows better than resampling, of examples that occur
    [n] times with parts [n, parts].
    """

    name: str
    parts: Floats
    of: Callable[[Floats], Floats]
    bounded: bool = True
    field: str = ""
    estimated: Callable[[Floats, Floats], Estimated] | None = None

    @property
    def counted(self) -> bool:
        """Whether it is a proportion of examples: each adds a success or a failure, or isn't looked at."""
        return self.of is ratio and bool(np.isin(self.parts, (0.0, 1.0)).all())


def measures_of(
    task: Task,
    answers: Sequence[Value | None],
    references: Sequence[Value],
    similarity: Floats | None = None,
) -> list[Measure]:
    """The figures of `answers` [n] against `references` [n] that the task's kind has; see `docs/methods.md`.

    `similarity`, float64 [n], is that of the two texts' embeddings, where there are any: of `generate` alone.
    A missing answer counts as 0 in means and as nothing found in F1; a kappa is of answers there are.
    """
    if isinstance(task, Extract):
        return list(_of_records(task, answers, references))
    if isinstance(task, Generate):
        return list(_of_texts(task, answers, references, similarity))
    if isinstance(task, Judge):
        return list(_of_judgements(task, answers, references))
    if isinstance(task, Classify) and task.multi_label:
        return list(_of_label_sets(task, answers, references))
    return []


def ratio(sums: Floats) -> Floats:
    """The first sum over the second; NaN over nothing."""
    over, under = sums[..., 0], sums[..., 1]
    found: Floats = np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)
    return found


def _f1(sums: Floats) -> Floats:
    """2·hits / (given + wanted), of sums (hits, given, wanted)."""
    return ratio(np.stack([2 * sums[..., 0], sums[..., 1] + sums[..., 2]], axis=-1))


def _mean(name: str, values: Sequence[float] | Floats, **about: object) -> Measure:
    column = np.asarray(values, dtype=np.float64)
    return Measure(name, np.stack([column, np.ones_like(column)], axis=1), ratio, **about)  # type: ignore[arg-type]


def _retrieval(prefix: str, counts: Floats, field: str = "") -> Iterator[Measure]:
    """Precision, recall and F1 of counts (hits, given, wanted), float64 [n, 3]."""
    yield Measure(f"{prefix}precision", counts[:, [0, 1]], ratio, field=field)
    yield Measure(f"{prefix}recall", counts[:, [0, 2]], ratio, field=field)
    yield Measure(f"{prefix}f1", counts, _f1, field=field)


def _of_records(
    task: Extract, answers: Sequence[Value | None], references: Sequence[Value]
) -> Iterator[Measure]:
    n = len(references)
    whole = np.zeros((n, 3))
    # By field: hits, given and wanted as in retrieval, then agreeing and compared, absent ones included.
    fields: dict[str, Floats] = defaultdict(lambda: np.zeros((n, 5)))
    scores = np.zeros(n)
    for row, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        if answer is not None:
            scores[row] = task.compare(answer, reference).score
        for outcome in task.outcomes(answer, reference):
            hit = outcome.agree and outcome.given and outcome.wanted
            fields[outcome.path][row] += (hit, outcome.given, outcome.wanted, outcome.agree, 1)
    for counts in fields.values():
        whole += counts[:, :3]
    yield from _retrieval("field_", whole)
    yield _mean("mean_score", scores)
    for path, counts in sorted(fields.items()):
        yield Measure("accuracy", counts[:, [3, 4]], ratio, field=path)
        yield from _retrieval("", counts[:, :3], path)


def _of_texts(
    task: Generate,
    answers: Sequence[Value | None],
    references: Sequence[Value],
    similarity: Floats | None,
) -> Iterator[Measure]:
    compared = [
        {} if answer is None else task.compare(answer, reference).fields
        for answer, reference in zip(answers, references, strict=True)
    ]
    for name in ("chrf", "rouge_l"):
        yield _mean(name, [fields.get(name, 0.0) for fields in compared])
    if similarity is not None:
        answered = np.array([answer is not None for answer in answers], dtype=bool)
        yield _mean("embedding_similarity", np.where(answered, similarity, 0.0), bounded=False)


def _of_judgements(
    task: Judge, answers: Sequence[Value | None], references: Sequence[Value]
) -> Iterator[Measure]:
    place = {label: index for index, label in enumerate(task.labels)}
    there = np.array([answer is not None for answer in answers], dtype=bool)
    ours = np.array([-1 if answer is None else place[names_of(answer)[0]] for answer in answers])
    theirs = np.array([place[names_of(reference)[0]] for reference in references])
    apart = np.abs(np.arange(len(place))[:, None] - np.arange(len(place))[None, :]).astype(np.float64)
    weights = {"kappa": (apart > 0).astype(np.float64)}
    if task.scored:
        weights |= {"linear_kappa": apart, "quadratic_kappa": apart**2}
    for name, weight in weights.items():
        yield _kappa(name, ours, theirs, there, weight)
    if task.scored:
        signed = np.where(there, ours - theirs, 0).astype(np.float64)
        for name, distance in (("mean_distance", np.abs(signed)), ("bias", signed)):
            yield Measure(name, np.stack([distance, there], axis=1), ratio, bounded=False)


def _kappa(
    name: str,
    ours: npt.NDArray[np.int64],
    theirs: npt.NDArray[np.int64],
    there: npt.NDArray[np.bool_],
    weights: Floats,
) -> Measure:
    """Cohen's kappa with disagreement `weights` [categories, categories] (Cohen 1968), of answers there are.

    An example adds its disagreement, itself, and one to each rater's count of its category.
    """
    k = len(weights)
    parts = np.zeros((len(ours), 2 + 2 * k))
    rows = np.flatnonzero(there)
    parts[rows, 0] = weights[ours[rows], theirs[rows]]
    parts[rows, 1] = 1
    parts[rows, 2 + ours[rows]] = 1
    parts[rows, 2 + k + theirs[rows]] = 1

    def of(sums: Floats) -> Floats:
        chance = np.einsum("...i,ij,...j->...", sums[..., 2 : 2 + k], weights, sums[..., 2 + k :])
        return 1.0 - ratio(np.stack([sums[..., 0] * sums[..., 1], chance], axis=-1))

    def estimated(counts: Floats, parts: Floats) -> Estimated:
        return _kappa_interval(counts, parts, weights)

    return Measure(name, parts, of, bounded=False, estimated=estimated)


def _kappa_interval(counts: Floats, parts: Floats, weights: Floats) -> Estimated:
    """A kappa with its interval: that of how far raters agree, as a share, beyond what chance explains.

    The share of the largest disagreement that isn't there is worth so many examples as give kappa its
    variance by the delta method (Fleiss, Cohen and Everitt 1969), and at most those there are (see
    `recovered.share`): normal intervals leave kappas near 1 out in a tenth to a half of small samples. Chance
    has to be able to disagree.
    """
    k, n = len(weights), float(counts @ parts[:, 1])
    ours, theirs = parts[:, 2 : 2 + k], parts[:, 2 + k :]
    of_ours, of_theirs = counts @ ours / n, counts @ theirs / n
    apart, chance = float(counts @ parts[:, 0]) / n, float(of_ours @ weights @ of_theirs)
    # What an example adds to apart / chance, less its mean.
    expected = ours @ weights @ of_theirs + theirs @ weights.T @ of_ours - 2 * chance * parts[:, 1]
    added = parts[:, 0] - apart * parts[:, 1] - apart / chance * expected
    most = float(weights.max())
    agreeing = share(1 - apart / most, float(counts @ added**2) / (n * max(1.0, n - 1)) / most**2, n)
    ends = (max(-1.0, 1 - (1 - end) * most / chance) for end in (agreeing.low, agreeing.high))
    return Estimated(1 - apart / chance, *ends)


def _of_label_sets(
    task: Classify, answers: Sequence[Value | None], references: Sequence[Value]
) -> Iterator[Measure]:
    counts, jaccard = np.zeros((len(references), 3)), np.zeros(len(references))
    for row, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        given = set() if answer is None else set(names_of(answer))
        wanted = set(names_of(reference))
        counts[row] = len(given & wanted), len(given), len(wanted)
        if answer is not None:
            jaccard[row] = task.compare(answer, reference).score
    yield _mean("jaccard", jaccard)
    yield from _retrieval("micro_", counts)
