"""The report: what it says, that hostile content stays text, and that it can load nothing."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_world as world

import tutelage
from tutelage.evaluation.report import render_report
from tutelage.gates import Decision, Verdict

BANKING, HOSTILE, TEXTS, THREE = world.BANKING, world.HOSTILE, world.TEXTS, world.THREE
Page, World = world.Page, world.World
context, decision, embedded, harmed, rendered, small = (
    world.context,
    world.decision,
    world.embedded,
    world.harmed,
    world.rendered,
    world.small,
)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.PASS, ["The student meets every term of the release gate."]),
        (
            Verdict.FAIL,
            ["The student fails 1 of the 6 terms of the release gate.", "At least 6.1 points are lost"],
        ),
        (
            Verdict.UNDECIDED,
            [
                "The gold set can’t decide 1 of the 6 terms",
                "About 240 more gold examples would probably decide it.",
            ],
        ),
    ],
)
def test_the_verdict_is_the_first_thing_said(tmp_path: Path, verdict: Verdict, expected: list[str]) -> None:
    text = Page(rendered(tmp_path, made=decision(verdict))).text
    for sentence in expected:
        assert sentence in text[:1500]


def test_headlines_and_terms_have_the_numbers_of_the_metrics(tmp_path: Path) -> None:
    metrics = small()
    text = Page(rendered(tmp_path, metrics)).text
    student = metrics["arms"]["student"]["accuracy"]
    assert f"{student['estimate']:.1%} {100 * student['low']:.1f}–{student['high']:.1%}" in text
    assert "24× faster" in text
    assert "17 MB instead of 91 MB: 5.3× smaller" in text
    assert "$12.40" in text
    assert "$0.0012 an answer" in text
    assert "−0.2 to 2.4" in text
    assert "McNemar’s test p = 0.03" in text


@pytest.mark.parametrize(
    ("low", "high", "source", "expected"),
    [
        (
            0.008,
            0.03,
            "gold",
            "Learning from the teacher helped: +1.9 points over the same student trained on people’s labels alone",
        ),
        (-0.03, -0.008, "gold", "Learning from the teacher did harm"),
        (-0.01, 0.03, "teacher", "Whether learning the teacher’s probabilities helped can’t be told here"),
        (None, None, None, "Whether learning from the teacher helped can’t be told here"),
    ],
)
def test_whether_distillation_helped_is_said_plainly(
    tmp_path: Path, low: Any, high: Any, source: Any, expected: str
) -> None:
    metrics, about = small(), context()
    metrics["comparisons"][1]["difference"] = {"estimate": 0.019, "low": low, "high": high}
    about["student"]["control"]["labels"] = source
    assert expected in Page(rendered(tmp_path, metrics, about=about)).text


def test_a_comparison_given_the_other_way_round_reads_the_same(tmp_path: Path) -> None:
    world = World(THREE, 240, seed=3)
    metrics = world.metrics(TEXTS)
    straight = embedded(rendered(tmp_path, metrics))[1]["difference"]
    metrics["comparisons"] = [world.comparison("control", "student"), world.comparison("teacher", "student")]
    turned = embedded(rendered(tmp_path, metrics))[1]["difference"]
    assert straight["margin"] == turned["margin"] == -0.03
    for one, other in zip(straight["rows"], turned["rows"], strict=True):
        for arm in ("teacher", "control"):
            for end in ("estimate", "low", "high"):
                assert one["against"][arm][end] == pytest.approx(other["against"][arm][end], abs=1e-12)


def test_labels_stand_sorted_by_what_was_lost(tmp_path: Path) -> None:
    metrics = small(BANKING, n=900)
    metrics["arms"]["student"]["labels"]["pin blocked"]["f1"] = None
    rows = embedded(rendered(tmp_path, metrics))[1]["labels"]
    changes = [row["change"] for row in rows]
    assert len(rows) == 77
    assert changes[:-1] == sorted(changes[:-1])
    assert (rows[-1]["name"], rows[-1]["change"]) == ("pin blocked", None)


@pytest.mark.parametrize("left_out", [*context(), "all"])
def test_what_the_context_lacks_is_left_out(tmp_path: Path, left_out: str) -> None:
    about = {} if left_out == "all" else {key: value for key, value in context().items() if key != left_out}
    text = Page(rendered(tmp_path, about=about)).text
    shown = {
        "seal": "SHA-256",
        "rejected": "Near duplicate",
        "student": "Control: recipe and record",
        "programme": "Support inbox",
        "created": "14 May 2026, 09:30 UTC",
    }
    for key, words in shown.items():
        assert (words in text) == (key in about)


def test_what_is_null_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    metrics = small(api=True)
    metrics["errors"].update(
        both_wrong_same=0,
        both_wrong_different=0,
        student_only_wrong=0,
        inherited_share=None,
        lift=None,
        confusions=[],
    )
    metrics.update(gap_recovered=None, worst=[])
    metrics["arms"]["student"]["macro_f1"] = {"estimate": math.nan, "low": -math.inf, "high": None}
    text = Page(rendered(tmp_path, metrics)).text
    assert "Against the teacher: – Its latency and size weren’t measured here" in text
    assert "– It gave answers without probabilities" in text
    assert "The student makes no error on this gold set." in text
    assert "– Inherited share. Not given" in text
    assert "– Lift. Not given" in text
    assert "– Gap recovered. Not given" in text
    assert "nan" not in text.lower().split()
    for arm in metrics["arms"].values():
        arm["footprint"] = None
    assert "No footprint was measured" in Page(rendered(tmp_path, metrics)).text


def test_without_control_and_slices_and_with_several_labels(tmp_path: Path) -> None:
    metrics = small()
    metrics["task"]["multi_label"] = True
    del metrics["arms"]["control"]
    del metrics["comparisons"][1]
    for arm in metrics["arms"].values():
        arm["slices"] = {}
    metrics["comparisons"][0]["slices"] = {}
    metrics["worst"] = [
        {
            "id": "1",
            "text": "x",
            "slice": None,
            "gold": ["a", "b"],
            "teacher": [],
            "control": None,
            "student": None,
            "confidence": None,
        }
    ]
    text = Page(rendered(tmp_path, metrics)).text
    assert "a + b" in text
    assert "no label" in text
    assert "Right, with several labels" in text


def test_a_decision_without_evidence_is_no_pass(tmp_path: Path) -> None:
    text = Page(rendered(tmp_path, made=Decision.of("release", []).to_json())).text
    assert "The release gate has seen no evidence." in text
    assert "No evidence was recorded with the decision." in text


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    before = rendered(tmp_path)
    with pytest.raises(KeyError):
        render_report({}, decision(), context(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_hostile_content_stays_text(tmp_path: Path) -> None:
    assert len(HOSTILE) >= 20
    calm = [f"label {index}" for index in range(len(HOSTILE))]
    harmless, hostile = Page(rendered(tmp_path, *harmed(calm))), Page(rendered(tmp_path, *harmed(HOSTILE)))
    assert hostile.elements == harmless.elements
    assert hostile.links == harmless.links
    shown = " ".join(hostile.words)
    for text in HOSTILE:
        assert text in shown


def test_the_embedded_json_holds_hostile_content_escaped_and_whole(tmp_path: Path) -> None:
    raw, content = embedded(rendered(tmp_path, *harmed(HOSTILE)))
    assert not set("<>&\u2028\u2029") & set(raw)
    assert {row["name"] for row in content["labels"]} == set(HOSTILE)
    assert content["arms"]["student"]["title"] == HOSTILE[2]


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    metrics = small(texts=["half an emoji \ud83d here"])
    assert "half an emoji ? here" in Page(rendered(tmp_path, metrics)).text


def test_the_policy_allows_the_two_scripts_and_nothing_else(tmp_path: Path) -> None:
    page = Page(rendered(tmp_path))
    run = [text for kind, text in page.scripts if kind is None]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in run]
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert len(run) == 2
    assert rules["script-src"].split() == hashes
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert not re.search(r"url\(|@import", rendered(tmp_path).split("<style>")[1].split("</style>")[0])


def test_a_report_is_the_same_when_made_again(tmp_path: Path) -> None:
    assert rendered(tmp_path) == rendered(tmp_path)


def test_the_vendored_files_are_as_recorded() -> None:
    static = Path(tutelage.__file__).parent / "web" / "static"
    recorded = re.findall(
        r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", (static / "VENDORED.md").read_text(encoding="utf-8"), re.M
    )
    assert {name for name, _ in recorded} == {path.name for path in static.glob("*.js")}
    for name, digest in recorded:
        assert hashlib.sha256((static / name).read_bytes()).hexdigest() == digest


def test_what_evaluation_and_gate_return_is_what_the_report_reads(tmp_path: Path) -> None:
    from tutelage.config import ReleaseConfig
    from tutelage.evaluation import Arm, Footprint, evaluate, release_decision
    from tutelage.records import Gold, Prompt
    from tutelage.tasks import Classify

    made_up = World(THREE, 300, seed=5)
    task = Classify(tuple(THREE))
    gold = [
        Gold(Prompt(str(row), f"text {row}", slice=str(made_up.slices[row])), THREE[made_up.gold[row]])
        for row in range(made_up.n)
    ]
    sure = np.full((made_up.n, 3), 0.05, dtype=np.float32)
    arms = {}
    for name in world.ARMS:
        shares = sure.copy()
        shares[np.arange(made_up.n), made_up.given[name]] = 0.9
        values = [
            None if name == "teacher" and row == 7 else THREE[at]
            for row, at in enumerate(made_up.given[name])
        ]
        footprint = None if name == "teacher" else Footprint(2.1, 3.2, 1000.0, None, 12)
        known, scaled = (None, None) if name == "teacher" else (shares, 1.4)
        arms[name] = Arm(name, f"the {name}", values, known, footprint, temperature=scaled)
    metrics = evaluate(task, gold, arms, resamples=100)
    made = release_decision(metrics, ReleaseConfig(max_loss=0.04)).to_json()
    page = rendered(tmp_path, metrics, made)
    text = Page(page).text
    assert embedded(page)[1]["difference"]["margin"] == -0.04
    assert "Accuracy difference to the teacher, slice critical" in text
    assert all(item["reason"] in text for item in made["evidence"])
    assert "Agrees with the teacher – –" in text
    assert "By slice" in text and "How sure is each where it is wrong?" in text
    assert text.count("Before temperature scaling (T = 1.40)") == 2
