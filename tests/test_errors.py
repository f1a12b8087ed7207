from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tutelage import errors
from tutelage.errors import MissingExtraError, TeacherError, TeacherUnavailable, TutelageError
from tutelage.gates import Verdict
from tutelage.stages import Outcome

ROOT = Path(__file__).parents[1]

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def _drawn() -> dict[str, str | None]:
    """Each class of the docstring's tree with the one it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"([\s│├└─]*)([A-Z]\w+)(?:  |$)", line)
        if found is None or not line.startswith("    "):
            continue
        depth, name = len(found[1]), found[2]
        while path and path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1] if path else None
        path.append((depth, name))
    return parents


def test_the_tree_that_is_drawn_is_the_tree_there_is():
    is_ = {name: value.__base__.__name__ for name, value in CLASSES.items()}
    assert _drawn() == is_ | {"TutelageError": None}
    assert CLASSES["TutelageError"].__base__ is Exception


def test_the_whole_tree_stands_in_one_module():
    strays = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases}
                strays += [f"{path.name}: {node.name}"] if bases & CLASSES.keys() else []
    assert strays == []


def test_every_class_says_when_it_is_raised():
    assert [name for name, value in CLASSES.items() if not value.__dict__.get("__doc__")] == []


_DOCUMENTED = {  # what docs/stages/run.md says of each status, and whose it is
    2: ("usage or configuration", "UsageError ConfigError DataError MissingExtraError ProgrammeBusyError"),
    3: ("a gate refused or the release failed", "GateRefused"),
    5: ("something on disk isn't what was written", "IntegrityError UnsafeModelError"),
    6: ("budget", "BudgetExhausted"),
    7: ("teacher", "TeacherError TeacherUnavailable TeacherRefusesAccess BatchForgotten"),
    8: ("people haven't answered yet", "AwaitingPeople"),
}


def test_exit_statuses_are_those_of_the_page():
    page = (ROOT / "docs" / "stages" / "run.md").read_text(encoding="utf-8")
    [sentence] = re.findall(r"Exit status: (.*?)\.", page)
    said = {int(part.split(" ", 1)[0]): part.split(" ", 1)[1] for part in sentence.split(", ")}
    assert said.keys() == {0, 4, 130, *_DOCUMENTED}
    for code, (words, names) in _DOCUMENTED.items():
        assert said[code] == words
        assert {name for name, value in CLASSES.items() if value.exit_code == code} == set(names.split())
    assert TutelageError.exit_code == 1


@pytest.mark.parametrize("verdict", Verdict)
def test_a_release_ends_with_the_status_of_the_page(verdict):
    expected = {"pass": 0, "fail": errors.GateRefused.exit_code, "not enough evidence": 4}
    assert Outcome({}, {"verdict": str(verdict)}, Path("report.html")).exit_code == expected[verdict]


def test_an_absent_part_says_how_to_get_it():
    error = MissingExtraError("datasets", "hub", "the source hf://a/b")
    assert str(error) == (
        "the source hf://a/b needs the package 'datasets', which isn't installed. "
        "Mend: pip install 'tutelage[hub]'"
    )


def test_every_extra_that_is_named_exists():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [extras] = re.findall(r"\[project\.optional-dependencies\]\n(.*?)\n\[", pyproject, re.S)
    known = set(re.findall(r"^(\w+) = \[", extras, re.M))
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"MissingExtraError\(\s*[^,]+,\s*\"(\w+)\"", source))
    assert named and named <= known


def test_a_passing_fault_may_say_how_long_and_whether_it_cost():
    fault = TeacherUnavailable("429", retry_after=2.5, billed=True)
    assert (str(fault), fault.retry_after, fault.billed) == ("429", 2.5, True)
    assert TeacherUnavailable("x").retry_after is None and not TeacherUnavailable("x").billed
    with pytest.raises(TeacherError):
        raise fault
