import pytest
from served_world import export, toy_student

from tutelage import storage
from tutelage.errors import UsageError
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
