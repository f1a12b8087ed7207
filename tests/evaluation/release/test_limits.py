from release_world import metrics_of, terms_of

from tutelage.evaluation import Footprint
from tutelage.gates import Verdict


def test_latency_and_size():
    metrics = metrics_of(1000, 0, 0, footprint=Footprint(1.0, 3.0, 100.0, 20.0, 5))
    terms, decision = terms_of(metrics, max_latency_ms=3.0, max_size_mb=10.0)
    assert terms["p95 latency at batch 1 on one thread"].verdict is Verdict.PASS
    assert terms["size on disk"].verdict is Verdict.FAIL
    assert decision.reasons == ["Student's size on disk is 20 MB; at most 10 MB is acceptable."]
    terms, _ = terms_of(metrics_of(1000, 0, 0), max_latency_ms=3.0)
    assert terms["p95 latency at batch 1 on one thread"].verdict is Verdict.UNDECIDED


def test_a_busy_machine_is_doubt_and_slow_work_a_failure():
    """Wall-clock latency holds whatever else the machine did; what the processor worked is the student's."""
    term = "p95 latency at batch 1 on one thread"
    for processor, wall, verdict in (
        (0.4, 49.0, Verdict.UNDECIDED),
        (21.0, 49.0, Verdict.FAIL),
        (0.4, 20.0, Verdict.PASS),
        (None, 49.0, Verdict.FAIL),
    ):
        footprint = Footprint(0.2, wall, 260.0, 2.7, 5, processor_p95_ms=processor)
        terms, _ = terms_of(metrics_of(1000, 0, 0, footprint=footprint), max_latency_ms=20.0)
        assert terms[term].verdict is verdict
        assert ("--force" in terms[term].reason) is (verdict is Verdict.UNDECIDED)
