"""What a programme costs and saves: before anything is asked, and once the ledger and the run can tell."""

from __future__ import annotations

import json

import pytest
from inbox import endpoint_programme, inbox_programme, questions

from tutelage.economics import Origin
from tutelage.errors import ConfigError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import programme_economics, run_pilot, run_stage

TEXTS = questions()
PRICE = {"input": 1000.0, "output": 2000.0}
ANSWER = (20 * 1000 + 5 * 2000) / 1e6  # the scripted endpoint's account, in US dollars
MONTHLY = "economics.monthly=100000"


def economics_of(folder, *overrides):
    return programme_economics(Programme.open(folder, [MONTHLY, *overrides]))


def asked(folder, url, **teacher):
    return endpoint_programme(folder, url, TEXTS, 20, {}, **{"price": PRICE, **teacher})


@pytest.fixture
def inbox(tmp_path):
    return inbox_programme(tmp_path)


def test_without_the_traffic_of_a_month_there_is_nothing_to_say(inbox):
    with pytest.raises(UsageError, match="Mend: --monthly 300000"):
        programme_economics(Programme.open(inbox))


@pytest.mark.parametrize("limit", ["max_cost_per_1000", "max_cost_share"])
def test_a_limit_on_cost_needs_the_traffic_of_a_month(inbox, limit):
    with pytest.raises(ConfigError, match=rf"release\.{limit}.*Mend: add economics\.monthly"):
        Programme.open(inbox, [f"release.{limit}=0.5"])
    assert getattr(Programme.open(inbox, [f"release.{limit}=0.5", MONTHLY]).config.release, limit) == 0.5


