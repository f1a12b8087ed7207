"""`plan`: which prompts are asked, over a scripted endpoint and with students trained on the spot."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from inbox import inbox_programme
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.errors import ConfigError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.plan import open_pool
from tutelage.stages.planned import planned_prompts
from tutelage.stages.plans import compare_plans

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


def _taught(faulty_teacher, texts):
    labels = {"parcel": "delivery", "courier": "delivery", "invoice": "billing", "password": "login"}
    for text in texts:
        label = next((label for word, label in labels.items() if word in text), "billing")
        faulty_teacher.answers[text] = json.dumps({"label": label})


@pytest.fixture
def programme(tmp_path, faulty_teacher):
    """Open the inbox, asked over the scripted endpoint, with this sample."""
    folder = inbox_programme(
        tmp_path,
        teacher={
            "type": "openai",
            "rights": "own-model",
            "model": "scripted-1",
            "base_url": faulty_teacher.url,
            "samples": 1,
            "price": {"input": 1.0, "output": 2.0},
        },
        gold={"path": "gold.csv", "training": {"share": 0.5}, "margin": 0.3},
    )
    for stage in ("gold", "collect"):
        run_stage(Programme.open(folder), stage)
    _taught(faulty_teacher, pq.read_table(folder / "prompts/prompts.parquet")["text"].to_pylist())

    def _open(**sample):
        return Programme.open(folder, [f"labelling.sample={json.dumps(sample)}"] if sample else [])

    return _open


def _plan(programme):
    return pq.read_table(programme.plan).to_pylist()


def _asked(faulty_teacher, programme):
    """How often each text of the traffic was asked."""
    texts = pq.read_table(programme.prompts)["text"].to_pylist()
    return {text: faulty_teacher.arrivals[text] for text in texts if faulty_teacher.arrivals[text]}


def test_only_the_plan_is_asked_and_a_second_plan_adds_to_it(programme, faulty_teacher):
    first = programme(by="cluster", prompts=12)
    run_stage(first, "plan")
    assert faulty_teacher.arrivals.total() == 0  # chosen before anybody is paid
    run_stage(first, "label")
    chosen = [row["hash"] for row in _plan(first)]
    assert len(chosen) == 12 and sum(_asked(faulty_teacher, first).values()) == 12
    traffic = set(pq.read_table(first.prompts)["hash"].to_pylist())
    assert {row["hash"] for row in pq.read_table(first.transfer).to_pylist()} & traffic == set(chosen)

    more = programme(by="uncertainty", prompts=20)
    with pytest.raises(UsageError, match=r"label builds on plan, .*labelling\.sample changed"):
        run_stage(more, "label")
    run_stage(more, "plan")
    run_stage(more, "label")
    rows = _plan(more)
    assert [row["hash"] for row in rows[:12]] == chosen
    assert [row["by"] for row in rows] == ["cluster"] * 12 + ["uncertainty"] * 8
    assert [row["round"] for row in rows] == [1] * 12 + [2] * 8
    scores = [row["score"] for row in rows[12:]]
    assert scores == sorted(scores, reverse=True) and all(row["guess"] for row in rows[12:])
    assert set(_asked(faulty_teacher, more).values()) == {1} and len(_asked(faulty_teacher, more)) == 20


def test_a_plan_that_was_not_paid_for_is_drawn_anew_and_a_smaller_one_keeps_what_was(programme):
    run_stage(programme(by="random", prompts=10), "plan")
    other = programme(by="random", prompts=10, seed=1)
    before = _plan(other)
    run_stage(other, "plan")
    assert {row["hash"] for row in before} != {row["hash"] for row in _plan(other)}
    run_stage(other, "label")
    smaller = programme(by="random", prompts=4)
    run_stage(smaller, "plan")
    assert len(_plan(smaller)) == 10 and {row["by"] for row in _plan(smaller)} == {"random"}


def test_a_budget_holds_what_is_paid_and_what_is_expected(programme, faulty_teacher):
    run_stage(programme(by="random", prompts=15), "plan")
    run_stage(programme(by="random", prompts=15), "label")
    rows = pq.read_table(programme().transfer).to_pylist()
    each = sum(row["cost"] for row in rows) / len(rows)
    assert each > 0
    by_value = programme(by="value", budget=25 * each)
    run_stage(by_value, "plan")
    assert 23 <= len(_plan(by_value)) <= 27
    run_stage(by_value, "label")
    traffic = {row["hash"] for row in _plan(by_value)}
    paid = sum(row["cost"] for row in pq.read_table(by_value.transfer).to_pylist() if row["hash"] in traffic)
    assert paid <= 25 * each * 1.02
    with pytest.raises(ConfigError, match="no limit"):
        programme(by="value")


def test_a_budget_before_any_answer_counts_the_very_most(programme):
    most = compare_plans(programme(), Silent(), prompts=10).plans[0].most
    tight = programme(by="random", budget=most / 3)
    heard = []

    class Heard(Silent):
        def warn(self, text):
            heard.append(text)

    run_stage(tight, "plan", Heard())
    assert 2 <= len(_plan(tight)) <= 4
    assert any("very most" in text and "--pilot" in text for text in heard)
    with pytest.raises(UsageError, match=r"budget 1e-06 allows no prompt. Mend"):
        run_stage(programme(by="random", budget=1e-6), "plan")


def test_plans_side_by_side_ask_nobody_and_keep_nothing(programme, faulty_teacher):
    found = compare_plans(programme(), Silent(), prompts=12)
    by_name = {one.name: one for one in found.plans}
    assert list(by_name) == ["random", "stratified", "cluster", "uncertainty", "disagreement", "value"]
    assert all(one.prompts == 12 and not one.lacking and one.most > 0 for one in found.plans)
    assert by_name["uncertainty"].doubt == max(one.doubt for one in found.plans)
    assert by_name["cluster"].reached >= by_name["uncertainty"].reached
    assert not found.reckoned and found.chosen is None and "static students" in found.student
    assert faulty_teacher.arrivals.total() == 0 and not programme().plan.exists()

    output = CliRunner().invoke(app, ["plan", str(programme().folder), "--prompts", "5"])
    assert output.exit_code == 0 and "Plans of 5 prompts" in output.output
    assert "≤ $" in output.output and "nothing is kept" in output.output
    kept = CliRunner().invoke(app, ["plan", str(programme().folder), "--set", "labelling.sample.prompts=6"])
    assert kept.exit_code == 0 and len(_plan(programme())) == 6
    written = CliRunner().invoke(app, ["plan", str(programme().folder), "--json"])
    assert len(json.loads(written.output)["plans"]) == 6


def test_without_anything_to_learn_from_doubt_is_an_error_that_says_so(tmp_path):
    folder = inbox_programme(
        tmp_path,
        gold={"path": "gold.csv", "margin": 0.3},
        teacher={"type": "human"},
        labelling={"sample": {"by": "value", "prompts": 5}},
    )
    programme = Programme.open(folder)
    for stage in ("gold", "collect"):
        run_stage(programme, stage)
    with pytest.raises(UsageError, match=r"no first student.*0 answers.*Mend: label a first round"):
        run_stage(programme, "plan")
    found = compare_plans(programme, Silent())
    assert [one.name for one in found.plans if one.lacking] == ["uncertainty", "disagreement", "value"]
    output = CliRunner().invoke(app, ["plan", str(folder), "--prompts", "5"])
    assert output.exit_code == 0 and "there is no first student" in output.output


def test_of_more_traffic_than_plans_look_at_candidates_are_drawn_and_what_was_paid_for_stays(
    programme, monkeypatch
):
    run_stage(programme(by="random", prompts=6), "plan")
    run_stage(programme(by="random", prompts=6), "label")
    paid = {row["hash"] for row in _plan(programme(by="random", prompts=6))}
    traffic = pq.read_table(programme().prompts).num_rows
    monkeypatch.setattr("tutelage.stages.pool.MOST_CANDIDATES", 5)
    sample = programme(by="random", prompts=20)
    with open_pool(sample, Silent(), 0) as pool:
        assert pool.left_out == traffic - len(paid) - 5
        assert {prompt.hash for prompt in pool.answered} == paid and pool.taken.sum() == len(paid)
        assert len(pool.prompts) == len(paid) + 5
    run_stage(sample, "plan")
    planned = {row["hash"] for row in _plan(sample)}
    assert paid < planned and len(planned) == len(paid) + 5
    held = planned_prompts(sample)
    assert {prompt.hash for prompt in held} == planned
    monkeypatch.setattr("tutelage.stages.planned._FEW", 3)
    streamed = planned_prompts(sample)
    assert list(streamed) == held == list(streamed) and len(streamed) == len(held)
    assert not isinstance(streamed, list)
