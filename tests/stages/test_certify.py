"""From a programme to a certificate that a server reads, and every way in which there is none."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import binom

from tutelage import storage
from tutelage.config import CertifyConfig
from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import Gold, Prompt
from tutelage.serving import (
    Bound,
    CalibrationPart,
    Certified,
    NotCertified,
    Reference,
    certify,
    load_runtime,
    read_certificate,
    read_novelty,
    threshold_list,
)
from tutelage.serving.student import revision_of
from tutelage.stages import run_certify, run_export, run_stage
from tutelage.stages.calibration import Calibration
from tutelage.tasks import Classify

BEFORE = ("gold", "collect", "label", "train")
GOLD = {
    "path": "gold.csv",
    "training": {"share": 0.3},
    "calibration": {"path": "calibration.csv"},
    "margin": 0.3,
}
CONFIG = {
    "gold": GOLD,
    "traffic": {"path": "traffic.csv", "near_duplicate": 1.0},
    "teacher": {"type": "human", "verdicts": {"path": "verdicts.csv"}},
    "student": {"family": "static", "epochs": 8, "members": 1},
    "certify": {"bounds": [{"limit": 0.5}, {"limit": 0.5, "reference": "teacher"}], "foreign_share": 0.05},
}
SUBJECTS = {
    "parcel": "delivery",
    "courier": "delivery",
    "shipment": "delivery",
    "invoice": "billing",
    "refund": "billing",
    "payment": "billing",
    "password": "login",
    "account": "login",
}
FRAMES = (
    "where is my {}",
    "the {} does not work",
    "please look into my {}",
    "once more the {}",
    "my {} again",
)
ERRS = "once more the payment"  # which is delivery to the teacher, and people say it isn't
TAILS = ("since yesterday", "for a friend", "please", "it is urgent", "thank you", "i am waiting", "today")


def programme_in(folder):
    """Prompts of one kind, drawn at random into gold, calibration part and traffic."""
    rows = [
        (f"{frame.format(subject)} {tail}", subject)
        for subject in SUBJECTS
        for frame in FRAMES
        for tail in TAILS
    ]
    rows = [rows[index] for index in np.random.default_rng(5).permutation(len(rows))]
    parts = {"gold": rows[:50], "calibration": rows[50:130], "traffic": rows[130:]}
    for name, part in parts.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            labelled = [(text, SUBJECTS[subject]) for text, subject in part]
            csv.writer(file).writerows([("text", "label"), *labelled])
    with (folder / "verdicts.csv").open("w", newline="") as file:
        said = [(text, "delivery" if text.startswith(ERRS) else SUBJECTS[subject]) for text, subject in rows]
        csv.writer(file).writerows([("text", "label"), *said])
    (folder / "tutelage.yaml").write_text(json.dumps(CONFIG))
    return Programme.open(folder)


def opened(folder, *overrides, **sections):
    return Programme.open(
        folder, [*overrides, *(f"{key}={json.dumps(one)}" for key, one in sections.items())]
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    programme = programme_in(tmp_path_factory.mktemp("programme"))
    for stage in BEFORE:
        run_stage(programme, stage)
    run_export(programme, Silent())
    return programme


class Told(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def test_a_certificate_names_its_student_guard_and_part(exported):
    found = run_certify(exported, Silent())
    [form] = found.forms
    certificate = read_certificate(exported.folder / "certificates" / "static" / "float32.json")
    assert form.certified and found.exit_code == 0
    assert certificate == form.outcome
    guard = exported.certificates / "float32.scope.safetensors"
    student = revision_of(exported.exports / "float32")
    assert certificate.refusal(student, storage.hash_file(guard)) is None
    assert certificate.expires - certificate.issued == 90 * 86_400
    assert certificate.tested["calibration"] == storage.hash_file(exported.gold_calibration)
    assert certificate.tested["n"] == storage.read_table(exported.gold_calibration).num_rows
    assert certificate.tested["form"] == "float32" and certificate.assumptions
    *_, entry = (entry for entry in exported.journal.entries() if entry.data.get("gate") == "certificate")
    assert entry.data["verdict"] == "pass" and entry.data["student"] == student
    assert entry.data["file"] == storage.hash_file(form.path)


def test_its_claims_are_what_one_counts_by_hand(exported):
    [form] = run_certify(exported, Silent()).forms
    certificate = form.outcome
    student = load_runtime(exported.exports / "float32")
    guard = read_novelty(exported.certificates / "float32.scope.safetensors")
    teacher = {row["text"]: row for row in storage.read_table(exported.calibration_answers).to_pylist()}
    answered, wrong, disagreeing = 0, 0, 0
    rows = storage.read_table(exported.gold_calibration).to_pylist()
    for row in rows:
        [odds] = student.predict([row["text"]])
        if guard.foreign(row["text"]) or odds.max() < certificate.threshold:
            continue
        said = json.dumps(student.labels[odds.argmax()])
        answered += 1
        wrong += said != row["value"]
        disagreeing += said != teacher[row["text"]]["value"]
    assert certificate.answered_share == pytest.approx(answered / len(rows))
    assert [(claim.n, claim.wrong) for claim in certificate.claims] == [
        (answered, wrong),
        (answered, disagreeing),
    ]


def test_where_bounds_do_not_hold_the_earlier_certificate_is_gone(exported):
    run_certify(exported, Silent())
    strict = opened(exported.folder, **{"certify.bounds": [{"limit": 0.001, "reference": "teacher"}]})
    found = run_certify(strict, Silent())
    [form] = found.forms
    assert isinstance(form.outcome, NotCertified) and found.exit_code in (3, 4)
    assert read_certificate(form.path) is None
    assert not (exported.certificates / "float32.scope.safetensors").exists()
    assert form.decision.reasons and form.decision.verdict != "pass"


def test_too_few_prompts_are_told_with_how_many_would_do(exported):
    bounds, delta = [{"limit": 0.3, "reference": "excess"}], 1e-13
    assert delta < (1 - 0.3) ** 80  # so that no student passes on these 80, were it never wrong
    programme = opened(exported.folder, **{"certify.bounds": bounds, "certify.delta": delta})
    found = run_certify(programme, Silent())
    [evidence] = found.forms[0].decision.evidence
    if evidence.more_needed is None:
        assert found.exit_code == 3 and "too many" in evidence.reason
    else:
        assert found.exit_code == 4 and f"about {evidence.more_needed:,} more" in evidence.reason


def test_without_a_guard_all_are_in_scope(exported):
    programme = opened(exported.folder, "certify.foreign_share=null")
    [form] = run_certify(programme, Silent()).forms
    assert form.foreign == 0 and form.outcome.scope == ""
    assert not (exported.certificates / "float32.scope.safetensors").exists()


def test_another_student_on_the_same_part_is_told(exported, tmp_path):
    exported.journal.append("gate", gate="certificate", calibration="other", student="x")
    told = Told()
    run_certify(exported, told)
    assert not [line for line in told.warnings if "tested on this calibration part" in line]
    part = storage.hash_file(exported.gold_calibration)
    exported.journal.append("gate", gate="certificate", calibration=part, student="another")
    run_certify(exported, told)
    assert [line for line in told.warnings if line.startswith("1 other students were tested")]


def test_what_is_missing_is_named_with_its_mend(exported):
    with pytest.raises(UsageError, match=r"gold.calibration is absent.* Mend: add `calibration:"):
        run_certify(opened(exported.folder, "gold.calibration=null"), Silent())
    with pytest.raises(UsageError, match=r"certify builds on gold, which has to run first"):
        run_certify(opened(exported.folder, "gold.calibration.share=0.5"), Silent())
    with pytest.raises(UsageError, match=r"certify builds on train, which has to run first.* Mend: run"):
        run_certify(opened(exported.folder, "student.seed=3"), Silent())
    about = exported.exports / "export.json"
    content = storage.read_json(about)
    try:
        storage.write_json(about, content | {"student": "another"})
        with pytest.raises(UsageError, match=r"export.json holds forms of an earlier student. Mend: run"):
            run_certify(exported, Silent())
        about.unlink()
        with pytest.raises(UsageError, match=r"of an exported form.* doesn't exist. Mend: run"):
            run_certify(exported, Silent())
    finally:
        storage.write_json(about, content)


def test_a_slice_that_the_part_lacks_is_named(exported):
    programme = opened(exported.folder, **{"certify.bounds": [{"limit": 0.5, "slice": "safety"}]})
    with pytest.raises(UsageError, match=r"no prompt of slice 'safety'"):
        run_certify(programme, Silent())


def test_a_part_that_was_touched_certifies_nothing(exported):
    content = exported.gold_calibration.read_bytes()
    other = storage.read_table(exported.gold_calibration).slice(1)
    try:
        storage.write_table(exported.gold_calibration, other)
        with pytest.raises((IntegrityError, UsageError), match="calibration.parquet"):
            run_certify(exported, Silent())
    finally:
        exported.gold_calibration.write_bytes(content)


def test_answers_that_are_missing_are_not_made_up(exported):
    content = exported.calibration_answers.read_bytes()
    try:
        storage.write_table(
            exported.calibration_answers, storage.read_table(exported.calibration_answers).slice(2)
        )
        with pytest.raises((DataError, UsageError), match="calibration.parquet"):
            run_certify(exported, Silent())
    finally:
        exported.calibration_answers.write_bytes(content)


def test_what_counts_as_wrong_against_whom():
    gold = [Gold(Prompt(str(n), f"text {n}"), "a") for n in range(5)]
    part = Calibration(gold, ["a", "b", "a", "b", None], "hash", 0)
    wrong = part.wrong(Classify({"a": "", "b": ""}), ["a", "a", "b", "b", "b"])
    assert wrong[Reference.GOLD].tolist() == [False, False, True, True, True]
    assert wrong[Reference.TEACHER].tolist() == [False, True, True, False, True]
    assert wrong[Reference.EXCESS].tolist() == [False, False, True, False, False]


def test_a_bound_that_is_broken_everywhere_is_certified_no_more_often_than_delta():
    """A student that errs in 6% of cases however sure it is, held to 5%, the guard taking some away."""
    generator = np.random.default_rng(11)
    bounds, delta, draws, n = [Bound(0.05)], 0.1, 400, 600

    def confidences():
        sure = generator.random(n)
        sure[generator.random(n) < 0.02] = np.nan
        return sure

    thresholds = np.append(threshold_list(confidences(), {None: n}, bounds, delta), 0.0)
    certified = 0
    for _ in range(draws):
        part = CalibrationPart(confidences(), {Reference.GOLD: generator.random(n) < 0.06})
        certified += isinstance(certify(part, bounds, thresholds, delta), Certified)
    assert certified <= binom.ppf(0.999, draws, delta)


def test_two_bounds_on_the_same_errors_are_refused():
    with pytest.raises(ValueError, match="two bounds are about the same errors"):
        CertifyConfig(bounds=[{"limit": 0.02}, {"limit": 0.01}])
