"""Limits on what was measured of the student itself: latency and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.verdicts import Metrics, measured
from tutelage.gates import Evidence, Verdict

_LATENCY = "p95 latency at batch 1 on one thread"


def latency(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The 95th percentile of latency against `max_latency_ms`.

    One beyond it of which the processor needed less is doubt: the machine may have been busy.
    """
    limit, found = release.max_latency_ms, _footprint(metrics)
    if limit is None:
        return
    evidence = measured(_LATENCY, found.get("latency_p95_ms"), limit, fmt.milliseconds)
    processor = found.get("processor_p95_ms")
    if evidence.verdict is Verdict.FAIL and processor is not None and processor <= limit:
        reason = (
            f"{evidence.reason} Of that {fmt.milliseconds(processor)} were the processor's work, the rest "
            "was waiting, as beside other work on this machine. Mend: run `tutelage evaluate --force` while "
            "nothing else runs"
        )
        evidence = replace(evidence, verdict=Verdict.UNDECIDED, reason=reason)
    yield evidence


def size(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Size on disk against `max_size_mb`."""
    if release.max_size_mb is not None:
        yield measured("size on disk", _footprint(metrics).get("size_mb"), release.max_size_mb, fmt.megabytes)


def _footprint(metrics: Metrics) -> Metrics:
    return metrics["arms"]["student"]["footprint"] or {}
