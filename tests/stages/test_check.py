"""`check`: what a user hears before anything is sealed, sent or paid. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tutelage.errors import ConfigError, DataError, GateRefused, UnsafeModelError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.rights import rights_decision

WORDS = "parcel invoice password refund courier charge account payment tracking price".split()
QUESTIONS = [f"{one} and {other}s: what now" for one in WORDS for other in WORDS if one != other][:60]
PAID = {
    "type": "openai",
    "rights": "openai-api",
    "model": "m",
    "base_url": "https://api.openai.com/v1",
    "price": {"input": 1, "output": 2},
}
LOCAL = {"type": "openai", "rights": "own-model", "model": "m", "base_url": "http://127.0.0.1:9/v1"}


class Heard(Silent):
    """Keeps what is said below the stage's line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Silent]:
        yield self


def labelled(labels, count: int = 40) -> str:
    """A gold file in which no two questions are alike."""
    rows = [f"{text},{labels[n % len(labels)]}\n" for n, text in enumerate(QUESTIONS[:count])]
    return "text,label\n" + "".join(rows)


def programme(folder: Path, gold: str = "", traffic: str = "text\nwhere is it\n", **sections) -> Programme:
    rows = gold or labelled("ab")
    (folder / "gold.csv").write_text(rows, encoding="utf-8")
    (folder / "traffic.csv").write_text(traffic, encoding="utf-8")
    content = {
        "gold": {"path": "gold.csv", "training": {"share": 0.3}, "margin": 0.2},
        "traffic": {"path": "traffic.csv"},
        "teacher": LOCAL,
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content | sections))
    return Programme.open(folder)


def heard(opened: Programme) -> str:
    progress = Heard()
    run_stage(opened, "check", progress, force=True)
    return "\n".join(progress.lines)


def test_a_sound_programme_is_quiet(tmp_path):
    assert heard(programme(tmp_path)) == ""


def test_rights_that_do_not_allow_refuse_here_already(tmp_path):
    with pytest.raises(GateRefused, match="rights gate.*openai-api"):
        heard(programme(tmp_path, teacher=LOCAL | {"rights": "opnai-api"}))


@pytest.mark.parametrize(
    ("student", "kind"),
    [
        ({"family": "static"}, "classifier"),
        ({"family": "causal"}, "classifier"),
        ({"family": "causal", "recipe": "rationale-causal"}, "generator"),
        ({"family": "seq2seq", "base": "x", "recipe": "step-by-step"}, "generator"),
    ],
)
def test_a_student_that_learns_to_say_reasons_is_a_generator_to_the_rights_gate(tmp_path, student, kind):
    decision = rights_decision(programme(tmp_path, student=student)).to_json()
    assert f'"student_kind": "{kind}"' in json.dumps(decision)


def test_a_base_that_is_not_there_is_found_before_anything_is_paid(tmp_path):
    for base, error in (("no/such/folder", "no folder"), ("none.gguf", "is no file"), ("code", "auto_map")):
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "config.json").write_text('{"auto_map": {}}')
        (tmp_path / "code" / "model.safetensors").touch()
        student = {"family": "seq2seq" if base == "code" else "causal", "base": base}
        with pytest.raises((ConfigError, UnsafeModelError), match=error):
            heard(programme(tmp_path, student=student))


def test_a_package_that_only_training_needs_is_told(tmp_path, monkeypatch):
    student = {"family": "causal"}
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: None)
    assert "can't be trained here yet: the model 'smollm2-135m'" in heard(
        programme(tmp_path, student=student)
    )
    (tmp_path / "tiny.gguf").touch()
    lines = heard(programme(tmp_path, student={**student, "base": "tiny.gguf"}))
    assert "can't be trained here yet" in lines and "tutelage[gguf]" in lines


def test_a_key_or_price_that_is_missing_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        heard(programme(tmp_path, teacher=PAID))
    with pytest.raises(ConfigError, match=r"teacher\.price"):
        heard(programme(tmp_path, teacher={**PAID, "price": None}))


def test_small_gold_refuses_a_paid_teacher_and_is_told_of_a_free_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    free = programme(tmp_path).folder
    assert "gold is small" in heard(Programme.open(free, ["gold.margin=0.01"]))
    with pytest.raises(GateRefused, match="gold gate"):
        heard(Programme.open(programme(tmp_path, teacher=PAID).folder, ["gold.margin=0.01"]))


def test_without_a_budget_the_most_that_it_could_cost_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    opened = programme(tmp_path, teacher=PAID)
    assert "labelling.budget is not set; 1 prompts could cost $0.0" in heard(opened)
    assert "budget" not in heard(Programme.open(opened.folder, ["labelling.budget=1"]))


def test_rows_that_will_not_be_taken_are_counted_with_the_first_of_each(tmp_path):
    gold = (
        "text,label\n" + "".join(f"question {n},{'ab'[n % 2]}\n" for n in range(40)) + "odd,c\nodder,c\n,a\n"
    )
    lines = heard(programme(tmp_path, gold, task={"labels": ["a", "b", "d"]}))
    assert "2 not taken, label_out_of_set (row 41: 'c' is not in the label set) in gold" in lines
    assert "1 not taken, empty_text (row 43" in lines
    assert "labels without a sealed example, so nothing will be known of them: d" in lines


def test_labels_that_differ_in_case_or_spaces_alone_are_told(tmp_path):
    lines = heard(programme(tmp_path, labelled(("Lost card", "lost_card", "refund", "Refund", "other"), 60)))
    assert (
        "labels that differ in case, spaces or marks alone: 'Lost card' and 'lost_card', 'Refund' and 'refund'"
        in lines
    )
    assert "differ in case" not in heard(programme(tmp_path))


@pytest.mark.parametrize("given", ["Refund", "refnd", "REFUND "])
def test_a_label_that_is_nearly_one_names_that_one(tmp_path, given):
    gold = labelled(("refund", "card")) + f"something quite different,{given}\n"
    lines = heard(programme(tmp_path, gold, task={"labels": ["refund", "card"]}))
    assert f"{given.strip()!r} is not in the label set; nearest is 'refund'" in lines


def test_joined_labels_suggest_that_there_are_several(tmp_path):
    gold = labelled(("a", "b", "a|b"), 60)
    assert "set task.multi_label to true" in heard(programme(tmp_path, gold))
    assert "multi_label" not in heard(programme(tmp_path, gold, task={"multi_label": True}))


@pytest.mark.parametrize(
    ("traffic", "message"),
    [("text\n", "a header and no rows"), ("text\n   \n", "none of 1 rows of traffic.csv can be used")],
)
def test_traffic_without_a_usable_row_is_an_error(tmp_path, traffic, message):
    with pytest.raises(DataError, match=message):
        heard(programme(tmp_path, traffic=traffic))
