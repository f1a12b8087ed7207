"""Near duplicates among many texts, in groups: connected by pairs that are alike, single linkage.

Texts with the same number in a column of hashes (`data.preparation`) are candidates. Each column is looked at
by itself, so that memory holds one of them and what is connected so far. In every bucket of equal
numbers all others are compared with the first, those that aren't like it with the first of what is left, and
so on; pairs that are connected already needn't be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from tutelage.data.minhash import Hashes

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Alike = Callable[[Indices, Indices], Flags]

_ROUNDS = 8  # firsts of a bucket; what is like none of them is left to other columns


def first_of(high: Hashes, low: Hashes) -> Indices:
    """For each row the first row, itself maybe, with the same 128 bits."""
    order = np.lexsort((low, high))  # stable: equal ones stay in the order of the rows
    changes = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1)) if len(order) else np.empty(0, np.int64)
    firsts = np.empty(len(high), np.int64)
    firsts[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    return firsts


def connect(count: int, pairs: Iterable[tuple[Indices, Indices]]) -> Indices:
    """For each of `count` items the first of those that it is connected with by pairs, itself maybe."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = list(pairs)
    ones = np.concatenate([one for one, _ in known] or [np.empty(0, np.int64)])
    others = np.concatenate([other for _, other in known] or [np.empty(0, np.int64)])
    graph = coo_array((np.ones(len(ones), np.bool_), (ones, others)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    firsts = np.full(count, count, np.int64)
    np.minimum.at(firsts, labels, np.arange(count))
    found: Indices = firsts[labels]
    return found


def near_groups(count: int, columns: Iterable[tuple[Hashes, Alike]]) -> Indices:
    """For each of `count` texts the first of its group, itself where it is alone.

    `columns` are hashes, (count,) each, 0 for none, with what says which pairs of one number are alike.
    """
    firsts = np.arange(count)
    for column, alike in columns:
        if found := list(_alike_in(column, firsts, alike)):
            firsts = connect(count, [(firsts, np.arange(count)), *found])
    return firsts


def _alike_in(column: Hashes, firsts: Indices, alike: Alike) -> Iterable[tuple[Indices, Indices]]:
    """Pairs of one column that are alike, and aren't of one group by `firsts`."""
    members = np.argsort(column, kind="stable")
    members = members[column[members] != 0]
    for _ in range(_ROUNDS):
        members, leaders = _in_buckets(members, column)
        others = firsts[members] != firsts[leaders]
        members, leaders = members[others], leaders[others]
        if not len(members):
            return
        near = alike(leaders, members)
        yield leaders[near], members[near]
        members = members[~near]


def _in_buckets(members: Indices, column: Hashes) -> tuple[Indices, Indices]:
    """Those that aren't the first of their bucket, each with that first. `members` are in buckets' order."""
    values = column[members]
    if not len(values):
        return members, members
    begins = np.concatenate(([True], values[1:] != values[:-1]))
    leaders = members[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return members[~begins], leaders[~begins]
