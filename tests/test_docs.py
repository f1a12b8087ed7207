from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tutelage.cli.app import app
from tutelage.config import known_keys, parse_config
from tutelage.gates import Verdict
from tutelage.programme import Programme
from tutelage.records import AnswerStatus, Prompt
from tutelage.stages.rights import rights_decision
from tutelage.tasks import Classify
from tutelage.teachers import Teacher, TeacherContext

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def test_every_key_is_documented_and_the_page_is_not_stale():
    page = (ROOT / "docs" / "tutelage.yaml.md").read_text(encoding="utf-8")
    assert [key for key in known_keys() if f"`{key}`" not in page] == []
    assert [key for key, text in known_keys().items() if not text] == []
    script = ROOT / "scripts" / "generate_docs.py"
    result = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_every_verb_has_a_page_and_every_page_a_verb():
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
    verbs += [group.name for group in app.registered_groups]
    assert sorted(verbs) == sorted(page.stem for page in (ROOT / "docs" / "stages").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_resolve(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_shortest_file_is_valid_and_short():
    [block] = _blocks(ROOT / "README.md", "yaml")
    assert len(block.strip().splitlines()) <= 10
    assert parse_config(yaml.safe_load(block), "README").student.family == "static"


@pytest.mark.parametrize("name", ["banking77", "hwu64", "support-inbox"])
def test_the_examples_are_valid(name):
    path = ROOT / "examples" / name / "tutelage.yaml"
    assert parse_config(yaml.safe_load(path.read_text()), str(path)).teacher.type == "encoder"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_shown_of_tutelage_yaml_is_valid_and_passes_the_rights_gate(page):
    for block in _blocks(page, "yaml"):
        content = {"traffic": {"path": "t"}, "teacher": {"type": "encoder"}, **yaml.safe_load(block)}
        content["gold"] = {"path": "g", "training": {"share": 0.3}, **content.get("gold", {})}
        decision = rights_decision(Programme(ROOT, parse_config(content, page.name)))
        assert decision.verdict == Verdict.PASS, (block, decision.reasons)


def test_the_example_of_a_teacher_runs():
    [code] = _blocks(ROOT / "docs" / "extending.md", "python")
    names: dict = {}
    exec(code, names)  # our own page
    teacher = names["KeywordTeacher"](None, TeacherContext(Classify(("billing", "login")), [], ROOT))
    assert isinstance(teacher, Teacher)
    first, second = asyncio.run(teacher.answer([Prompt("1", "my login fails"), Prompt("2", "hello")]))
    assert (first.value, second.status) == ("login", AnswerStatus.REFUSED)


def test_the_example_of_own_modules_runs(capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    [code] = _blocks(ROOT / "docs" / "modules.md", "python")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 12, "ten lines and two imports"
    names: dict = {}
    torch.manual_seed(0)
    exec(code, names)  # our own page
    steps, agreement = capsys.readouterr().out.split()
    assert int(steps) == names["record"].steps <= 500
    unseen = torch.rand(1_000, 64)
    with torch.no_grad():
        alike = names["student"](unseen).argmax(1) == names["teacher"](unseen).argmax(1)
    assert float(agreement) > 0.9 and float(alike.float().mean()) > 0.9
