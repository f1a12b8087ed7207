"""What the traffic looks like: `prompts/profile.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tutelage.records import Prompt, Rejection


def profile(prompts: Sequence[Prompt], rejected: Sequence[Rejection], total: int) -> dict[str, Any]:
    """Counts by slice and by reason, and lengths in characters."""
    import numpy as np

    lengths = np.array([len(prompt.text) for prompt in prompts] or [0])
    return {
        "total": total,
        "accepted": len(prompts),
        "rejected": dict(sorted(Counter(str(item.reason) for item in rejected).items())),
        "slices": dict(sorted(Counter(prompt.slice for prompt in prompts).items())),
        "characters": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
    }
