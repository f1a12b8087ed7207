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
