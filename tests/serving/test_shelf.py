import pytest
from served_world import certify, export, toy_student

from tutelage import storage
from tutelage.errors import IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.serving.shelf import Shelf


@pytest.fixture
def programme(tmp_path):
    (tmp_path / "tutelage.yaml").write_text(
        "gold: {path: g.csv}\ntraffic: {path: t.csv}\nteacher: {type: human, verdicts: {path: v.csv}}\n"
        "student: {family: static}\n"
    )
    return Programme.open(tmp_path)


def decided(programme, student):
    content = {"verdict": "pass", "student": student}
    storage.write_json(programme.folder / "evaluation" / "static" / "decision.json", content)


def exported(programme, student, form="float32"):
    place = export(programme.folder, form, toy_student())
    storage.write_json(place.parent / "export.json", {"student": student})


def test_a_verdict_is_of_the_student_that_was_judged(programme):
    exported(programme, "first")
    assert Shelf(programme).usual(None).released == ""
    decided(programme, "first")
    assert Shelf(programme).usual(None).released == "pass"
    decided(programme, "trained again")
    assert Shelf(programme).usual(None).released == ""
    storage.write_json(programme.folder / "exports" / "static" / "export.json", {"student": "trained again"})
    assert Shelf(programme).usual(None).released == "pass"


def test_the_smaller_form_is_the_usual_one(programme):
    exported(programme, "first")
    exported(programme, "first", "int8")
    assert Shelf(programme).usual(None).name == "static/int8"
    assert Shelf(programme).usual("float32").name == "static/float32"
    [one, other] = Shelf(programme).all()
    assert Shelf(programme).of_revision(one.revision).revision == one.revision
    assert {one.form, other.form} == {"float32", "int8"}


def test_what_is_not_there_is_told(programme):
    with pytest.raises(UsageError, match=r"in any form\. Mend: run `tutelage export"):
        Shelf(programme).usual(None)
    exported(programme, "first")
    with pytest.raises(UsageError, match="in the form int8"):
        Shelf(programme).usual("int8")
    with pytest.raises(UsageError, match="no exported student has the revision abc"):
        Shelf(programme).of_revision("abc")


def test_a_certificate_is_of_the_student_that_stands_there(programme):
    exported(programme, "first")
    assert Shelf(programme).usual(None).refusal() == (
        "static/float32 has no certificate: run `tutelage certify` first"
    )
    certificate = certify(programme.folder)
    candidate = Shelf(programme).usual(None)
    assert candidate.certificate == certificate and candidate.refusal() is None
    assert candidate.scope().foreign("play some jazz") and not candidate.scope().foreign("refund 7")
    certify(programme.folder, student="a" * 32)
    candidate = Shelf(programme).usual(None)
    assert candidate.certificate is None and "has no certificate" in candidate.refusal()


def test_one_that_expired_or_lost_its_guard_lets_nothing_answer(programme):
    exported(programme, "first")
    certify(programme.folder, issued=0.0, expires=1.0)
    assert "expired on 1970-01-01" in Shelf(programme).usual(None).refusal()
    certify(programme.folder, scope="b" * 32)
    candidate = Shelf(programme).usual(None)
    assert "behind the guard bbbbbbbbbbbb" in candidate.refusal()
    with pytest.raises(IntegrityError, match="a guard that isn't there as it was"):
        candidate.scope()
    candidate.guard.unlink()
    with pytest.raises(IntegrityError, match="a guard that isn't there as it was"):
        Shelf(programme).usual(None).scope()
    certify(programme.folder, scope="")
    assert Shelf(programme).usual(None).scope() is None
