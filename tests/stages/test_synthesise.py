"""`synthesise` over a scripted writer on loopback: what is written, what it may touch, and what it costs."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from inbox import LABELS, endpoint_programme

from faulty_teacher import Outcome, completion
from tutelage import storage
from tutelage.config import parse_config
from tutelage.data import read_sealed
from tutelage.data.synthetic import Kind, read_synthetic
from tutelage.errors import BudgetExhausted, ConfigError, GateRefused, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import SYNTHETIC
from tutelage.stages import read_synthesis, reseal, run_all, run_stage

_SUBJECTS = {
    "parcel": "courier depot label weight",
    "invoice": "charge total due date",
    "password": "login code reset phone",
}
_FRAMES = ("my {} and the {} are wrong", "please check {} against {} today", "who moved the {} or {} again")
_RARE = ("the tulip has no bulb", "a hedge mower broke down", "compost for my garden lawn")
BEFORE = ("gold", "collect", "coverage")


def _texts() -> list[str]:
    return [
        frame.format(subject, word)
        for subject, words in _SUBJECTS.items()
        for word in words.split()
        for frame in _FRAMES
    ]


class Told(Silent):
    """Keeps what a stage says."""

    def __init__(self):
        self.lines = []

    def note(self, text, *_):
        self.lines.append(text)

    warn = note


def writes(teacher) -> Counter[str]:
    """Requests that asked for prompts, by the card's text."""
    return Counter(
        request["messages"][-1]["content"] for request in teacher.requests if _is_card(request["messages"])
    )


def _is_card(messages) -> bool:
    return messages[0]["content"].startswith("You are shown")


