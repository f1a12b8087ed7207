"""A program for an installation of a server alone: imports all of it, loads students, serves a programme.

    python served_alone.py '{"static": FOLDER, "onnx": FOLDER}' [MODULE ...]

The students are what `tutelage export` writes; the modules count as not installed.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
import tempfile
from contextlib import closing
from importlib import import_module
from pathlib import Path

_UNDER_ALEMBIC = "tutelage.serving.store.migrations"  # its env.py runs as alembic runs it


def main(students: dict[str, str], absent: list[str]) -> None:
    sys.modules.update(dict.fromkeys(absent))
    for name in ("tutelage.cli.app", "tutelage.stages", *_serving()):
        import_module(name)
    print(json.dumps({"modules": _serving(), "predicted": _predicted(students), "served": _served()}))


def _serving() -> list[str]:
    import tutelage.serving

    found = pkgutil.walk_packages(tutelage.serving.__path__, "tutelage.serving.")
    return [module.name for module in found if not module.name.startswith(_UNDER_ALEMBIC)]


def _predicted(students: dict[str, str]) -> dict[str, list[list[float]]]:
    from tutelage.serving import load_runtime

    texts = ["my card is stolen", "a refund please"]
    return {name: load_runtime(folder).predict(texts).tolist() for name, folder in students.items()}


def _served() -> list[str]:
    """Who answers: the teacher in shadow, then the student."""
    from served_world import KEY_NAME, TEACHER_KEY, label, live, write_programme

    from faulty_teacher import FaultyTeacher

    os.environ[KEY_NAME] = TEACHER_KEY
    with tempfile.TemporaryDirectory() as folder, closing(FaultyTeacher()) as teacher:
        teacher.answers["my card is stolen"] = label("card stolen")
        with live(write_programme(Path(folder) / "inbox", teacher)) as server:
            told = [server.predict("my card is stolen").json()["by"]]
            assert server.roll("full").status_code == 200
            told.append(server.predict("my card is stolen").json()["by"])
    return told


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
