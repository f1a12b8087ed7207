"""From a plan to labelled gold: drawn, kept out of the transfer set, answered, settled, sealed."""

from __future__ import annotations

import csv
import json

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.data import prompts_from_table, read_sealed
from tutelage.errors import DataError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.review import State
from tutelage.stages import run_stage
from tutelage.stages.annotate import annotation_results, annotations_to_gold, open_project
from tutelage.stages.gold import read_to_label
from tutelage.stages.gold_plan import plan_gold

GOLD = {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.08}


@pytest.fixture
def programme(tmp_path):
    return Programme.open(inbox_programme(tmp_path, gold=GOLD))


def test_where_the_latest_are_held_back_gold_is_drawn_of_them(tmp_path):
    made = inbox_programme(
        tmp_path,
        gold={"path": "none.csv", "margin": 0.3},
        teacher={"type": "human", "verdicts": {"path": "verdicts.csv"}},
        traffic={"path": "traffic.csv", "columns": {"time": "at"}, "split": "time", "near_duplicate": 0.97},
    )
    with (made / "traffic.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    with pytest.raises(DataError, match="traffic.split is time, and no prompt of traffic.csv has one"):
        plan_gold(Programme.open(made, ["traffic.columns={}"]), Silent())
    days = {text: 86_400 * (number * 7 % len(texts)) for number, text in enumerate(texts)}
    with (made / "traffic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "at"), *days.items()])
    programme = Programme.open(made)
    plan = plan_gold(programme, Silent())
    drawn = [days[prompt.text] for prompt in read_to_label(programme)]
    (need,) = plan.needs
    latest = sorted(days.values())[-2 * need.rows :]
    assert 0 < len(drawn) == need.rows < len(texts) / 4 and set(drawn) <= set(latest)


def subject_of(text):
    for label, words in (
        ("delivery", "parcel courier package shipment tracking"),
        ("login", "password account code sign username"),
    ):
        if any(word in text for word in words.split()):
            return label
    return "billing"


def answer(project, name, wrong=()):
    while (asked := project.next(name)) is not None:
        value = subject_of(asked.prompt.text)
        if not asked.settles and asked.prompt.hash in wrong:
            value = "billing" if value != "billing" else "login"
        project.answer(name, asked.prompt.hash, value, "", settles=asked.settles)


def test_a_plan_is_drawn_labelled_by_two_settled_and_sealed(programme):
    run_stage(programme, "gold", Silent())
    run_stage(programme, "collect", Silent())
    before = {prompt.hash for prompt in prompts_from_table(storage.read_table(programme.prompts))}
    sealed = len(read_sealed(programme.sealed, programme.seal))
    plan = plan_gold(programme, Silent(), seed=3)
    (need,) = plan.needs
    assert need.slice == "all" and need.have == sealed and need.rows == plan.drawn > 0
    drawn = {prompt.hash for prompt in open_project(programme, Silent()).prompts.values()}
    assert len(drawn) == plan.drawn == plan.waiting and drawn <= before

    # What was drawn leaves the transfer set, before anybody has answered it.
    run_stage(programme, "collect", Silent())
    kept = {prompt.hash for prompt in prompts_from_table(storage.read_table(programme.prompts))}
    assert kept and not kept & drawn

    assert plan_gold(programme, Silent()).drawn == 0, "what waits counts"
    project = open_project(programme, Silent())
    wrong = sorted(drawn)[:2]
    answer(project, "Ada Lovelace")
    answer(project, "Bob", wrong)
    assert project.tally().disputed == 2
    with pytest.raises(UsageError, match="nothing is settled"):
        annotations_to_gold(Programme.open(inbox_programme_elsewhere(programme)), Silent())
    answer(project, "Cem")

    results = annotation_results(programme, Silent())
    assert results["prompts"] == {"all": plan.drawn, "open": 0, "disputed": 0, "settled": plan.drawn}
    assert results["adjudicated"] == 2
    assert results["annotators"] == {"annotator-1": plan.drawn, "annotator-2": plan.drawn}
    alike = results["agreement"]["alike"]
    assert alike["estimate"] == pytest.approx(1 - 2 / plan.drawn) and alike["low"] < alike["estimate"]
    assert 0 < results["agreement"]["agreement"]["kappa"]["estimate"] < 1

    path = annotations_to_gold(programme, Silent())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["annotators"] for row in rows] == [["annotator-1", "annotator-2"]] * plan.drawn
    assert {row["hash"] for row in rows if row["adjudicated"] == ["annotator-3"]} == set(wrong)
    assert all(row["label"] == subject_of(row["text"]) for row in rows)
    for file in (path, programme.folder / "ledger.jsonl"):
        assert "Lovelace" not in file.read_text(), "names stay where people answered"

    run_stage(programme, "gold", Silent())
    now = read_sealed(programme.sealed, programme.seal)
    assert len(now) > sealed
    assert storage.read_json(programme.seal)["half_width"] <= 0.08
    assert plan_gold(programme, Silent()).waiting == 0, "what is gold waits no longer"


def inbox_programme_elsewhere(programme):
    folder = programme.folder / "elsewhere"
    folder.mkdir()
    made = inbox_programme(folder, gold=GOLD)
    plan_gold(Programme.open(made), Silent())
    return made


def test_gold_may_begin_with_what_people_label_here(tmp_path):
    gold = {"path": "gold/annotated.jsonl", "margin": 0.2, "annotators": 1, "training": {"share": 0.4}}
    task = {"labels": ["billing", "delivery", "login"]}
    programme = Programme.open(inbox_programme(tmp_path, gold=gold, task=task))
    (tmp_path / "gold.csv").unlink()
    plan = plan_gold(programme, Silent())
    need = plan.needs[-1]
    assert need.have == 0 and plan.drawn == need.rows > need.need, "a share is learned from"
    answer(open_project(programme, Silent()), "Ada")
    annotations_to_gold(programme, Silent())
    run_stage(programme, "gold", Silent())
    assert len(read_sealed(programme.sealed, programme.seal)) >= need.need


def test_slices_with_terms_of_their_own_are_drawn_for(tmp_path):
    release = {"max_loss": 0.4, "max_critical_loss": 0.2}
    made = inbox_programme(tmp_path, gold={**GOLD, "margin": 0.4}, release=release)
    with (made / "traffic.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    slices = ["critical" if n % 3 == 0 else "normal" for n in range(len(texts))]
    with (made / "traffic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "part"), *zip(texts, slices, strict=True)])
    traffic = {"path": "traffic.csv", "near_duplicate": 0.97, "columns": {"slice": "part"}}
    config = json.loads((made / "tutelage.yaml").read_text()) | {"traffic": traffic}
    (made / "tutelage.yaml").write_text(json.dumps(config))
    programme = Programme.open(made)
    plan = plan_gold(programme, Silent(), most=5)
    critical, everything = plan.needs
    assert (critical.slice, critical.why, critical.have) == ("critical", "release.max_critical_loss", 0)
    assert (critical.need, critical.rows, everything.rows) == (13, 22, 0), "a share of 0.4 is learned from"
    drawn = open_project(programme, Silent()).prompts.values()
    assert len(drawn) == plan.drawn == 5 and {prompt.slice for prompt in drawn} == {"critical"}


def test_siblings_of_what_is_drawn_leave_the_transfer_set_and_stay_out_once_it_is_gold(tmp_path):
    made = inbox_programme(tmp_path, gold={**GOLD, "annotators": 1})
    with (made / "traffic.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    with (made / "traffic.csv").open("w", newline="") as file:
        rows = [(text, f"c{place // 2}") for place, text in enumerate(texts)]
        csv.writer(file).writerows([("text", "customer"), *rows])
    traffic = {"path": "traffic.csv", "near_duplicate": 0.97, "columns": {"subject": "customer"}}
    config = json.loads((made / "tutelage.yaml").read_text()) | {"traffic": traffic}
    (made / "tutelage.yaml").write_text(json.dumps(config))
    programme = Programme.open(made)
    run_stage(programme, "gold", Silent())

    def asked():
        run_stage(programme, "collect", Silent())
        return {prompt.subject for prompt in prompts_from_table(storage.read_table(programme.prompts))}

    before = asked()
    plan = plan_gold(programme, Silent(), most=6)
    drawn = read_to_label(programme)
    customers = {prompt.group for prompt in drawn}
    assert len(drawn) == 6 and len(customers) > 3
    assert plan.siblings == 2 * len(customers) - 6
    assert customers <= before and asked() == before - customers, "what was collected before leaves as well"
    answer(open_project(programme, Silent()), "Ada")
    annotations_to_gold(programme, Silent())
    run_stage(programme, "gold", Silent())
    programme.to_label.unlink()
    sealed = {item.prompt.group for item in read_sealed(programme.sealed, programme.seal)} - {""}
    assert sealed and sealed <= customers, "gold knows whose its prompts are"
    assert not asked() & sealed
    kept = Programme.open(made, ["traffic.siblings=keep"])
    run_stage(kept, "collect", Silent())
    texts = {prompt.subject for prompt in prompts_from_table(storage.read_table(kept.prompts))}
    assert texts & sealed


def test_what_is_missing_is_told(programme):
    with pytest.raises(UsageError, match="gold --plan"):
        open_project(programme, Silent())
    wanting = Programme.open(programme.folder, ["gold.margin=0.001"])
    plan = plan_gold(wanting, Silent())
    assert plan.drawn < plan.needs[-1].rows, "no more than there is"
    with pytest.raises(UsageError, match="Mend: add traffic"):
        plan_gold(wanting, Silent())
    states = {found.state for found in open_project(programme, Silent()).standings().values()}
    assert states == {State.OPEN}
