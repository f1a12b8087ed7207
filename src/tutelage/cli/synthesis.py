"""How the terminal shows what a model wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table

if TYPE_CHECKING:
    from tutelage.programme import Programme

_SHOWN = 5  # prompts


def print_synthesis(programme: Programme) -> None:
    """The clusters that were added to, a few prompts, and how far they are from the traffic."""
    from tutelage.data.synthetic import read_synthetic
    from tutelage.stages import read_synthesis

    found, out = read_synthesis(programme), console()
    if found["clusters"]:
        drawn = table(f"Clusters with fewer than {found['least_in_cluster']:,} prompts")
        add_names(drawn, "cluster of the traffic")
        add_numbers(drawn, "real", "written")
        for entry in found["clusters"]:
            drawn.add_row(Text(entry["name"]), f"{entry['had']:,}", f"{entry['written']:,}")
        out.print()
        out.print(drawn)
    written = read_synthetic(programme.synthetic)
    for item in written[:_SHOWN]:
        out.print(Text(f"{item.kind}: {item.prompt.text}", overflow="ellipsis", no_wrap=True))
    out.print()
    for line in lines(found):
        out.print(Text(line), soft_wrap=True)


def lines(found: Mapping[str, Any]) -> list[str]:
    """The cap and the distances, a sentence each."""
    told = [
        f"{found['prompts']:,} synthetic prompts beside {found['real']:,} real ones: {found['share']:.1%} of "
        f"both, {found['share_limit']:.0%} at most (synthesis.share)"
    ]
    if found["rejected"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["rejected"].items())
        told.append(f"not taken: {reasons}; prompts/synthetic_rejected.parquet")
    realism = found["realism"] or {}
    if (nearest := realism.get("nearest")) is not None:
        told.append(
            f"distance to the nearest real prompt: median {nearest['written']['median']:.2f}, of held-back "
            f"real ones {nearest['real']['median']:.2f}; nearer than these with probability "
            f"{nearest['nearer']:.2f} ({nearest['low']:.2f} to {nearest['high']:.2f}): 0.5 where alike, more "
            "where it copies, less where it strays"
        )
    for name, whose in (
        ("classifier", "from the traffic"),
        ("matched", "from as many real prompts of the same clusters"),
    ):
        if (test := realism.get(name)) is not None:
            told.append(
                f"told {whose} by a classifier: AUC {test['auc']:.2f} ({test['low']:.2f} to "
                f"{test['high']:.2f}); 0.5 where nobody can tell"
            )
    if realism and not realism.get("classifier"):
        told.append("too few to tell from the traffic by a classifier; ten are the least")
    return told
