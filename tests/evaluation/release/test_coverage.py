import pytest
from release_world import metrics_of, terms_of

from tutelage.gates import Verdict

_UNLIKE = "share of the traffic that gold is too thin in"
_LEAKS = "gold among what was learned from"
_WEIGHTED = "accuracy difference to the teacher, weighted to the traffic"


def _metrics(*, unlike=0.0, known=0, near=None, difference=None, doubts=()):
    clusters = [{"name": "refund, money", "state": "lacking" if unlike else "covered"}]
    left = [{"kind": "same", "part": "traffic", "pairs": known}] if known else []
    pairs = [{"a": "student", "b": "teacher", **difference}] if difference else []
    return {
        **metrics_of(300, 5, 5),
        "coverage": {
            "texts": {"gold": 300},
            "clusters": clusters,
            "unlike": {"estimate": unlike, "needed": 40},
            "leakage": {"n_gold": 300, "known": known, "left": left, "near": near, "cleaned_at": 0.97},
            "weighted": {"cluster": {"n": 300, "doubts": list(doubts), "comparisons": pairs}},
        },
    }


def test_traffic_unlike_gold_is_doubt_that_names_what_to_label():
    terms, decision = terms_of(_metrics(unlike=0.25), max_loss=0.2)
    assert terms[_UNLIKE].verdict is Verdict.UNDECIDED and terms[_UNLIKE].more_needed == 40
    assert "label about 40 prompts of “refund, money”" in terms[_UNLIKE].reason
    assert decision.verdict is Verdict.UNDECIDED
    assert terms_of(_metrics(unlike=0.05))[0][_UNLIKE].verdict is Verdict.PASS
    assert _UNLIKE not in terms_of(_metrics(unlike=0.5), max_unlike_share=None)[0]


def test_gold_that_was_learned_from_fails():
    terms, decision = terms_of(_metrics(known=3), max_loss=0.2)
    assert terms[_LEAKS].verdict is Verdict.FAIL and decision.verdict is Verdict.FAIL
    assert "3 of 300 examples of gold" in terms[_LEAKS].reason and "Mend:" in terms[_LEAKS].reason


@pytest.mark.parametrize("p, verdict", [(0.001, Verdict.FAIL), (0.3, Verdict.PASS)])
def test_near_duplicates_fail_only_where_gold_has_more_of_them_than_the_traffic(p, verdict):
    terms, _ = terms_of(_metrics(near={"gold": 0.5, "traffic": 0.1, "p": p}))
    assert terms[_LEAKS].verdict is verdict


def test_without_coverage_only_what_was_asked_for_is_missed():
    metrics = {**metrics_of(300, 5, 5), "coverage": None}
    assert not {_UNLIKE, _LEAKS, _WEIGHTED} & set(terms_of(metrics)[0])
    terms, _ = terms_of(metrics, max_unlike_share=0.1, max_weighted_loss=0.05)
    assert {terms[name].verdict for name in (_UNLIKE, _WEIGHTED)} == {Verdict.UNDECIDED}
    assert "tutelage coverage" in terms[_WEIGHTED].reason


@pytest.mark.parametrize(
    "low, high, doubts, verdict",
    [
        (-0.02, 0.01, (), Verdict.PASS),
        (-0.02, 0.01, ("few",), Verdict.UNDECIDED),
        (-0.08, 0.01, (), Verdict.UNDECIDED),
        (-0.20, -0.10, ("few",), Verdict.FAIL),
    ],
)
def test_the_weighted_loss_passes_only_on_weights_that_can_be_relied_on(low, high, doubts, verdict):
    difference = {"estimate": (low + high) / 2, "low": low, "high": high}
    terms, _ = terms_of(_metrics(difference=difference, doubts=doubts), max_weighted_loss=0.05)
    assert terms[_WEIGHTED].verdict is verdict
    assert ("can't be relied on" in terms[_WEIGHTED].reason) == bool(doubts)
