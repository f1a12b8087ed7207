"""Sealed gold decides; nothing that learns or chooses may read it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tutelage
from tiny_world import TASK
from tutelage import storage
from tutelage.data.tables import gold_to_table
from tutelage.distillation import read_signals, read_texts
from tutelage.records import Gold, Prompt

SOURCE = Path(tutelage.__file__).parent
# Of a programme: sealed gold, gold's calibration part, and the teacher's answers to either.
FILES = {"sealed", "gold_answers", "gold_calibration", "calibration_answers"}
READERS = {"read_sealed", "read_calibration", "held_out"}

# Each with what it does there. Whoever adds one has to say why it can't choose by what it reads.
MAY = {
    "data/__init__.py": "names the reader",
    "programme.py": "knows the paths",
    "stages/gold.py": "seals",
    "stages/lifecycle.py": "verifies the seal",
    "stages/collect.py": "keeps its texts out of the transfer set",
    "stages/served.py": "keeps its texts out of the transfer set",
    "stages/pilot.py": "counts what asking about it costs",
    "stages/pool.py": "counts what asking about it cost, and tells its arrivals from the traffic's",
    "stages/label.py": "asks the teacher about it",
    "stages/batches.py": "asks the teacher about it",
    "stages/coverage.py": "places it among the traffic",
    "stages/stress.py": "perturbs it, to be answered",
    "stages/questions.py": "perturbs it, to be answered",
    "stages/economics.py": "counts what its answers cost",
    "stages/provenance.py": "names its hash",
    "stages/purge/_purge.py": "takes a person's rows out and seals the rest anew",
    "stages/evaluate.py": "judges",
    "stages/certify.py": "tests thresholds on the calibration part",
    "stages/calibration.py": "reads what the teacher said of the calibration part",
}


def ways_in(path):
    """The reader and the programme's sealed files, as far as a module uses them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.alias) and node.name in READERS:
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {node.attr} & FILES if node.value.id == "programme" else {node.attr} & READERS
        elif isinstance(node, ast.Constant) and str(node.value).endswith("sealed.parquet"):
            found.add("sealed.parquet")
    return found


def test_only_what_is_listed_can_reach_sealed_gold():
    users = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if ways_in(path)}
    assert users <= set(MAY)


def test_thresholds_are_tested_where_nothing_is_learned_chosen_or_judged():
    """The calibration part is read by what asks about it, keeps it apart, counts it, and by what certifies."""
    calibration = {"read_calibration", "gold_calibration", "calibration_answers"}
    users = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if ways_in(path) & calibration}
    seal = {"data/__init__.py", "programme.py"}
    seal |= {f"stages/{name}.py" for name in ("gold", "provenance", "purge/_purge")}
    assert users <= seal | {f"stages/{name}.py" for name in ("label", "economics", "certify", "calibration")}


def test_what_certifies_cannot_reach_what_decides():
    for name in ("certify.py", "calibration.py"):
        path = SOURCE / "stages" / name
        assert not path.exists() or not ways_in(path) & {"read_sealed", "sealed", "gold_answers", "held_out"}


@pytest.mark.parametrize("name", ["train.py", "arms.py", "compare.py", "candidates.py"])
def test_what_trains_and_chooses_isnt_among_them(name):
    assert not ways_in(SOURCE / "stages" / name)
    assert f"stages/{name}" not in MAY


def test_a_sealed_set_isnt_taken_for_what_is_learned_from(tmp_path):
    """Steps, students and temperatures are chosen on signals, and no file of gold can be read as those."""
    gold = [Gold(Prompt("1", "where is my parcel"), "delivery")]
    storage.write_table(tmp_path / "sealed.parquet", gold_to_table(gold))
    table = storage.read_table(tmp_path / "sealed.parquet")
    for reader in (lambda: read_signals(table, TASK), lambda: read_texts(table)):
        with pytest.raises(KeyError):
            reader()


# Whatever learns, is shown to a teacher, or chooses: with what it should be given, and with sealed gold.
CHOOSERS = {
    "the examples a teacher is shown": "choose_examples({}, 3)",
    "the part that is learned from": "split_training({}, 0.3, 0)",
    "a teacher": "TeacherContext(task, {}, folder)",
    "what is held back to choose a step": "hold_back({}, 0.1, 0)",
    "a student": "distil_student({}, task, config, folder, progress)",
    "a student that writes": "distil_texts({}, task, config, folder, progress)",
    "a temperature": "fit_temperature(probabilities, {}, multi_label=False)",
    "the best of several students": "frontier_of({}, 0.01)",
    "a threshold": "certify({}, [], probabilities)",
}
GIVEN = {
    "choose_examples": "gold",
    "split_training": "gold",
    "TeacherContext": "gold",
    "hold_back": "signals",
    "distil_student": "signals",
    "distil_texts": "texts",
    "fit_temperature": "signals",
    "frontier_of": "contenders",
    "certify": "part",
}
SCRIPT = """
from pathlib import Path
from typing import Any

from tutelage.config import StudentConfig
from tutelage.data import read_calibration, read_sealed, read_training, split_training
from tutelage.distillation import Signals, TextSignals, distil_student, distil_texts
from tutelage.distillation.signals import hold_back
from tutelage.distillation.temperature import fit_temperature
from tutelage.evaluation import Arm, Contender, evaluate, frontier_of
from tutelage.labelling import choose_examples
from tutelage.progress import Progress
from tutelage.serving.learn_then_test import CalibrationPart, certify
from tutelage.tasks import LabelTask
from tutelage.teachers.protocol import TeacherContext

folder = Path()
sealed, gold = read_sealed(folder, folder), read_training(folder)


def chosen(
    task: LabelTask,
    config: StudentConfig,
    progress: Progress,
    signals: Signals,
    texts: TextSignals,
    contenders: list[Contender],
    part: CalibrationPart,
    probabilities: Any,
) -> None:
    evaluate(task, sealed, {})
"""


@pytest.mark.long
def test_a_type_checker_refuses_to_choose_by_sealed_gold(tmp_path):
    """With what it should be given each call passes; with sealed gold each is refused, and for that alone."""
    root = SOURCE.parents[1]
    calls = list(CHOOSERS.values())
    right = [call.format(GIVEN[call.partition("(")[0]]) for call in calls]
    wrong = [call.format("sealed") for call in calls]
    script = tmp_path / "chosen.py"
    script.write_text(SCRIPT + "".join(f"    {call}\n" for call in [*right, *wrong]), "utf-8")
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            root / "pyproject.toml",
            "--no-error-summary",
            script,
        ],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "MYPYPATH": str(SOURCE.parent)},
        timeout=300,
        check=False,
    )
    first = SCRIPT.count("\n") + len(right) + 1
    refused = [re.search(r"chosen\.py:(\d+): error: (.*)", line) for line in found.stdout.splitlines()]
    told = [(int(one[1]), one[2]) for one in refused if one is not None]
    assert [line for line, _ in told] == [first + at for at in range(len(wrong))], found.stdout + found.stderr
    for _, message in told:
        assert "SealedGold" in message and "[arg-type]" in message
