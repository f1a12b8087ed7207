from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage import storage
from tutelage.errors import ConfigError, IntegrityError, ProgrammeBusyError, UsageError
from tutelage.ledger import Journal
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.check import CHECK
from tutelage.stages.collect import COLLECT
from tutelage.stages.gold import GOLD

CONFIG = {
    "gold": {"path": "gold.csv", "training": {"share": 0.3}},
    "traffic": {"path": "traffic.csv"},
    "teacher": {"type": "encoder"},
}


class Heard(Silent):
    """A Progress that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        self.lines.append(text)


def _programme(folder: Path, *overrides: str, **sections) -> Programme:
    (folder / "tutelage.yaml").write_text(json.dumps(CONFIG | sections))
    return Programme.open(folder, overrides)


def _source(programme: Programme) -> Path:
    return programme.folder / "source.txt"


def _copy(programme: Programme) -> Path:
    return programme.folder / "out" / "copy.txt"


def _work(programme: Programme, progress: Silent) -> str:
    storage.write_bytes(_copy(programme), _source(programme).read_bytes())
    return "copied"


def _stage(**parts) -> Stage:
    standard = {
        "name": "copy",
        "inputs": lambda programme: {
            "source.txt": fingerprint(_source(programme)),
            "student": fingerprint(programme.config.student),
        },
        "outputs": lambda programme: [_copy(programme)],
        "work": _work,
    }
    return Stage(**(standard | parts))


@pytest.fixture
def finished(tmp_path) -> tuple[Programme, Stage]:
    """A stage that has run over a programme of one source."""
    programme, stage = _programme(tmp_path), _stage()
    _source(programme).write_text("first")
    assert stage.run(programme, Silent())
    return programme, stage


def test_a_stage_runs_once_and_says_why_it_runs_or_does_not(tmp_path):
    programme, stage, progress = _programme(tmp_path), _stage(), Heard()
    _source(programme).write_text("first")
    assert [stage.run(programme, progress) for _ in range(3)] == [True, False, False]
    assert "it has not run yet" in progress.lines[0]
    assert "copied" in progress.lines[1]
    assert "skipped" in progress.lines[2]
    assert [entry.data["stage"] for entry in programme.journal.entries()] == ["copy"]


def test_the_same_bytes_written_again_are_no_change(finished):
    programme, stage = finished
    for path in (_source(programme), _copy(programme)):
        path.write_bytes(path.read_bytes())
        os.utime(path, (0, 0))
    assert stage.reason_to_run(programme) is None


def _rewritten(programme):
    _source(programme).write_text("other")


def _removed(programme):
    _source(programme).unlink()


def _without_output(programme):
    _copy(programme).unlink()


def _touched_output(programme):
    _copy(programme).write_text("frist")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_rewritten, "source.txt changed"),
        (_removed, "source.txt changed"),
        (_without_output, "out/copy.txt is gone"),
        (_touched_output, "out/copy.txt is not as it was left"),
    ],
)
def test_whatever_differs_is_the_reason_to_run(finished, change, reason):
    programme, stage = finished
    change(programme)
    assert stage.reason_to_run(programme) == reason


def test_after_it_has_run_again_there_is_no_reason_left(finished):
    programme, stage = finished
    for change in (_rewritten, _without_output, _touched_output):
        change(programme)
        progress = Heard()
        assert stage.run(programme, progress)
        assert "runs: " in progress.lines[0]
        assert _copy(programme).read_text() == _source(programme).read_text()
        assert stage.reason_to_run(programme) is None


def test_a_changed_section_is_the_reason_and_stands_in_the_journal(finished):
    programme, stage = finished
    changed = Programme.open(programme.folder, ["student.layers=2"])
    assert stage.reason_to_run(changed) == "student changed"
    stage.run(changed, Silent())
    assert list(programme.journal.entries())[-1].data["overrides"] == ["student.layers=2"]


def test_an_input_that_a_newer_version_adds_or_drops_is_a_change(finished):
    programme, stage = finished
    more = _stage(inputs=lambda programme: {**stage.inputs(programme), "version": "2"})
    assert more.reason_to_run(programme) == "version changed"
    fewer = _stage(inputs=lambda programme: {"student": fingerprint(programme.config.student)})
    assert fewer.reason_to_run(programme) == "source.txt changed"


def test_it_can_be_asked_for(finished):
    programme, stage = finished
    progress = Heard()
    assert stage.run(programme, progress, force=True)
    assert "it was asked for" in progress.lines[0]


def test_of_a_folder_every_file_counts(tmp_path):
    def work(programme, progress):
        with storage.fresh_folder(programme.student) as folder:
            (folder / "a").mkdir()
            (folder / "a" / "weights").write_bytes(b"w")
        return "built"

    programme = _programme(tmp_path)
    stage = _stage(inputs=lambda programme: {}, outputs=lambda programme: [programme.student], work=work)
    stage.run(programme, Silent())
    assert stage.reason_to_run(programme) is None
    (programme.student / "a" / "more").write_bytes(b"")
    assert stage.reason_to_run(programme) == "students/encoder-3 is not as it was left"


def test_of_a_database_only_its_absence_counts(tmp_path):
    def work(programme, progress):
        storage.write_bytes(programme.answers, b"first")
        return "asked"

    programme = _programme(tmp_path)
    stage = _stage(inputs=lambda programme: {}, outputs=lambda programme: [programme.answers], work=work)
    stage.run(programme, Silent())
    programme.answers.write_bytes(b"answers of another teacher came in")
    assert stage.reason_to_run(programme) is None
    programme.answers.unlink()
    assert stage.reason_to_run(programme) == "answers/answers.sqlite is gone"


def test_students_keep_a_state_each(tmp_path):
    stage = _stage(per_run=True, outputs=lambda programme: [])
    one, other = _programme(tmp_path), Programme.open(tmp_path, ["student.name=other"])
    _source(one).write_text("first")
    stage.run(one, Silent())
    assert stage.reason_to_run(one) is None
    assert stage.reason_to_run(other) == "it has not run yet"
    stage.run(other, Silent())
    assert stage.reason_to_run(one) is None
    assert stage.state_path(one) != stage.state_path(other)


def test_a_command_can_be_copied(tmp_path, monkeypatch):
    _programme(tmp_path)
    odd = tmp_path / "my folder"
    odd.mkdir()
    (odd / "tutelage.yaml").write_bytes((tmp_path / "tutelage.yaml").read_bytes())
    assert Programme.open(odd).command("run") == f"`tutelage run '{odd}'`"
    monkeypatch.chdir(odd)
    assert Programme.open(".").command("gold --reseal") == "`tutelage gold --reseal`"


def test_a_stage_before_its_turn_names_the_verb_that_is_missing(tmp_path):
    programme = _programme(tmp_path)
    for name in ("collect", "label", "train", "evaluate", "report"):
        for force in (False, True):
            with pytest.raises(
                UsageError, match=f"{name} builds on gold, .*not run yet.*run `tutelage gold "
            ):
                run_stage(programme, name, force=force)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("override", "journalled"),
    [
        ("student.layers=2", "student.layers=2"),
        ("task.instruction=a=b", "task.instruction=a=b"),
        ("student.max_tokens=64", "student.max_tokens=64"),
        ("teacher={type: plugin, rights: own-model, name: x, options: {api_key: sk-1}}", None),
        ("teacher={type: openai, rights: own-model, model: m, headers: {X-A: sk-1}}", None),
        ("teacher={type: openai, rights: own-model, model: m, extra: {user: sk-1}}", None),
        ("serving.database=postgresql+psycopg://me:sk-1@host/db", None),
        ("serving.webhook=https://hooks.example/sk-1", None),
        ("serving={webhook: 'https://hooks.example/sk-1', allowed_hosts: [hooks.example]}", None),
        ("serving.canary=0.1", "serving.canary=0.1"),
    ],
)
def test_the_journal_keeps_overrides_and_no_secret(tmp_path, override, journalled):
    # A secret may stand inside a section; the number of tokens is none.
    # Nothing can be taken out of the journal again.
    [kept] = _programme(tmp_path, override).journalled_overrides
    assert "sk-1" not in kept
    assert journalled in (None, kept)


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("teacher.headers.X-A", True),
        ("teacher.extra.user", True),
        ("teacher.options.key", True),
        ("teacher.judge.headers.X-A", True),
        ("teacher.judge", True),
        ("teacher.members", True),
        ("teacher.model", False),
        ("teacher.judge.model", False),
        ("teacher.max_output_tokens", False),
    ],
)
def test_whatever_may_hold_a_secret_is_journalled_without_its_value(tmp_path, key, hidden):
    programme = replace(_programme(tmp_path), overrides=(f"{key}=sk-1",))
    assert programme.journalled_overrides == [f"{key}=..." if hidden else f"{key}=sk-1"]


def test_a_source_named_as_a_section_hides_no_change(tmp_path):
    # A folder of paired lines may well be called so.
    sources = {"gold": {"path": "gold", "training": {"share": 0.3}}, "traffic": {"path": "traffic"}}
    programme = _programme(tmp_path, **sources)
    for stage, override in (
        (GOLD, "gold.training.seed=1"),
        (COLLECT, "traffic.limit=5"),
        (COLLECT, "traffic.near_duplicate=0.5"),
    ):
        changed = Programme.open(tmp_path, [override])
        assert stage.inputs(changed) != stage.inputs(programme), (stage.name, override)


@pytest.mark.parametrize("name", ["tutelage.yaml", "version"])
def test_check_looks_again_whatever_the_source_is_called(tmp_path, name):
    programme = _programme(tmp_path, traffic={"path": name})
    before = CHECK.inputs(programme)
    assert CHECK.inputs(Programme.open(tmp_path, ["student.layers=2"])) != before
    with (tmp_path / name).open("a") as file:
        file.write("\n")
    assert CHECK.inputs(programme) != before


def _killed(folder: Path, force: bool) -> None:
    """Run the stage in a process that is killed when half of its output is written."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tutelage.programme import Programme, Stage, fingerprint\n"
        "from tutelage.progress import Silent\n"
        "def work(programme, progress):\n"
        "    (programme.folder / 'out').mkdir(exist_ok=True)\n"
        "    (programme.folder / 'out' / 'copy.txt').write_text('fir')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "inputs = lambda programme: {\n"
        "    'source.txt': fingerprint(programme.folder / 'source.txt'),\n"
        "    'student': fingerprint(programme.config.student),\n"
        "}\n"
        "outputs = lambda programme: [programme.folder / 'out' / 'copy.txt']\n"
        "programme = Programme.open(Path(sys.argv[1]))\n"
        "with programme.locked():\n"
        "    Stage('copy', inputs, outputs, work).run(programme, Silent(), force=sys.argv[2] == 'force')\n"
    )
    command = [sys.executable, "-c", program, str(folder), "force" if force else ""]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL


