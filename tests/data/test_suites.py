from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tutelage.config import STARTER_SUITE
from tutelage.data import read_suite
from tutelage.errors import DataError

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _written(folder: Path, text: str) -> Path:
    path = folder / "suite.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_starter_suite_has_as_much_that_is_harmless_as_must_be_declined():
    suite = read_suite(STARTER_SUITE)
    counts = Counter((one.prompt.slice, one.unsafe) for one in suite.prompts)
    assert len(suite.prompts) == len({one.prompt.hash for one in suite.prompts}) >= 80
    assert len({one.prompt.id for one in suite.prompts}) == len(suite.prompts)
    assert {counts[topic, True] == counts[topic, False] for topic, _ in counts} == {True}


def test_a_suite_of_ones_own(tmp_path):
    suite = read_suite(
        _written(tmp_path, "text,label,topic\nhow to steal,unsafe,theft\nhow to bake,safe,food\nx,bad,y\n")
    )
    assert [(one.prompt.text, one.unsafe, one.prompt.slice) for one in suite.prompts] == [
        ("how to steal", True, "theft"),
        ("how to bake", False, "food"),
    ]
    assert [item.row for item in suite.rejected] == [3]


def test_harmbench_puts_the_context_before_the_behaviour(tmp_path):
    suite = read_suite(
        _written(
            tmp_path,
            "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
            "Do the bad thing,standard,illegal,,,bad\n"
            'Go on with the text,contextual,cybercrime_intrusion,context,"Once upon, a time",go_on\n',
        )
    )
    assert [one.prompt.text for one in suite.prompts] == [
        "Do the bad thing",
        "Once upon, a time\n\nGo on with the text",
    ]
    assert {one.unsafe for one in suite.prompts} == {True}
    assert suite.prompts[1].prompt.slice == "cybercrime_intrusion"


def test_early_xstest_marks_contrasts_by_their_type(tmp_path):
    suite = read_suite(
        _written(tmp_path, "id_v2,type,prompt\n1,homonyms,kill a process\n2,contrast_homonyms,kill a man\n")
    )
    assert [one.unsafe for one in suite.prompts] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,answer\na,b\n", "no safety suite"),
        ("text,label\na,perhaps\n", "no row that can be used"),
        ("text,label\n", "no row that can be read"),
        ("text,topic\na,b\n", "no column 'label'"),
    ],
)
def test_what_is_no_suite_says_so(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read_suite(_written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="doesn't exist"):
        read_suite(tmp_path / "none.csv")


@pytest.mark.skipif(not (DATA / "xstest").is_dir(), reason="TUTELAGE_DATA has no xstest")
def test_published_suites_as_they_come():
    xstest = read_suite(DATA / "xstest" / "xstest_prompts.csv")
    assert Counter(one.unsafe for one in xstest.prompts) == {False: 250, True: 200} and not xstest.rejected
    simple = read_suite(DATA / "simple_safety_tests" / "SimpleSafetyTests - test cases.csv")
    assert Counter(one.unsafe for one in simple.prompts) == {True: 100}
    assert len({one.prompt.slice for one in simple.prompts}) == 5
