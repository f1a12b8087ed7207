"""Prompts that a model wrote: where each comes from, and how they stand beside real ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data.duplicates import normalise, reject
from tutelage.data.sources import RejectReason
from tutelage.data.tables import prompts_from_table, prompts_to_table
from tutelage.records import SYNTHETIC, Prompt, PromptStream, Rejection, SameGold

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


class Kind(StrEnum):
    """Why a prompt was written."""

    VARIATION = "variation"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A prompt that a model wrote, of source `records.SYNTHETIC`.

    `seeds` are the hashes of the real prompts that the writer was shown, `subjects` whose those are.
    `cluster` names the one that was thin, empty for a variation. `request` is the hash under which the
    writer's answer stands in the ledger; `writer` and `revision` say whose it is, `basis` under which rights.
    """

    prompt: Prompt
    kind: Kind
    seeds: tuple[str, ...]
    request: str
    writer: str
    revision: str
    basis: str = ""
    cluster: str = ""
    subjects: tuple[str, ...] = ()


def synthetic_to_table(prompts: Sequence[Synthetic]) -> pa.Table:
    """`prompts/synthetic.parquet`: the columns of prompts, then those of `Synthetic`."""
    import pyarrow as pa

    table = prompts_to_table([item.prompt for item in prompts])
    for name in ("kind", "request", "writer", "revision", "basis", "cluster"):
        table = table.append_column(name, pa.array([str(getattr(one, name)) for one in prompts], pa.string()))
    for name in ("seeds", "subjects"):
        lists = pa.array([list(getattr(one, name)) for one in prompts], pa.list_(pa.string()))
        table = table.append_column(name, lists)
    return table


def read_synthetic(path: Path) -> list[Synthetic]:
    """The inverse of `synthetic_to_table`; none where there is no such file."""
    if not path.exists():
        return []
    table = storage.read_table(path)
    return [
        Synthetic(
            prompt,
            Kind(row["kind"]),
            tuple(row["seeds"]),
            row["request"],
            row["writer"],
            row["revision"],
            row["basis"],
            row["cluster"],
            tuple(row["subjects"]),
        )
        for prompt, row in zip(prompts_from_table(table), table.to_pylist(), strict=True)
    ]


def most_beside(real: int, share: float) -> int:
    """How many synthetic prompts stand beside so many real ones with at most `share` of all being synthetic.

    Reckoned in the decimals of the file, so that a tenth beside 90 is 10.
    """
    part = Fraction(str(share))
    return int(real * part / (1 - part))


def connected(
    real: Collection[Prompt], synthetic: Sequence[Synthetic]
) -> tuple[Collection[Prompt], list[Prompt]]:
    """Real and synthetic prompts, in one group with the seeds that they were written from.

    A split would else judge on a prompt what learned from its variation. Groups that share a synthetic prompt
    become one, named as the first of them.
    """
    if not synthetic:
        return real, []
    seeds = {seed for item in synthetic for seed in item.seeds}
    names = {hash_: prompt.group or hash_ for prompt in real if (hash_ := prompt.hash) in seeds}
    above: dict[str, str] = {}

    def first(name: str) -> str:
        while above.get(name, name) != name:
            name = above[name]
        return name

    for item in synthetic:
        head, *others = (first(names.get(seed, seed)) for seed in item.seeds)
        above.setdefault(head, head)
        for other in others:
            above[first(other)] = first(head)

    def regrouped(prompt: Prompt, name: str) -> Prompt:
        return replace(prompt, group=first(name)) if name in above else prompt

    return (
        PromptStream(lambda: (regrouped(prompt, prompt.group or prompt.hash) for prompt in real), len(real)),
        [regrouped(item.prompt, names.get(item.seeds[0], item.seeds[0])) for item in synthetic],
    )


def without_synthetic(
    examples: Sequence[SameGold], synthetic: Iterable[Prompt]
) -> tuple[list[SameGold], list[Rejection]]:
    """Gold without what a model wrote: whatever people said of it, it is no part of the traffic."""
    written: Mapping[str, Prompt] = {normalise(prompt.text): prompt for prompt in synthetic}
    kept, rejected = [], []
    for item in examples:
        same = written.get(normalise(item.prompt.text))
        if same is None and item.prompt.source != SYNTHETIC:
            kept.append(item)
            continue
        told = f"a model wrote it, as {same.id!r}" if same is not None else "a model wrote it"
        rejected.append(reject(item.prompt, RejectReason.SYNTHETIC, told))
    return kept, rejected
