"""Who is asked what next."""

from __future__ import annotations

import operator

import pytest

from tutelage.errors import UsageError
from tutelage.records import Fields, Prompt
from tutelage.review import Annotation, AnnotationProject, AnnotationStore, State
from tutelage.tasks import Classify, Extract, Judge

PROMPTS = [Prompt(str(n), f"prompt {n}") for n in range(4)]


@pytest.fixture
def project(tmp_path):
    yield from made(tmp_path)


def made(folder, **settings):
    store = AnnotationStore(folder / "a.sqlite")
    yield AnnotationProject(PROMPTS, store, Classify(("x", "y")), agree=operator.eq, **settings)
    store.close()


def answer_all(project, name, values):
    for value in values:
        asked = project.next(name)
        assert not asked.settles
        project.answer(name, asked.prompt.hash, value, "", settles=False)


def test_two_answer_everything_and_then_settle_what_they_disagree_on(project):
    answer_all(project, "Ada", "xxyy")
    assert project.next("Ada") is None and project.left("Ada") == 0
    assert project.left("Bob") == 4
    answer_all(project, "Bob", "xyyx")
    assert (project.tally().settled, project.tally().disputed) == (2, 2)
    first, other = project.next("Ada"), project.next("Bob")
    assert first.settles and first.prompt == other.prompt == PROMPTS[1]
    assert first.answers == other.answers and set(first.answers) == {"x", "y"}
    project.answer("Ada", first.prompt.hash, "y", "", settles=True)
    assert project.next("Ada").prompt == PROMPTS[3] and project.left("Ada") == 1
    project.answer("Bob", first.prompt.hash, "y", "", settles=True)
    found = project.standings()[PROMPTS[1].hash]
    assert (found.state, found.value) == (State.SETTLED, "y")


def test_a_third_is_asked_only_what_is_disputed(project):
    answer_all(project, "Ada", "xxyy")
    answer_all(project, "Bob", "xxyx")
    asked = project.next("Cem")
    assert asked.settles and asked.prompt == PROMPTS[3] and project.left("Cem") == 1
    project.answer("Cem", asked.prompt.hash, "x", "", settles=True)
    assert project.next("Cem") is None and project.next("Ada") is None
    assert project.tally().settled == 4


def test_nobody_is_asked_what_enough_have_answered(project):
    answer_all(project, "Ada", "xx")
    answer_all(project, "Bob", "xx")
    assert project.next("Cem").prompt == PROMPTS[2]


def test_a_skipped_prompt_goes_to_another_and_comes_back_when_asked_for(project):
    project.answer("Ada", PROMPTS[0].hash, None, "no idea", settles=False)
    assert project.next("Ada").prompt == PROMPTS[1] and project.skipped("Ada") == 1
    assert project.next("Bob").prompt == PROMPTS[0]
    assert project.unskip("Ada") == 1
    back = project.next("Ada")
    assert back.prompt == PROMPTS[0] and back.before.comment == "no idea"


def test_what_was_said_last_is_taken_back(project):
    assert not project.undo("Ada")
    answer_all(project, "Ada", "xy")
    assert project.undo("Ada")
    again = project.next("Ada")
    assert again.prompt == PROMPTS[1] and again.before.value == "y"


def test_answers_that_the_task_has_no_longer_dont_count(tmp_path):
    store = AnnotationStore(tmp_path / "a.sqlite")
    for task, values, left in (
        (Judge(tuple("1234"), "rubric", scored=True), ("5", "4"), "4"),
        (Classify(("x", "y"), multi_label=True), ("x", ("x", "z")), None),
        (
            Extract({"type": "object", "properties": {"n": {"type": "number"}}}),
            (Fields({"n": "one"}), "x"),
            None,
        ),
    ):
        said = zip("ab", values, strict=True)
        store.add_all(Annotation(PROMPTS[0].hash, who, value) for who, value in said)
        project = AnnotationProject(PROMPTS[:1], store, task, agree=operator.eq)
        found = project.standings()[PROMPTS[0].hash]
        assert [value for _, value in found.independent] == ([] if left is None else [left])
        assert (found.state, project.misfits()) == (State.OPEN, 2 - len(found.independent))
        assert project.next("a").prompt == PROMPTS[0], "who gave one is asked again" if left is None else ""
    store.close()


def test_the_order_of_answers_tells_nothing_of_who_gave_them(tmp_path):
    orders = set()
    for n in range(20):
        prompt = Prompt(str(n), f"text {n}")
        store = AnnotationStore(tmp_path / "a.sqlite")
        store.add_all([Annotation(prompt.hash, "a", "x"), Annotation(prompt.hash, "b", "y")])
        project = AnnotationProject([prompt], store, Classify(("x", "y")), agree=operator.eq)
        orders.add(project.next("c").answers)
        store.close()
    assert orders == {("x", "y"), ("y", "x")}


def test_what_is_no_answer_is_told(project):
    with pytest.raises(UsageError, match="no prompt 'other'"):
        project.answer("Ada", "other", "x", "", settles=False)
    with pytest.raises(UsageError, match="2,001 characters"):
        project.answer("Ada", PROMPTS[0].hash, "x", "c" * 2_001, settles=False)
    with pytest.raises(UsageError, match="nobody gives that answer"):
        project.given_answer(PROMPTS[0].hash, '"x"')
