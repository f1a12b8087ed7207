import pytest
from evaluation_world import TASK, random_world

from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Silent
from tutelage.stages.subjects import Evaluated, Subject, left_by, with_sections


@pytest.fixture
def programme(tmp_path):
    (tmp_path / "tutelage.yaml").write_text(
        "gold:\n  path: gold.csv\n  training: {share: 0.3}\ntraffic: {path: traffic.csv}\n"
        "teacher: {type: encoder}\n"
    )
    return Programme.open(tmp_path)


def evaluated():
    gold, arms = random_world()
    return Evaluated(TASK, gold, arms, {"n": len(gold)})


def subject(name, **sections):
    return Subject(name, lambda _: {}, lambda _, known: {**sections, f"{name} saw": sorted(known.metrics)})


def test_each_subject_adds_its_sections_and_sees_those_before(programme):
    found = with_sections([subject("a", safety=1), subject("b", coverage=None)], programme, evaluated())
    assert found["safety"] == 1
    assert found["coverage"] is None
    assert found["b saw"] == ["a saw", "n", "safety"]
    assert found["n"] == 400


def test_no_subject_writes_what_another_measured(programme):
    with pytest.raises(ValueError, match="'greedy' writes 'n'"):
        with_sections([subject("greedy", n=0)], programme, evaluated())


def test_what_a_stage_left_is_read_only_while_it_is_current(programme):
    source, path = programme.folder / "in.txt", programme.folder / "out.txt"
    stage = Stage(
        "stress",
        inputs=lambda _: {"in": fingerprint(source)},
        outputs=lambda _: [path],
        work=lambda *_: str(path.write_text(source.read_text())),
    )
    source.write_text("one")
    path.write_text("of unknown origin")
    assert left_by(stage, programme, path) is None
    stage.run(programme, Silent())
    assert left_by(stage, programme, path) == path
    source.write_text("two")
    assert left_by(stage, programme, path) is None
    path.unlink()
    assert left_by(stage, programme, path) is None
