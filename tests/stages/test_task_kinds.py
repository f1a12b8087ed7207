"""Programmes of each kind of task, as far as they go, over a scripted endpoint on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiny_world import save_writer
from tutelage import storage
from tutelage.errors import ConfigError, DataError, UsageError
from tutelage.evaluation import measure_footprint
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import Fields, dump_value, load_value
from tutelage.stages import run_all, run_stage
from tutelage.stages.task import resolved_task
from tutelage.students import load_student

WORDS = "parcel invoice password refund courier charge account payment tracking price".split()
# The plural, since two texts of the same words in another order are near duplicates.
TEXTS = [f"{one} and {other}s: what now" for one in WORDS for other in WORDS if one != other]
RECORD = {
    "type": "object",
    "properties": {
        "about": {"enum": WORDS},
        "count": {"type": "integer"},
        "next_step": {"type": "string"},
    },
}
JUDGE = {"type": "judge", "rubric": "How urgent is it?", "scale": [1, 3], "tolerance": 0}
EXTRACT = {"type": "extract", "record": RECORD, "fields": {"next_step": {"compare": "text"}}}
GENERATE = {"type": "generate", "max_characters": 100}


class Heard(Silent):
    """Keeps what is said below the stage's line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Silent]:
        yield self


def _record(text: str) -> dict[str, object]:
    return {"about": text.split()[0], "count": 2, "next_step": f"Ask for the {text.split()[0]}."}


def _score(text: str) -> str:
    return str(1 + WORDS.index(text.split()[0]) % 3)


def _programme(
    folder: Path, task: dict, rows: list[dict], url: str = "http://127.0.0.1:9/v1", **sections
) -> Programme:
    (folder / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "traffic.csv").write_text("text\n" + "\n".join(TEXTS[40:]) + "\n", encoding="utf-8")
    content = {
        "task": task,
        "gold": {"path": "gold.jsonl", "training": {"share": 0.4}, "margin": 0.3},
        "traffic": {"path": "traffic.csv"},
        "teacher": {
            "type": "openai",
            "rights": "own-model",
            "model": "scripted-1",
            "base_url": url,
            "samples": 1,
        },
        "student": {"family": "static", "epochs": 30, "members": 1},
        "release": {"max_loss": 0.5, "max_ece": None},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content | sections))
    return Programme.open(folder)


def _until(programme: Programme, last: str) -> Heard:
    heard = Heard()
    for name in ("check", "gold", "collect", "label", "train"):
        run_stage(programme, name, heard)
        if name == last:
            break
    return heard


@pytest.mark.slow
def test_a_judges_programme_trains_and_evaluates_like_a_classification(
    tmp_path, faulty_teacher, one_torch_thread
):
    rows = [{"text": text, "label": int(_score(text))} for text in TEXTS[:40]]
    programme = _programme(tmp_path, JUDGE, rows, faulty_teacher.url)
    for text in TEXTS:
        faulty_teacher.answers[text] = json.dumps({"reasons": "By its words.", "score": int(_score(text))})
    outcome = run_all(programme)
    assert storage.read_json(programme.seal)["labels"] == {"1": "", "2": "", "3": ""}
    assert outcome.metrics["task"]["labels"] == ["1", "2", "3"]
    assert outcome.metrics["arms"]["teacher"]["accuracy"]["estimate"] == 1.0
    assert outcome.metrics["arms"]["teacher"]["scores"]["quadratic_kappa"] == 1.0
    assert outcome.metrics["arms"]["student"]["accuracy"]["estimate"] > 0.5
    assert 'Quadratic weighted kappa</th><td></td><td class="number">1.00' in outcome.report.read_text(
        encoding="utf-8"
    )