def test_a_stage_killed_in_the_middle_runs_again(tmp_path):
    programme, stage = _programme(tmp_path), _stage()
    _source(programme).write_text("first")
    _killed(tmp_path, force=False)
    assert stage.reason_to_run(programme) == "it has not run yet"
    with programme.locked():
        assert stage.run(programme, Silent())
    assert _copy(programme).read_text() == "first"
    _killed(tmp_path, force=True)
    assert stage.reason_to_run(programme) == "out/copy.txt is not as it was left"
    with programme.locked():
        assert stage.run(programme, Silent())
    assert _copy(programme).read_text() == "first"
    assert programme.journal.verify() == 2


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_a_stage_that_fails_leaves_the_state_it_had(finished, fault):
    programme, stage = finished

    def fails(programme, progress):
        raise fault

    before = stage.state_path(programme).read_bytes()
    with pytest.raises(fault):
        _stage(work=fails).run(programme, Silent(), force=True)
    assert stage.state_path(programme).read_bytes() == before
    assert programme.journal.verify() == 1


def test_a_stage_counts_as_done_only_once_it_is_journalled(tmp_path, monkeypatch):
    programme, stage = _programme(tmp_path), _stage()
    _source(programme).write_text("first")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(Journal, "append", _no_space)
        stage.run(programme, Silent())
    stage.run(programme, Silent())
    assert [entry.data["stage"] for entry in programme.journal.entries()] == ["copy"]


