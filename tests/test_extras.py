"""A server is installed without what the stages of a programme stand on."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from served_world import toy_student

import tutelage
from tutelage import extras
from tutelage.errors import MissingExtraError
from tutelage.extras import missing_extra, require_extra

TESTS = Path(__file__).parent
PROJECT = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = "pyarrow scipy sklearn statsmodels pandas torch transformers sympy onnx datasets".split()


def needed(wanted: Requirement) -> Iterator[Requirement]:
    """What a requirement asks for itself: by pyproject.toml where it is this project, else as installed."""
    if canonicalize_name(wanted.name) == "tutelage":
        texts = [*PROJECT["dependencies"]]
        for extra in wanted.extras:
            texts += PROJECT["optional-dependencies"][extra]
    else:
        try:
            texts = requires(wanted.name) or []
        except PackageNotFoundError:  # of another platform
            texts = []
    for text in texts:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted.extras, "")):
            yield requirement


def installed_with(extra: str) -> set[str]:
    """Distributions that `pip install 'tutelage[extra]'` brings, by canonical name."""
    waiting, seen, names = [Requirement(f"tutelage[{extra}]")], set(), set()
    while waiting:
        requirement = waiting.pop()
        names.add(canonicalize_name(requirement.name))
        for further in needed(requirement):
            known = (canonicalize_name(further.name), frozenset(further.extras))
            if known not in seen:
                seen.add(known)
                waiting.append(further)
    return names


def modules_outside(names: set[str]) -> list[str]:
    """Modules at the top that are installed here, but by none of these distributions."""
    return [
        module
        for module, distributions in packages_distributions().items()
        if not names & {canonicalize_name(name) for name in distributions}
        and module not in sys.stdlib_module_names
    ]


def run_without(modules: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command, *modules],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}:{TESTS / 'serving'}", "PATH": ""},
    )


def test_a_server_runs_on_what_its_extra_installs(tmp_path):
    toy_student().save(tmp_path)
    absent = modules_outside(installed_with("serve"))
    assert {*HEAVY} - {*packages_distributions()} == set(), "the test would prove nothing"
    assert {*HEAVY} <= {*absent}
    students = json.dumps({"static": str(tmp_path)})
    result = run_without(absent, str(TESTS / "serving" / "served_alone.py"), students)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert {"tutelage.serving.gateway", "tutelage.serving.runtime"} <= {*told["modules"]}
    assert told["served"] == ["teacher", "student"]
    [stolen, refund] = told["predicted"]["static"]
    assert stolen.index(max(stolen)) in (0, 1) and refund.index(max(refund)) == 2


_CONFIG = """\
gold: {path: gold.csv}
traffic: {path: traffic.csv}
teacher: {type: human, verdicts: {path: verdicts.csv}}
"""
_WITHOUT = """\
import sys
from tutelage.cli import main
folder, commands, absent = sys.argv[1], sys.argv[2].split(";"), sys.argv[3:]
sys.modules.update(dict.fromkeys(absent))
for command in commands:
    sys.argv = ["tutelage", *command.split(), folder]
    try:
        main()
    except SystemExit as stopped:
        sys.stderr.write(f"{stopped.code}\\n")
"""


def said_without(modules: list[str], folder: Path, *commands: str) -> list[str]:
    """What each command says where these modules aren't installed, and its exit status, line by line."""
    (folder / "tutelage.yaml").write_text(_CONFIG)
    result = run_without(modules, "-c", _WITHOUT, str(folder), ";".join(commands))
    assert result.returncode == 0, result.stderr
    return result.stderr.splitlines()


def test_a_verb_of_a_programme_says_what_to_install(tmp_path):
    verbs = "check gold collect coverage label train compare stress export evaluate report run vote".split()
    commands = [*verbs, "gold --reseal"]
    expected = [
        f"tutelage: `tutelage {command.split()[0]}` needs the package 'pyarrow', which isn't installed. "
        "Mend: pip install 'tutelage[programme]'"
        for command in commands
    ]
    assert said_without(["pyarrow"], tmp_path, *commands) == [
        line for text in expected for line in (text, "2")
    ]
    assert not (tmp_path / "gold").exists(), "nothing was begun"


def test_a_module_that_is_met_deep_inside_is_told_all_the_same(tmp_path):
    assert said_without(["uvicorn"], tmp_path, "serve") == [
        "tutelage: `tutelage serve` needs the package 'uvicorn', which isn't installed. "
        "Mend: pip install 'tutelage[serve]'",
        "2",
    ]


def test_public_names_say_what_they_lack():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]))\n"
        "import tutelage\n"
        "from tutelage.errors import MissingExtraError\n"
        "def said(work):\n"
        "    try: work()\n"
        "    except MissingExtraError as error: return str(error)\n"
        "print(said(lambda: tutelage.distil))\n"
        "print(said(lambda: tutelage.evaluate(None, [], {})))\n"
        "print(tutelage.load_student, tutelage.Programme, tutelage.AnswerLedger)\n"
    )
    result = run_without(["pyarrow", "scipy"], "-c", code)
    assert result.returncode == 0, result.stderr
    distil, evaluate, _ = result.stdout.splitlines()
    assert distil.startswith("tutelage.distil needs the package 'pyarrow'")
    assert evaluate.startswith("an evaluation needs the package 'pyarrow'")
    assert tutelage.evaluate


def test_what_is_here_is_not_missed():
    for extra in ("programme", "serve", "train"):
        require_extra(extra, "a test")


def test_the_first_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "scipy" else object())
    with pytest.raises(MissingExtraError, match=r"a test needs .*'scipy'.*tutelage\[programme\]"):
        require_extra("programme", "a test")


def test_modules_of_nobody_are_left_to_whoever_asked():
    assert missing_extra(ModuleNotFoundError("x", name="tutelage.nothing"), "a test") is None
    assert missing_extra(ModuleNotFoundError("x"), "a test") is None
    assert missing_extra(ImportError("x", name="scipy"), "a test") is None  # it is there, and broken
    found = missing_extra(ModuleNotFoundError("x", name="scipy.special"), "a test")
    assert found is not None and "tutelage[programme]" in str(found)


@pytest.mark.parametrize("extra", sorted(extras._MODULES))
def test_each_extra_is_as_pyproject_has_it(extra):
    asked = {
        canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"][extra]
    } - {"tutelage"}
    bring = packages_distributions()
    known = {
        canonicalize_name(name) for module in extras._MODULES[extra] for name in bring.get(module, [module])
    }
    assert asked <= known


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("run", ["train"]),
        ("dev", ["train", "export", "hub", "lora", "gguf", "postgresql", "traces", "dev"]),
    ],
)
def test_a_lock_holds_what_its_extras_need(lock, wanted):
    text = (TESTS.parent / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    locked = {canonicalize_name(line.partition("==")[0]) for line in text.splitlines() if "==" in line}
    needed_here = {name for extra in wanted for name in installed_with(extra)}
    assert {name for name in needed_here if not name.startswith(("nvidia-", "triton", "cuda-"))} - locked <= {
        "tutelage",
        "setuptools",
    }
