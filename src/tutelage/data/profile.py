"""What the traffic looks like: `prompts/profile.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tutelage.records import Rejection

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


class Profile:
    """Counts by slice, source and reason, lengths in characters, sizes of groups: table by table."""

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected: Counter[str] = Counter()
        self.carried: Counter[str] = Counter()  # of those
        self.first_rejected: dict[str, Rejection] = {}
        self._slices: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._lengths: list[npt.NDArray[np.uint32]] = []

    def add(self, prompts: pa.Table) -> None:
        """Count accepted prompts, of `records.prompt_schema`."""
        import numpy as np
        import pyarrow.compute as pc

        self.accepted += prompts.num_rows
        for counter, column in ((self._slices, "slice"), (self._sources, "source"), (self._groups, "group")):
            for item in pc.value_counts(prompts[column]).to_pylist():
                counter[item["values"]] += item["counts"]
        self._lengths.append(pc.utf8_length(prompts["text"]).to_numpy().astype(np.uint32))

    def reject(self, rejections: Iterable[Rejection]) -> None:
        """Count what was not taken."""
        for item in rejections:
            self.rejected[str(item.reason)] += 1
            self.first_rejected.setdefault(str(item.reason), item)

    def carry(self, rejections: pa.Table) -> None:
        """Count what was not taken at an earlier time, of `records.rejection_schema`."""
        import pyarrow.compute as pc

        for item in pc.value_counts(rejections["reason"]).to_pylist():
            self.rejected[item["values"]] += item["counts"]
            self.carried[item["values"]] += item["counts"]

    @property
    def news(self) -> Counter[str]:
        """What was not taken now, by reason."""
        return self.rejected - self.carried

    def content(self, total: int) -> dict[str, Any]:
        """Of `total` rows. `groups` counts those of two prompts or more, and the prompts in them."""
        import numpy as np

        lengths = np.concatenate(self._lengths) if self.accepted else np.zeros(1, np.uint32)
        groups = [count for name, count in self._groups.items() if name and count > 1]
        return {
            "total": total,
            "accepted": self.accepted,
            "rejected": dict(sorted(self.rejected.items())),
            "slices": dict(sorted(self._slices.items())),
            "sources": dict(sorted(self._sources.items())),
            "groups": {"count": len(groups), "prompts": sum(groups), "largest": max(groups, default=0)},
            "characters": {
                "min": int(lengths.min()),
                "median": float(np.median(lengths)),
                "p95": float(np.percentile(lengths, 95)),
                "max": int(lengths.max()),
            },
        }