def test_gold_of_records_is_read_sealed_and_split(tmp_path):
    rows = [{"text": text, "label": _record(text)} for text in TEXTS[:30]]
    rows += [{"text": text, "label": json.dumps(_record(text))} for text in TEXTS[30:40]]
    rows += [
        {"text": "a", "label": {"about": "parcel", "count": "2", "next_step": ""}},
        {"text": "b", "label": {"about": "weather", "count": 2, "next_step": ""}},
        {"text": "c", "label": '{"about": "parcel", "count": 1, "count": 2, "next_step": ""}'},
        {"text": "d", "label": None},
        {"text": "e"},
        {"text": "f", "label": ["parcel"]},
    ]
    programme = _programme(tmp_path, EXTRACT, rows)
    heard = _until(programme, "gold")
    seal = storage.read_json(programme.seal)
    assert (seal["labels"], seal["n"], seal["training_n"]) == ({}, 24, 16)
    sealed = storage.read_table(programme.sealed).to_pylist()
    assert {row["text"]: load_value(row["value"]) for row in sealed}.items() <= {
        text: Fields(_record(text)) for text in TEXTS[:40]
    }.items()
    rejected = storage.read_table(programme.gold_rejected).to_pylist()
    assert [(row["reason"], row["detail"][:45]) for row in rejected] == [
        ("answer_misfit", "field 'count' is string, not integer (type)"),
        ("label_out_of_set", "field 'about': 'weather' is not in its set"),
        ("answer_misfit", "not JSON: the key 'count' stands twice"),
        ("empty_label", "'label' is empty"),
        ("missing_column", "no 'label'"),
        ("not_text", "'label' holds list"),
    ]
    assert any(
        "task.type extract has none: what comes out is the transfer set" in line for line in heard.lines
    )


