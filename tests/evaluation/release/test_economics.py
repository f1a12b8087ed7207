from release_world import metrics_of, terms_of

from money_world import quantities
from tutelage.economics import economics
from tutelage.gates import Verdict

COST = "running cost of 1,000 requests"
SHARE = "running cost as a share of the teacher's"


def judged(limit, key, **changed):
    metrics = {**metrics_of(1000, 0, 0), "economics": economics(quantities(**changed)).to_json()}
    terms, _ = terms_of(metrics, **{key: limit})
    return terms[COST if key == "max_cost_per_1000" else SHARE]


def test_a_running_cost_is_held_against_its_limit_with_its_interval():
    uncertain = {"escalation": (0.0, 0.1, 0.5)}
    assert judged(8.0, "max_cost_per_1000", **uncertain).verdict is Verdict.PASS
    assert judged(1.5, "max_cost_per_1000", **uncertain).verdict is Verdict.FAIL
    doubtful = judged(4.0, "max_cost_per_1000", **uncertain)
    assert doubtful.verdict is Verdict.UNDECIDED
    assert doubtful.more_needed is None
    assert "Mend: narrow in the section economics" in doubtful.reason


def test_a_share_of_the_teachers_cost():
    assert judged(0.5, "max_cost_share").verdict is Verdict.PASS
    assert judged(0.1, "max_cost_share").verdict is Verdict.FAIL
    nothing = judged(0.5, "max_cost_share", teacher_per_1000=0.0)
    assert nothing.verdict is Verdict.UNDECIDED


def test_a_cost_that_was_not_worked_out_is_undecided_and_none_is_asked_for_by_default():
    terms, _ = terms_of({**metrics_of(1000, 0, 0), "economics": None}, max_cost_per_1000=1.0)
    assert terms[COST].verdict is Verdict.UNDECIDED
    terms, _ = terms_of(metrics_of(1000, 0, 0))
    assert not {COST, SHARE} & set(terms)