@pytest.fixture
def folder(tmp_path, faulty_teacher):
    """Twelve of gold with a training part; traffic of three subjects, a rare fourth, and two hard prompts.

    The writer makes prompts of a card's words turned round, each time others; labels go by length.
    """

    def body(teacher, request):
        text = request["messages"][-1]["content"]
        if not _is_card(request["messages"]):
            return completion(json.dumps({"label": LABELS[len(text) % 2]}))
        words = text.split()[::-1]
        made = [f"{n} nine {words[n % len(words)]} {' '.join(words)} ten {n * 7}" for n in range(5)]
        return completion("\n".join(f"{n}. {line}" for n, line in enumerate(made, start=1)))

    faulty_teacher.default = Outcome(body=body)
    texts = _texts()
    made = endpoint_programme(
        tmp_path, faulty_teacher.url, [*texts[::3], *texts[1::3], *texts[2::3]], 12, {"concurrency": 8}
    )
    rows = [*((text, "normal") for text in [*texts[1::3], *texts[2::3], *_RARE])]
    rows += [("lost parcel with my passport and a tear", "hard"), ("child drank from it", "critical")]
    with (made / "traffic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "level"), *rows])
    path = made / "tutelage.yaml"
    content = json.loads(path.read_text())
    content["gold"]["training"] = {"share": 0.3}
    content["traffic"] = {"path": "traffic.csv", "columns": {"slice": "level"}, "near_duplicate": 0.9}
    content["coverage"] = {"clusters": 6}
    content["student"] = {"family": "static", "epochs": 2, "members": 1}
    content["synthesis"] = {"share": 0.2, "least_in_cluster": 20}
    path.write_text(json.dumps(content))
    return made


def _until(folder, *names, overrides=()) -> Programme:
    programme = Programme.open(folder, overrides)
    for name in names:
        run_stage(programme, name)
    return programme


def test_hard_prompts_are_varied_thin_clusters_filled_and_all_of_it_is_marked(folder, faulty_teacher):
    programme = _until(folder, *BEFORE, "synthesise")
    found, about = read_synthetic(programme.synthetic), read_synthesis(programme)
    assert found and len(found) == about["prompts"] <= about["most"]
    assert {item.kind for item in found} == {Kind.VARIATION, Kind.CLUSTER}
    assert {item.prompt.slice for item in found if item.kind is Kind.VARIATION} <= {"hard", "critical"}
    real = {row["hash"] for row in storage.read_table(programme.prompts).to_pylist()}
    for item in found:
        assert item.prompt.source == SYNTHETIC and item.prompt.id.startswith("synthetic-")
        assert set(item.seeds) <= real and item.prompt.hash not in real
        assert item.writer and item.revision and item.basis.startswith("own-model@")
    assert not {item.prompt.text for item in found} & set(_texts())
    assert about["share"] <= 0.2 and about["share_limit"] == 0.2
    assert not any(text in {item.prompt.text for item in found} for text in writes(faulty_teacher))
    sealed = {item.prompt.text for item in read_sealed(programme.sealed, programme.seal)}
    assert not sealed & set("\n".join(writes(faulty_teacher)).split("\n"))  # gold isn't shown to the writer
    assert not run_stage(programme, "synthesise")
    before = writes(faulty_teacher)
    assert run_stage(programme, "synthesise", force=True)
    assert read_synthetic(programme.synthetic) == found and writes(faulty_teacher) == before


def test_of_large_traffic_what_coverage_looked_at_stands_for_the_rest(folder, monkeypatch):
    for module in ("coverage", "synthesise"):
        monkeypatch.setattr(f"tutelage.stages.{module}.MOST_LOOKED_AT", 12)
    programme = _until(folder, *BEFORE, "synthesise")
    found, about = read_synthetic(programme.synthetic), read_synthesis(programme)
    traffic = storage.read_table(programme.prompts)
    learned = storage.read_table(programme.gold_training)["hash"].to_pylist()
    assert about["real"] == traffic.num_rows + len(set(learned) - set(traffic["hash"].to_pylist())) > 12
    assert found and {item.prompt.slice for item in found} <= {"normal", "hard", "critical"}
    placed = set(storage.read_table(programme.placed)["hash"].to_pylist())
    assert all(set(item.seeds) <= placed for item in found if item.kind is Kind.CLUSTER)
    assert about["realism"]["n_real"] <= 14 and about["least_in_cluster"] < 20
    assert not {item.prompt.text for item in found} & set(traffic["text"].to_pylist())


def test_they_are_labelled_and_learned_from_and_nothing_is_measured_on_them(folder):
    outcome = run_all(Programme.open(folder))
    programme = Programme.open(folder)
    written = {item.prompt.hash: item for item in read_synthetic(programme.synthetic)}
    rows = storage.read_table(programme.transfer).to_pylist()
    taught = [row for row in rows if row["source"] == SYNTHETIC]
    assert {row["hash"] for row in taught} == set(written)
    assert len(taught) <= 0.2 * len(rows)
    by_hash = {row["hash"]: row for row in rows}
    for row in taught:
        assert all(by_hash[seed]["group"] == row["group"] != "" for seed in written[row["hash"]].seeds)
    record = storage.read_json(programme.student / "run.json")
    assert record["synthetic"] == {"rows": len(taught), "of": len(rows)}
    assert outcome.metrics["n"] == storage.read_json(programme.seal)["n"]
    predicted = storage.read_table(programme.evaluation / "predictions.parquet").to_pydict()
    assert not {item.prompt.id for item in written.values()} & set(predicted["id"])
    placed = set(storage.read_table(programme.placed)["hash"].to_pylist())
    assert not placed & set(written)
    assert f">{len(taught)}<" in outcome.report.read_text()
    assert "synthetic prompts" in (programme.evaluation / "model_card.md").read_text()


def test_gold_refuses_what_a_model_wrote_and_synthesis_what_became_gold(folder):
    programme = _until(folder, *BEFORE, "synthesise")
    [first, *_] = read_synthetic(programme.synthetic)
    with (folder / "gold.csv").open("a") as file:
        file.write(f"{first.prompt.text.upper()},refund\n")
    reseal(programme)
    sealed = [item.prompt.text for item in read_sealed(programme.sealed, programme.seal)]
    assert first.prompt.text.upper() not in sealed
    rejected = storage.read_table(programme.gold_rejected).to_pylist()
    assert [row["detail"] for row in rejected if row["reason"] == "synthetic"] == [
        f"a model wrote it, as {first.prompt.id!r}"
    ]


def test_what_gold_has_too_goes_when_it_is_found(folder):
    programme = _until(folder, *BEFORE, "synthesise")
    first, *_ = read_synthetic(programme.synthetic)
    near = first.prompt.text.replace(" nine ", " eight ")
    with (folder / "gold.csv").open("a") as file:
        file.write(f"{near},refund\n" * 1)
    (folder / "tutelage.yaml").write_text(
        json.dumps(
            json.loads((folder / "tutelage.yaml").read_text()) | {"gold": {"path": "gold.csv", "margin": 0.3}}
        )
    )
    programme = _until(folder, *BEFORE, "synthesise")
    assert near in [item.prompt.text for item in read_sealed(programme.sealed, programme.seal)]
    assert first.prompt.hash not in [item.prompt.hash for item in read_synthetic(programme.synthetic)]
    reasons = storage.read_table(programme.synthetic_rejected).to_pydict()
    assert "near_duplicate_of_gold" in reasons["reason"]


def test_copies_and_repeats_are_no_new_prompts(folder, faulty_teacher):
    seed = "child drank from it"
    faulty_teacher.default = Outcome(
        body=lambda teacher, request: completion(f"{seed}\nChild drank from it!\na wholly new matter of cats")
    )
    programme = _until(folder, *BEFORE, "synthesise")
    assert [item.prompt.text for item in read_synthetic(programme.synthetic)] == [
        "a wholly new matter of cats"
    ]
    assert read_synthesis(programme)["realism"]["classifier"] is None
    reasons = Counter(storage.read_table(programme.synthetic_rejected)["reason"].to_pylist())
    assert reasons["duplicate_text"] and reasons["near_duplicate_text"]


def test_no_more_than_the_share_is_written_or_learned_from(folder, faulty_teacher):
    told = Told()
    programme = _until(folder, *BEFORE, overrides=("synthesis.share=0.05",))
    run_stage(programme, "synthesise", told)
    about = read_synthesis(programme)
    assert about["prompts"] == about["most"] == int(0.05 / 0.95 * about["real"])
    assert any("synthetic prompts at most beside" in line for line in told.lines)
    more = _until(folder, "synthesise")
    assert len(read_synthetic(more.synthetic)) > about["prompts"]
    before = faulty_teacher.counts["requests"]
    again = _until(folder, "synthesise", overrides=("synthesis.share=0.05",))
    assert len(read_synthetic(again.synthetic)) == about["prompts"]
    assert faulty_teacher.counts["requests"] == before


def test_of_answers_that_cant_teach_none_makes_room_for_synthetic_ones(folder, faulty_teacher):
    usual = faulty_teacher.default.body

    def body(teacher, request):
        text = request["messages"][-1]["content"]
        if text in _texts()[2::3]:
            return completion("no label at all")
        return usual(teacher, request)

    faulty_teacher.default = Outcome(body=body)
    told = Told()
    programme = _until(folder, *BEFORE, "synthesise")
    run_stage(programme, "label", told)
    usable = [row for row in storage.read_table(programme.transfer).to_pylist() if row["status"] == "ok"]
    taught = [row for row in usable if row["source"] == SYNTHETIC]
    assert 0 < len(taught) < len(read_synthetic(programme.synthetic))
    assert len(taught) <= 0.2 * len(usable)
    assert any("answered synthetic prompts are left out" in line for line in told.lines)


def test_what_it_costs_is_told_before_and_a_run_that_was_stopped_pays_nothing_twice(folder, faulty_teacher):
    content = json.loads((folder / "tutelage.yaml").read_text())
    content["teacher"]["price"] = {"input": 1000.0, "output": 1000.0}
    content["teacher"]["max_output_tokens"] = 50
    content["labelling"] = {"concurrency": 1}
    usual = faulty_teacher.default.body

    def dear(teacher, request):
        answer = json.loads(usual(teacher, request))
        return json.dumps(answer | {"usage": {"prompt_tokens": 500, "completion_tokens": 20}})

    faulty_teacher.default = Outcome(body=lambda *asked: dear(*asked).encode())
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = _until(folder, *BEFORE, overrides=("labelling.budget=1.6",))
    told = Told()
    with pytest.raises(BudgetExhausted, match=r"the budget of \$1.6000 can't bear another call"):
        run_stage(programme, "synthesise", told)
    assert any("requests to the writer for" in line and "at the very most" in line for line in told.lines)
    first = writes(faulty_teacher)
    assert first
    assert not programme.synthetic.exists()
    rich = _until(folder, "synthesise")
    assert max(writes(faulty_teacher).values()) == 1 and first.keys() < writes(faulty_teacher).keys()
    spent = [entry for entry in rich.journal.entries() if entry.event == "labelled"]
    assert len(spent) >= 2


def test_nobody_is_asked_without_rights_or_gold_enough_or_the_section(folder, faulty_teacher):
    programme = _until(folder, *BEFORE, overrides=("teacher.rights=nobodys-api",))
    with pytest.raises(GateRefused, match="the writer"):
        run_stage(programme, "synthesise")
    _until(folder, *BEFORE, overrides=("gold.margin=0.01",))
    priced = Programme.open(folder, ("gold.margin=0.01", "teacher.price={input: 1.0, output: 1.0}"))
    with pytest.raises(GateRefused, match="gold gate"):
        run_stage(priced, "synthesise")
    without = _until(folder, *BEFORE, overrides=("synthesis=null",))
    with pytest.raises(UsageError, match="Mend: add `synthesis: {}`"):
        run_stage(without, "synthesise")
    assert not writes(faulty_teacher)


def test_prompts_whose_writer_lost_its_right_are_not_labelled(folder):
    programme = _until(folder, *BEFORE, "synthesise")
    table = storage.read_table(programme.synthetic)
    place = table.schema.get_field_index("basis")
    import pyarrow as pa

    lapsed = table.set_column(place, "basis", pa.array(["gone-entry@abc"] * table.num_rows, pa.string()))
    storage.write_table(programme.synthetic, lapsed)
    from tutelage.stages.planned import synthetic_prompts

    with pytest.raises(GateRefused, match="gone-entry"):
        synthetic_prompts(programme, 1000, Silent())
    lenient = Programme.open(folder, ("rights.lapsed=leave_out",))
    assert synthetic_prompts(lenient, 1000, Silent()) == []


def test_where_nothing_is_hard_or_thin_that_is_said(folder, faulty_teacher):
    told = Told()
    programme = _until(folder, *BEFORE, overrides=("synthesis={slices: [odd], least_in_cluster: 1}",))
    run_stage(programme, "synthesise", told)
    assert read_synthetic(programme.synthetic) == []
    assert any(line.startswith("nothing was hard or thin") for line in told.lines)
    assert not writes(faulty_teacher)
    run_stage(programme, "label")
    assert storage.read_json(programme.teacher_record)["synthetic"] == 0


def test_one_that_doesnt_write_is_no_writer():
    base = {"gold": {"path": "g", "training": {"share": 0.3}}, "traffic": {"path": "t"}}
    with pytest.raises(ConfigError, match="synthesis.writer is absent, and the teacher is of type encoder"):
        parse_config({**base, "teacher": {"type": "encoder"}, "synthesis": {}}, "x")
    with pytest.raises(ConfigError, match="writer is of type human, which doesn't write texts"):
        parse_config(
            {**base, "teacher": {"type": "encoder"}, "synthesis": {"writer": {"type": "human"}}}, "x"
        )
    named = {"type": "openai", "model": "m", "rights": "own-model"}
    parse_config({**base, "teacher": {"type": "encoder"}, "synthesis": {"writer": named}}, "x")


def test_no_secret_of_a_writer_comes_into_the_journal():
    overrides = ("synthesis={writer: x}", "synthesis.writer.headers.key=x", "synthesis.share=0.2")
    content = {"gold": {"path": "g"}, "traffic": {"path": "t"}, "teacher": {"type": "human"}}
    programme = Programme(Path(), parse_config(content, "x"), overrides)
    assert programme.journalled_overrides == [
        "synthesis=...",
        "synthesis.writer.headers.key=...",
        "synthesis.share=0.2",
    ]
