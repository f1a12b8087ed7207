import json

import numpy as np
import pytest
from inbox import inbox_programme

from tiny_world import save_checkpoint
from tutelage import compression, storage
from tutelage.compression import compare_forms
from tutelage.errors import GateRefused, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.serving import load_runtime
from tutelage.stages import run_export, run_stage
from tutelage.students import load_student


def trained(folder, *overrides, **sections):
    programme = Programme.open(inbox_programme(folder, **sections), overrides)
    for stage in ("gold", "collect", "label", "train"):
        run_stage(programme, stage)
    return programme


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    base = save_checkpoint(tmp_path_factory.mktemp("base"))
    student = {"family": "encoder", "base": str(base), "layers": 1, "epochs": 8, "learning_rate": 0.003}
    return trained(tmp_path_factory.mktemp("encoder"), student=student)


def texts_of(programme):
    return storage.read_table(programme.transfer)["text"].to_pylist()


def test_a_static_student_has_one_form_that_says_the_same(static):
    found = run_export(static, Silent())
    [form] = found.forms
    assert (form.form, form.kept, form.parity.agreement, form.parity.drift) == ("float32", True, 1.0, 0.0)
    assert form.parity.n == len(texts_of(static))
    assert static.folder / "exports" / "static" == found.folder
    loaded = load_runtime(found.folder / "float32")
    np.testing.assert_array_equal(
        loaded.predict(texts_of(static)), load_student(static.student / "student").predict(texts_of(static))
    )


@pytest.mark.long
def test_an_encoder_has_two_forms(encoder):
    pytest.importorskip("onnxscript")
    found = run_export(encoder, Silent())
    assert [item.form for item in found.forms] == ["float32", "int8"]
    first, second = found.forms
    assert first.parity.agreement == 1.0 and first.parity.drift < 1e-5
    assert 0 < second.parity.drift < 0.2
    record = json.loads((found.folder / "export.json").read_text())
    assert set(record["forms"]) == {"float32", "int8"}
    assert record["forms"]["int8"]["parity"]["n"] == first.parity.n
    for item in found.forms:
        assert (found.folder / item.form).is_dir() == item.kept
    assert load_runtime(found.folder / "float32").labels == load_student(encoder.student / "student").labels
    forms = [entry.data["form"] for entry in encoder.journal.entries() if "form" in entry.data]
    assert forms == ["float32", "int8"]


def test_fewer_texts_are_taken_where_they_suffice(static):
    programme = Programme.open(static.folder, ["export.texts=7"])
    assert run_export(programme, Silent()).forms[0].parity.n == 7


def test_a_form_that_decides_otherwise_is_refused_and_what_was_there_stays(static, monkeypatch):
    before = run_export(static, Silent()).folder
    kept = storage.hash_path(before / "float32")
    monkeypatch.setattr(
        compression,
        "compare_forms",
        lambda task, a, b, references: compare_forms(task, a, np.roll(b, 1, axis=1), references),
    )
    with pytest.raises(GateRefused, match=r"no form .* keeps what was exported of this student before"):
        run_export(static, Silent())
    assert storage.hash_path(before / "float32") == kept
    record = storage.read_json(before / "export.json")
    storage.write_json(before / "export.json", {**record, "student": "another"})
    with pytest.raises(GateRefused, match="as it was before it was trained again"):
        run_export(static, Silent())


def test_what_is_not_trained_yet_is_told(tmp_path):
    programme = Programme.open(inbox_programme(tmp_path))
    with pytest.raises(UsageError, match="export builds on gold, which has to run first"):
        run_export(programme, Silent())


def test_a_student_that_is_not_as_it_would_be_trained_now_is_told(static):
    programme = Programme.open(static.folder, ["student.epochs=21"])
    with pytest.raises(UsageError, match="export builds on train, which has to run first: student changed"):
        run_export(programme, Silent())
