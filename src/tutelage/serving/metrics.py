"""What a scraper reads at `/metrics`: requests, answers, audits, and the state of what serves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tutelage.serving.captures import Capture
from tutelage.serving.drift import FEATURES
from tutelage.serving.gateway import Gateway, Watch
from tutelage.serving.monitor import Monitor
from tutelage.serving.router import Stage
from tutelage.serving.store import Store

# Seconds: a static student answers in tenths of a millisecond, a teacher in seconds.
_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


class Metrics:
    """Counts of one process since its start. Labels have few values: never a key, a text or a slice's name
    that a client made up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Looking a metric of many labels up takes longer than counting, so that each is looked up once.
        self._requests = cache(
            Counter(
                "tutelage_requests",
                "Requests over HTTP.",
                ["method", "route", "status"],
                registry=self.registry,
            ).labels
        )
        self._seconds = cache(
            Histogram(
                "tutelage_request_seconds",
                "Until the last byte of an answer.",
                ["route"],
                buckets=_BUCKETS,
                registry=self.registry,
            ).labels
        )
        self._answers = cache(
            Counter(
                "tutelage_answers",
                "Requests of the task, by who answered, and why they.",
                ["stage", "by", "reason"],
                registry=self.registry,
            ).labels
        )
        self._latency = cache(
            Histogram(
                "tutelage_answer_seconds",
                "Until an answer to a request of the task was known.",
                ["by"],
                buckets=_BUCKETS,
                registry=self.registry,
            ).labels
        )
        self._cost = Counter(
            "tutelage_teacher_cost_usd",
            "What the teacher's answers and audits cost.",
            ["for"],
            registry=self.registry,
        )
        self._audits = Counter(
            "tutelage_audits", "Audits that were answered.", ["agree"], registry=self.registry
        )
        self._alerts = Counter("tutelage_alerts", "Alerts.", ["kind"], registry=self.registry)

    def asked(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is a route's template."""
        self._requests(method, route, str(status)).inc()
        self._seconds(route).observe(seconds)

    def answered(self, capture: Capture) -> None:
        """Count an answer."""
        self._answers(capture.stage, capture.by, capture.reason).inc()
        self._latency(capture.by).observe(capture.latency)
        if capture.cost:
            self._cost.labels("answer").inc(capture.cost)

    def audited(self, agree: bool) -> None:
        """Count an audit."""
        self._audits.labels(str(agree).lower()).inc()

    def alerted(self, kind: str) -> None:
        """Count an alert."""
        self._alerts.labels(kind).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)


class MeasuredWatch:
    """A watch whose captures and audits are counted as well."""

    def __init__(self, watch: Watch, metrics: Metrics) -> None:
        self._watch, self._metrics = watch, metrics

    def note(self, capture: Capture, *, foreign: bool = False) -> Mapping[str, Any]:
        """See `Watch.note`."""
        self._metrics.answered(capture)
        return self._watch.note(capture, foreign=foreign)

    def audited(self, capture: Capture, agree: bool) -> Mapping[str, Any]:
        """See `Watch.audited`."""
        self._metrics.audited(agree)
        return self._watch.audited(capture, agree)


class ServerState(Collector):
    """What is read off the server's parts when somebody asks."""

    def __init__(self, gateway: Gateway, store: Store, monitor: Monitor) -> None:
        self._gateway, self._store, self._monitor = gateway, store, monitor

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        gateway, store = self._gateway, self._store
        yield _counter("captures_lost", "Captures and audits that could not be kept.", store.lost)
        yield _counter("captures_late", "Answers that went out before their capture was on disk.", store.late)
        yield _gauge("captures_waiting", "Captures and audits in the queue.", store.waiting)
        yield _counter("audits_skipped", "Audits for which there was no place.", gateway.audits_skipped)
        yield _gauge("teacher_down", "Whether the teacher is taken for down.", gateway.calls.breaker.is_open)
        yield _gauge(
            "student_loaded", "Whether there is a student to ask.", gateway.deployed.student is not None
        )
        restarts = getattr(gateway.deployed.student, "restarts", 0)
        yield _counter("student_restarts", "Of the process of the student that is deployed.", restarts)
        yield self._stage()
        yield from self._watched()

    def _stage(self) -> Metric:
        family = GaugeMetricFamily("tutelage_stage", "1 for the stage that holds.", labels=["stage"])
        for stage in Stage:
            family.add_metric([stage], float(stage is self._gateway.deployed.rollout.stage))
        return family

    def _watched(self) -> Iterable[Metric]:
        """Fifty slices at most have figures of their own (`monitor`)."""
        shadow = self._monitor.shadow
        yield _gauge(
            "shadow_compared", "Requests that the student would have answered itself.", shadow.trials
        )
        yield _gauge("shadow_disagreements", "Of these, where the teacher disagreed.", shadow.errors)
        told = {
            "disagreement_low": "Lower end of the interval of disagreement that holds at all times.",
            "disagreement_high": "Its upper end.",
            "alarm_evidence": "The alarm's e-value; it rings at one over its share of delta.",
            "alarm_ringing": "Whether the alarm has rung.",
        }
        families = {
            name: GaugeMetricFamily(f"tutelage_{name}", text, labels=["slice"]) for name, text in told.items()
        }
        for one in self._monitor.figures():
            values = (one.low, one.high, one.evidence, float(one.rung))
            for family, value in zip(families.values(), values, strict=True):
                family.add_metric([one.slice or "all"], value)
        yield from families.values()
        drifted = GaugeMetricFamily(
            "tutelage_drifted", "Whether requests have surely changed in it.", labels=["feature"]
        )
        found = {one.feature for one in self._monitor.drift.found}
        for feature in FEATURES:
            drifted.add_metric([feature], float(feature in found))
        yield drifted


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tutelage_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"tutelage_{name}", text, value=float(value))