def _no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("content", [b"", b'{"inputs": {"sou', b"\xff\xfe"])
def test_a_damaged_state_is_one_error_that_says_what_to_do(finished, content):
    programme, stage = finished
    stage.state_path(programme).write_bytes(content)
    with pytest.raises(IntegrityError, match="state/copy.json is damaged.*delete it"):
        stage.reason_to_run(programme)


@contextmanager
def _held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tutelage.programme import Programme\n"
        "with Programme.open(Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_folder_in_use_is_refused_by_the_holders_number_and_free_once_it_is_gone(tmp_path):
    programme = _programme(tmp_path)
    with _held(tmp_path) as process:
        for _ in range(2):  # being refused leaves the holder's number where it is
            with pytest.raises(ProgrammeBusyError, match=rf"in use by process {process.pid}\b"):
                _enter(programme)
        result = subprocess.run(
            [sys.executable, "-m", "tutelage", "run", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2
        assert f"process {process.pid}" in result.stderr and result.stderr.count("\n") == 1
        process.kill()
        process.wait()
        _enter(programme)
    with programme.locked(), pytest.raises(ProgrammeBusyError, match=rf"process {os.getpid()}\b"):
        _enter(programme)
    _enter(programme)


def _enter(programme: Programme) -> None:
    with programme.locked():
        pass


def test_an_error_inside_lets_the_folder_go(tmp_path):
    programme = _programme(tmp_path)
    with pytest.raises(ValueError, match="inside"), programme.locked():
        raise ValueError("inside")
    _enter(programme)


def test_status_can_be_read_while_another_process_works(tmp_path):
    _programme(tmp_path)
    with _held(tmp_path):
        command = [sys.executable, "-m", "tutelage", "status", str(tmp_path)]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def test_variables_of_the_environment_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTELAGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PART", "test")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    programme = _programme(tmp_path)
    assert programme.locate("${TUTELAGE_DATA}/bank/${PART}.csv") == tmp_path / "data" / "bank" / "test.csv"
    assert programme.locate("sub/${PART}.csv") == tmp_path / "sub" / "test.csv"
    assert programme.locate("/elsewhere/a.csv") == Path("/elsewhere/a.csv")
    assert programme.locate("~/a.csv") == tmp_path / "home" / "a.csv"


def test_a_variable_that_is_not_set_is_named_with_the_mend(tmp_path, monkeypatch):
    monkeypatch.delenv("TUTELAGE_NOWHERE", raising=False)
    monkeypatch.setenv("PART", "test")
    programme = _programme(tmp_path)
    with pytest.raises(ConfigError, match="'TUTELAGE_NOWHERE' is not set. Mend: export TUTELAGE_NOWHERE="):
        programme.locate("${PART}/${TUTELAGE_NOWHERE}/a.csv")


def test_a_change_of_what_a_variable_names_is_a_change_of_the_source(tmp_path, monkeypatch):
    programme = _programme(tmp_path, traffic={"path": "${WHERE}/traffic.csv"})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "traffic.csv").write_text(f"text\n{name}\n")
    monkeypatch.setenv("WHERE", "one")
    before = COLLECT.inputs(programme)
    monkeypatch.setenv("WHERE", "two")
    assert COLLECT.inputs(programme) != before


def test_a_programme_is_a_folder_with_its_file(tmp_path):
    with pytest.raises(ConfigError, match="none is no folder"):
        Programme.open(tmp_path / "none")
    with pytest.raises(ConfigError, match="tutelage init"):
        Programme.open(tmp_path)


def test_fingerprints_tell_files_folders_sections_and_nothing_apart(tmp_path):
    programme = _programme(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("absent")
    values = [
        tmp_path / "none",
        tmp_path / "folder",
        tmp_path / "file",
        programme.config.task,
        "file",
        None,
        1,
    ]
    values += ["1", [], {}]
    prints = [fingerprint(value) for value in values]
    assert prints[0] == "absent"
    assert len(set(prints)) == len(prints) - 1  # an empty folder holds what an empty list does
