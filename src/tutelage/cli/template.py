"""The tutelage.yaml that `tutelage init` writes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tutelage import storage
from tutelage.cli._parts import TASKS, TEACHERS, Part, TeacherPart, ensemble
from tutelage.config import parse_config
from tutelage.errors import UsageError
from tutelage.programme import CONFIG_NAME

TEACHER_TYPES = (*TEACHERS, "ensemble")
_WITH_LABELS = ("classify", "judge")
_TOLD_TO_TEACHERS = ("task.instruction", "task.rubric")

_HEAD = "# A Tutelage programme. Every key: docs/tutelage.yaml.md. Next: tutelage check, then tutelage run.\n"

_SOURCES = """\
gold:                        # human-labelled examples; sealed, they decide
  path: {gold}
  columns: {{text: {text}, label: {label}}}
  training: {{share: 0.3}}     # the part that may be learned from; the rest is sealed
  margin: 0.05               # widest half-interval on accuracy at which paid labelling may start
traffic:                     # unlabelled prompts of the task
  path: {traffic}
  columns: {{text: {text}}}
"""

_RIGHTS = """\
rights:
  distribution: internal     # or distributed: the student leaves the organisation
"""

_STUDENT = """\
student:
  family: encoder            # or static: microseconds an answer
# stress: {}                 # typos, injections, swapped names, safety suites (docs/stages/stress.md)
release:
  max_loss: 0.03             # largest acceptable accuracy loss against the teacher
"""

_WRITING_STUDENT = """\
student:
  family: causal             # writes, as far as tutelage train; or seq2seq, with a base
"""


@dataclass(frozen=True, slots=True)
class Written:
    """The file, the keys that its user has to look at, and the environment variables that it reads."""

    path: Path
    to_set: tuple[str, ...]
    to_export: tuple[str, ...]


def write_template(
    folder: Path,
    *,
    gold: str,
    traffic: str,
    text: str,
    label: str,
    teacher: str | None = None,
    task: str = "classify",
) -> Written:
    """Write the file. `teacher` is `encoder` where absent, which a task of labels alone can have.

    Raises UsageError where the file exists already, task or teacher is none, or they don't go together.
    """
    path = folder / CONFIG_NAME
    if path.exists():
        raise UsageError(f"{path} exists already. Mend: edit it, or name another folder")
    asked, answering = _parts(task, teacher)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Mend: name a folder")
    override = _override(task, answering.entries)
    sources = _SOURCES.format(**_quoted(folder, gold=gold, traffic=traffic, text=text, label=label))
    student = _STUDENT if task in _WITH_LABELS else _WRITING_STUDENT
    content = "".join((_HEAD, asked.text, _RIGHTS, override.text, sources, answering.text, student))
    import yaml

    parse_config(yaml.safe_load(content), str(path))
    storage.write_bytes(path, content.encode())
    untold = () if answering.prompted else _TOLD_TO_TEACHERS
    keys = (*asked.to_set, *override.to_set, *answering.to_set)
    return Written(path, tuple(key for key in keys if key not in untold), answering.keys)


def _parts(task: str, teacher: str | None) -> tuple[Part, TeacherPart]:
    _require_one_of("--task", task, TASKS)
    writes = task not in _WITH_LABELS
    if teacher is None and writes:
        raise UsageError(
            f"--task {task} needs a teacher that writes, and --teacher is absent. "
            f"Mend: name one of {_writing(TEACHERS)}"
        )
    teacher = teacher or "encoder"
    _require_one_of("--teacher", teacher, TEACHER_TYPES)
    part = ensemble(writes=writes) if teacher == "ensemble" else TEACHERS[teacher]
    if writes and not part.writes:
        raise UsageError(
            f"--teacher {teacher} answers with labels, and --task {task} has none. "
            f"Mend: name one of {_writing(TEACHERS)}"
        )
    return TASKS[task], part


def _writing(teachers: dict[str, TeacherPart]) -> str:
    return ", ".join([*(name for name, part in teachers.items() if part.writes), "ensemble"])


def _require_one_of(option: str, given: str, known: Iterable[str]) -> None:
    names = list(known)
    if given not in names:
        near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{option} {given!r} is none of {', '.join(names)}{hint}")


def _override(task: str, entries: Iterable[str]) -> Part:
    """A line for a person's decision, where the registry doesn't allow a teacher for such a student."""
    from tutelage.rights import load_registry
    from tutelage.stages import STUDENT_KINDS

    registry, kind = load_registry(), STUDENT_KINDS[task]
    for entry in entries:
        terms = registry.find(entry)
        if terms is not None and (reading := terms.reading(kind, "internal")) != "allow":
            return Part(
                f"  # {entry} says {reading!r} of a {kind} as student: until a person decides check refuses\n"
                f"  # override: {{entry: {entry}, name: ..., reason: ...}}   # set: who, and why\n",
                ("rights.override",),
            )
    return Part("")


def _quoted(folder: Path, *, gold: str, traffic: str, text: str, label: str) -> dict[str, str]:
    """The names as YAML, paths as seen from the folder. Raises UsageError for what YAML can't hold."""
    import yaml

    paths = {"gold": _as_seen_from(folder, gold), "traffic": _as_seen_from(folder, traffic)}
    names = {**paths, "text": text, "label": label}
    try:
        " ".join(names.values()).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a file's or column's name is not UTF-8: {error}. Mend: rename it") from error
    return {
        name: yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()
        for name, value in names.items()
    }


def _as_seen_from(folder: Path, path: str) -> str:
    """A path given on the command line, where it names a file here and none in the programme's folder."""
    # os.path's look-ups answer False for names that no file can have, where pathlib's raise.
    if os.path.exists(folder / path) or not os.path.isfile(path):  # noqa: PTH110, PTH113
        return path
    return os.path.relpath(path, folder)
