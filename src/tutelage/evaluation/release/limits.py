"""Limits on what was measured of the student itself: latency and size."""

from __future__ import annotations

from collections.abc import Iterator

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.verdicts import Metrics, measured
from tutelage.gates import Evidence


def latency(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The 95th percentile of latency against `max_latency_ms`."""
    if release.max_latency_ms is not None:
        found = _footprint(metrics).get("latency_p95_ms")
        yield measured(
            "p95 latency at batch 1 on one thread", found, release.max_latency_ms, fmt.milliseconds
        )


def size(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Size on disk against `max_size_mb`."""
    if release.max_size_mb is not None:
        yield measured("size on disk", _footprint(metrics).get("size_mb"), release.max_size_mb, fmt.megabytes)


def _footprint(metrics: Metrics) -> Metrics:
    return metrics["arms"]["student"]["footprint"] or {}