def test_a_programme_of_records_ends_with_the_transfer_set(tmp_path, faulty_teacher):
    rows = [{"text": text, "label": _record(text)} for text in TEXTS[:40]]
    programme = _programme(tmp_path, EXTRACT, rows, faulty_teacher.url)
    for text in TEXTS:
        faulty_teacher.answers[text] = json.dumps(_record(text))
    faulty_teacher.answers[TEXTS[-1]] = '{"about": "parcel"}'
    _until(programme, "label")
    transfer = {row["text"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    assert load_value(transfer[TEXTS[50]]["value"]) == Fields(_record(TEXTS[50]))
    assert transfer[TEXTS[-1]]["status"] == "unparseable" and transfer[TEXTS[-1]]["value"] is None
    assert all(row["distribution"] is None for row in transfer.values())
    [schema] = {json.dumps(request["response_format"]["json_schema"]) for request in faulty_teacher.requests}
    assert json.loads(schema)["strict"] is True
    with pytest.raises(
        UsageError, match=r"task\.type is extract, .*student\.family static is of labels.*causal"
    ):
        run_stage(programme, "train")
    with pytest.raises(UsageError, match="evaluate builds on (coverage|train)"):
        run_stage(programme, "evaluate")


def test_a_record_that_providers_cannot_be_strict_about_is_asked_for_all_the_same(tmp_path, faulty_teacher):
    task = {**EXTRACT, "record": {**RECORD, "required": ["about"]}}
    rows = [{"text": text, "label": {"about": text.split()[0]}} for text in TEXTS[:40]]
    programme = _programme(tmp_path, task, rows, faulty_teacher.url)
    for text in TEXTS:
        faulty_teacher.answers[text] = json.dumps({"about": text.split()[0]})
    _until(programme, "label")
    assert {str(row["status"]) for row in storage.read_table(programme.transfer).to_pylist()} == {"ok"}
    assert all("strict" not in r["response_format"]["json_schema"] for r in faulty_teacher.requests)


def test_a_programme_of_texts_ends_with_the_transfer_set(tmp_path, faulty_teacher):
    rows = [{"text": text, "label": f"We look into the {text.split()[0]}."} for text in TEXTS[:40]]
    rows += [{"text": "too long", "label": "x" * 101}, {"text": "none", "label": " "}]
    programme = _programme(tmp_path, GENERATE, rows, faulty_teacher.url)
    for text in TEXTS:
        faulty_teacher.answers[text] = f"Dear customer,\nwe look into {text}."
    _until(programme, "label")
    transfer = {row["text"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    assert load_value(transfer[TEXTS[60]]["value"]) == faulty_teacher.answers[TEXTS[60]]
    rejected = storage.read_table(programme.gold_rejected).to_pylist()
    assert [row["reason"] for row in rejected] == ["answer_misfit", "empty_label"]
    assert all("response_format" not in request for request in faulty_teacher.requests)
    with pytest.raises(UsageError, match=r"task\.type is generate"):
        run_stage(programme, "train")


SHORT = {
    "layers": 1, "hidden_size": 16, "heads": 2, "intermediate_size": 32, "epochs": 1, "base": "tiny",
    "max_answer_tokens": 24,
}  # fmt: skip


def _with_gold(programme):
    column = storage.read_table(programme.transfer)["gold"]
    return len(column) - column.null_count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "student", "control"),
    [
        (EXTRACT, {"family": "causal"}, "gold"),
        (GENERATE, {"family": "causal", "control": "teacher"}, "none"),
        (
            {**JUDGE, "reasons": "before"},
            {"family": "seq2seq", "recipe": "step-by-step", "control": "teacher"},
            "answers",
        ),
    ],
)
def test_students_that_write_are_trained_with_their_control_and_judged(
    tmp_path, faulty_teacher, one_torch_thread, monkeypatch, task, student, control
):
    monkeypatch.setitem(measure_footprint.__kwdefaults__, "seconds", 0.2)
    answers = {
        "extract": lambda text: _record(text),
        "generate": lambda text: f"We look into the {text.split()[0]}.",
        "judge": lambda text: int(_score(text)),
    }
    of = answers[task["type"]]
    rows = [{"text": text, "label": of(text)} for text in TEXTS[:40]]
    programme = _programme(tmp_path, task, rows, faulty_teacher.url, student={**SHORT, **student})
    save_writer(tmp_path / "tiny", student["family"], corpus=TEXTS)
    for text in TEXTS:
        value = of(text)
        reasoned = {"reasons": "By its words.", "score": value}
        said = {"extract": value, "judge": reasoned}.get(task["type"])
        faulty_teacher.answers[text] = value if said is None else json.dumps(said)
    heard = _until(programme, "train")
    assert not any("task.type" in line for line in heard.lines)
    run = storage.read_json(programme.student / "run.json")
    examples, of_people = run["student"]["examples"], _with_gold(programme)
    least, most = {"none": (0, 0), "answers": (examples, examples), "gold": (of_people // 2, of_people - 1)}[
        control
    ]  # some are held back, which ones is drawn
    assert run["control"]["labels"] == control and least <= run["control"]["examples"] <= most
    assert examples > 40 and run["student"]["record"]["steps"] > 0
    for arm in ("student", "control"):
        trained = load_student(programme.student / arm)
        found = trained.answers(TEXTS[:3], resolved_task(programme))
        assert len(found) == 3 and trained.family == student["family"]
    outcome = run_all(programme)
    arms = outcome.metrics["arms"]
    assert outcome.metrics["task"]["kind"] == task["type"]
    assert arms["teacher"]["accuracy"] == {
        "estimate": 1.0,
        "low": pytest.approx(0.858, abs=1e-3),
        "high": 1.0,
        "n": 24,
    }
    for arm in ("student", "control"):  # a random model after one epoch knows nothing
        assert arms[arm]["accuracy"]["estimate"] < 0.9
        assert arms[arm]["footprint"]["latency_p50_ms"] > 0
    assert outcome.decision["verdict"] in ("pass", "fail", "not enough evidence")
    assert outcome.report.stat().st_size > 10_000
    if task["type"] == "generate":
        assert arms["teacher"]["measures"]["embedding_similarity"]["estimate"] == pytest.approx(1.0, abs=1e-5)
        assert arms["student"]["measures"]["embedding_similarity"]["estimate"] < 0.7
    if task["type"] != "judge":
        assert arms["student"]["unanswered"] > 0 or task["type"] == "generate"
        assert (arms["student"]["ece"], arms["student"]["labels"]) == (None, {})
        predicted = storage.read_table(programme.evaluation / "predictions.parquet").to_pylist()
        stated = [row["student_confidence"] for row in predicted if row["student"] is not None]
        assert all(0 < confidence <= 1 for confidence in stated)


def test_recipes_of_reasons_ask_for_them(tmp_path, faulty_teacher):
    rows = [{"text": text, "label": f"The {text.split()[0]}."} for text in TEXTS[:40]]
    student = {**SHORT, "family": "causal", "recipe": "rationale-causal"}
    programme = _programme(tmp_path, GENERATE, rows, faulty_teacher.url, student=student)
    for text in TEXTS:
        faulty_teacher.answers[text] = f"The {text.split()[0]}."
    _until(programme, "label")
    with pytest.raises(DataError, match="rationale-causal learns from reasons, and no answer has any"):
        run_stage(programme, "train")


@pytest.mark.parametrize("task", [EXTRACT, GENERATE])
@pytest.mark.parametrize(
    "teacher", [{"type": "encoder"}, {"type": "transformers", "rights": "own-model", "model": "x"}]
)
def test_teachers_of_labels_refuse_tasks_without(tmp_path, task, teacher):
    label = _record(TEXTS[0]) if task is EXTRACT else "a text"
    rows = [{"text": text, "label": label} for text in TEXTS[:40]]
    programme = _programme(tmp_path, task, rows, teacher=teacher)
    with pytest.raises(
        ConfigError, match=f"teacher.type {teacher['type']} answers with labels, .*{task['type']} has none"
    ):
        run_stage(programme, "check")


def test_verdicts_need_not_all_stand_in_gold_and_no_others_may(tmp_path):
    task = {"type": "judge", "rubric": "Polite?", "verdicts": ["yes", "no", "unsure"]}
    rows = [{"text": text, "label": ("yes", "no")[n % 2]} for n, text in enumerate(TEXTS[:40])]
    programme = _programme(tmp_path, task, [*rows, {"text": "x", "label": "maybe"}])
    heard = _until(programme, "gold")
    assert resolved_task(programme).labels == ("yes", "no", "unsure")
    assert any("without a sealed example" in line and "unsure" in line for line in heard.lines)
    assert any("label_out_of_set" in line and "'maybe' is not a verdict" in line for line in heard.lines)


def test_two_replies_to_one_text_are_no_contradiction_and_two_records_may_be(tmp_path):
    for name, task, labels, kept in (
        ("generate", GENERATE, ("Hello.", "Good day to you."), True),
        (
            "alike",
            EXTRACT,
            (_record("parcel x"), _record("parcel x") | {"next_step": "Ask for the parcels."}),
            True,
        ),
        ("unlike", EXTRACT, (_record("parcel x"), _record("parcel x") | {"count": 3}), False),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"text": "twice", "label": label} for label in labels] + [
            {"text": "once", "label": labels[0]}
        ]
        programme = _programme(folder, task, rows, gold={"path": "gold.jsonl", "margin": 0.4})
        run_stage(programme, "gold")
        assert storage.read_table(programme.sealed).num_rows == (2 if kept else 1)
        reasons = storage.read_table(programme.gold_rejected).column("reason").to_pylist()
        assert reasons == (["duplicate_text"] if kept else ["conflicting_label"] * 2)


def test_gold_without_a_usable_answer_is_an_error(tmp_path):
    programme = _programme(tmp_path, EXTRACT, [{"text": "a", "label": "{"}])
    with pytest.raises(DataError, match="no gold example is left"):
        run_stage(programme, "gold")


def test_a_changed_schema_file_is_another_task_and_runs_gold_again(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(RECORD))
    task = {"type": "extract", "record_file": "record.json"}
    rows = [{"text": text, "label": _record(text)} for text in TEXTS[:40]]
    programme = _programme(tmp_path, task, rows)
    _until(programme, "gold")
    before = resolved_task(programme).version
    (tmp_path / "record.json").write_text(json.dumps({**RECORD, "description": "A support message."}))
    again = Programme.open(tmp_path)
    assert resolved_task(again).version != before
    with pytest.raises(UsageError, match="record' file changed|the record's file changed"):
        run_stage(again, "collect")


def test_values_stand_in_tables_as_json():
    for value in ("4", Fields({"a": [1, None]}), "two\nlines"):
        assert load_value(dump_value(value)) == value