@pytest.mark.parametrize(
    "override, said",
    [
        ("utilisation=0", "utilisation has to be more than 0"),
        ("retrain_months=[0, 1, 2]", "retrain_months has to be more than 0"),
        ("relabelled=[0, 1, 1.5]", "relabelled is a share, and 1.5 is more than 1"),
        ("teacher_price_fall=1", "with which the teacher would cost nothing"),
        ("watts=[1, 2]", r"a number, or \[low, likely, high\]"),
        ("watts=yes", r"a number, or \[low, likely, high\]"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(inbox, override, said):
    with pytest.raises(ConfigError, match=said):
        Programme.open(inbox, [f"economics.{override}"])


def test_before_anything_is_asked_an_answer_is_reckoned_from_its_length(tmp_path):
    folder = asked(tmp_path, "https://api.example.com/v1", samples=None)
    found = economics_of(folder).quantities
    assert found.teacher_per_1000.origin is Origin.RECKONED
    short = found.teacher_per_1000
    long = economics_of(folder, f"task.instruction={'word ' * 400}").quantities.teacher_per_1000
    # 2,000 bytes more of plain English are some 480 tokens.
    assert long.likely - short.likely == pytest.approx(0.48 * PRICE["input"], rel=0.1)
    assert "tokens in and" in short.source
    assert found.labelling_cost.likely == pytest.approx(len(TEXTS) * short.likely / 1_000)
    assert found.labelling_cost.high == pytest.approx(5 * len(TEXTS) * short.high / 1_000)  # votes
    assert found.sealed_examples.likely == 20
    assert not (folder / "answers").exists()
    assert not (folder / "ledger.jsonl").exists()


def test_a_model_that_thinks_pays_for_its_thoughts(tmp_path):
    folder = asked(tmp_path, "https://api.example.com/v1", max_output_tokens=1_000)
    plain = economics_of(folder).quantities.teacher_per_1000
    found = economics_of(folder, "teacher.extra={reasoning_effort: low}").quantities.teacher_per_1000
    assert found.likely - plain.likely == pytest.approx(200 * PRICE["output"] / 1_000)
    assert found.high - plain.high == pytest.approx(1_000 * PRICE["output"] / 1_000)
    assert "how long it thinks is a guess" in found.source


def test_at_the_low_end_a_long_prompt_is_read_from_the_cache_and_a_short_one_is_not(tmp_path):
    folder = asked(tmp_path, "https://api.example.com/v1")
    cached = "teacher.price.cached_input=0"
    for words, saves in ((1, False), (2_000, True)):
        long = f"task.instruction={'word ' * words}"
        with_cache = economics_of(folder, long, cached).quantities.teacher_per_1000
        without = economics_of(folder, long).quantities.teacher_per_1000
        assert (with_cache.low < 0.2 * without.low) == saves
        assert (with_cache.likely, with_cache.high) == (without.likely, without.high)


def test_a_batch_labels_at_a_discount_and_answers_live_at_the_full_price(tmp_path):
    dear = {**PRICE, "batch_discount": 0.5}
    folder = asked(tmp_path, "https://api.example.com/v1", price=dear, batch=True)
    found = economics_of(folder).quantities
    assert found.labelling_cost.likely == pytest.approx(
        0.5 * len(TEXTS) * found.teacher_per_1000.likely / 1_000
    )


def test_a_listed_price_is_found_and_what_has_none_is_told(tmp_path):
    folder = asked(tmp_path, "https://api.openai.com/v1", price=None, model="gpt-4.1-mini")
    source = economics_of(folder).quantities.teacher_per_1000.source
    assert "$0.4 and $1.6 a million (openai-gpt-4.1-mini, read 2026-" in source
    with pytest.raises(ConfigError, match=r"teacher\.price"):
        economics_of(folder, "teacher.model=unheard-of")


@pytest.mark.parametrize(
    "url, free", [("https://llm.example.com/v1", True), ("http://127.0.0.1:9/v1", False)]
)
def test_what_a_server_of_ones_own_costs_has_to_be_said(tmp_path, url, free):
    folder = asked(tmp_path, url, price=None, free=free)
    with pytest.raises(UsageError, match=r"Mend: set economics\.teacher_per_1000"):
        economics_of(folder)
    found = economics_of(folder, "economics.teacher_per_1000=0.5").quantities
    assert found.teacher_per_1000.likely == 0.5
    assert found.teacher_per_1000.origin is Origin.GIVEN
    assert found.labelling_cost.high == 0.0


def test_people_cost_their_minutes(inbox):
    changed = ("teacher={type: human}", "economics.person_hour=60", "economics.minutes_per_label=[1, 2, 3]")
    found = economics_of(inbox, *changed).quantities
    assert found.teacher_per_1000.likely == pytest.approx(2_000.0)
    assert found.labelling_cost.likely == pytest.approx(120 * 2.0)
    assert found.teacher_wh.high == 0.0


def test_of_an_ensemble_all_are_paid_and_the_judge_where_they_disagree(tmp_path):
    alone = economics_of(asked(tmp_path, "https://a.example.com/v1")).quantities.teacher_per_1000.likely
    part = {"type": "openai", "rights": "own-model", "model": "m", "price": PRICE, "samples": 1}
    members = [{"teacher": {**part, "base_url": f"https://{name}.example.com/v1"}} for name in "ab"]
    judge = {**part, "base_url": "https://c.example.com/v1"}
    content = json.loads((tmp_path / "tutelage.yaml").read_text())
    content["teacher"] = {"type": "ensemble", "strategy": "committee", "members": members, "judge": judge}
    (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
    together = economics_of(tmp_path).quantities.teacher_per_1000.likely
    assert together == pytest.approx(2.2 * alone)


def test_a_local_teacher_costs_its_seconds_on_a_machine(inbox):
    found = economics_of(inbox, "economics.machine_hour=0.36", "economics.utilisation=0.5").quantities
    assert found.teacher_per_1000.likely == pytest.approx(0.36 / 3_600 / 130 / 0.5 * 1_000)
    assert found.labelling_cost.likely == 0.0


def test_once_asked_the_ledger_tells_what_an_answer_costs(tmp_path, faulty_teacher):
    folder = asked(tmp_path, faulty_teacher.url)
    for name in ("gold", "collect", "label"):
        run_stage(Programme.open(folder), name)
    found = economics_of(folder).quantities
    assert found.teacher_per_1000.origin is Origin.MEASURED
    assert found.teacher_per_1000.likely == pytest.approx(1_000 * ANSWER)
    assert found.labelling_cost.likely == pytest.approx(len(TEXTS) * ANSWER)
    assert found.labelling_cost.origin is Origin.MEASURED


def test_votes_are_paid_when_it_labels_and_one_answer_when_it_is_live(tmp_path, faulty_teacher):
    folder = asked(tmp_path, faulty_teacher.url, samples=3)
    for name in ("gold", "collect", "label"):
        run_stage(Programme.open(folder), name)
    found = economics_of(folder).quantities
    assert found.teacher_per_1000.likely == pytest.approx(1_000 * ANSWER)
    assert found.labelling_cost.likely == pytest.approx(3 * len(TEXTS) * ANSWER)


def test_a_pilot_tells_what_the_rest_will_cost_not_what_all_of_it_did(tmp_path, faulty_teacher):
    folder = asked(tmp_path, faulty_teacher.url, samples=3)
    for name in ("gold", "collect"):
        run_stage(Programme.open(folder), name)
    run_pilot(Programme.open(folder), 4, Silent())
    found = economics_of(folder).quantities.labelling_cost
    assert found.origin is Origin.RECKONED
    assert found.likely == pytest.approx(3 * len(TEXTS) * ANSWER)


def test_what_is_said_is_given_and_what_is_not_assumed(inbox):
    found = economics_of(inbox, "economics.escalation=0.2", "student.family=causal").quantities
    assert (found.escalation.low, found.escalation.high) == (0.2, 0.2)
    assert found.escalation.origin is Origin.GIVEN
    assert found.audit.origin is Origin.ASSUMED
    assert "causal" in found.student_rate.source


def test_check_says_it_before_anything_is_sealed(inbox):
    lines = []

    class Told(Silent):
        def note(self, text):
            lines.append(text)

    run_stage(Programme.open(inbox, [MONTHLY]), "check", Told())
    assert any(line.startswith("economics: It never pays for itself: running it") for line in lines)


def test_metered_energy_is_told_as_measured_but_not_of_a_training_that_was_cut(inbox, monkeypatch):
    run = {arm: {"record": {"seconds": 30.0}} for arm in ("student", "control")}
    run["energy"] = {"joules": 7_200.0, "seconds": 61.0, "source": "RAPL package-0"}
    path = inbox / "run.json"
    monkeypatch.setattr("tutelage.stages.economics.left_by", lambda *_: path)
    arms = {"student": {"footprint": {"latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "joules": 0.05}},
            "teacher": {"footprint": {"latency_p50_ms": 10.0, "joules": 3.6}}}  # fmt: skip
    programme = Programme.open(inbox, [MONTHLY])
    path.write_text(json.dumps(run))
    found = programme_economics(programme, {"arms": arms}).quantities
    assert (found.training_wh.likely, found.training_wh.origin) == (2.0, Origin.MEASURED)
    assert (found.student_joules.likely, found.student_joules.origin) == (0.05, Origin.MEASURED)
    assert found.teacher_wh.likely == pytest.approx(0.001)
    run["energy"]["seconds"] = 20.0
    path.write_text(json.dumps(run))
    assert programme_economics(programme, {"arms": arms}).quantities.training_wh.origin is Origin.RECKONED
