"""What a killed server leaves behind: whole lines come back, in whatever state the file is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from captured import made
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import encryption
from tutelage.serving.captures import Capture
from tutelage.serving.store import open_store
from tutelage.serving.store._captured import Completion
from tutelage.serving.store._journal import Journal, left_over


def left(folder: Path) -> list[tuple[Capture | Completion, dict[str, object]]]:
    found = []
    for file in left_over(folder, "captures-x"):
        found += file.writes
        file.remove()
    return found


def abandon(journal: Journal) -> None:
    """As a kill does: its files are closed, and stay."""
    journal.close(keep=True)


@settings(max_examples=25)
@given(text=st.text(st.characters(codec=None)), key=st.text(), cost=st.floats())
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, key: str, cost: float
):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "captures-x")
    capture = replace(made(text), key=key, cost=cost, agree=False, value='"refund\\ud83d"')
    completion = Completion(capture.id, None, agree=True, cost=0.5)
    assert journal.append(capture, {"drift": [1, {"a": None}]}) and journal.append(completion, None)
    abandon(journal)
    assert repr(left(folder)) == repr([(capture, {"drift": [1, {"a": None}]}), (completion, {})])
    assert not list(folder.iterdir())


@settings(max_examples=25)
@given(cut=st.integers(0, 4_000), noise=st.binary(max_size=40))
def test_of_a_file_that_broke_off_the_whole_lines_are_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "captures-x")
    captures = [made("x" * number) for number in range(8)]
    for capture in captures:
        assert journal.append(capture, {})
    abandon(journal)
    [path] = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + noise)
    read = [what for what, _ in left(folder)]
    assert read == captures[: whole[:cut].count(b"\n")]


def test_what_no_line_can_hold_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "captures-x")
    assert not journal.append(made(), {"bad": object()})
    assert journal.append(made(), {})
    journal.close(keep=False)
    assert not list(tmp_path.iterdir())


def test_files_are_emptied_and_used_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "captures-x")
    for _ in range(5):
        assert journal.append(made(), {})
        sealed = journal.seal()
        later = made()
        assert journal.append(later, {}), "goes to another file"
        journal.clear(sealed)
        sealed = journal.seal()
        journal.clear(sealed)
    assert len(list(tmp_path.iterdir())) == 2
    assert all(path.stat().st_size == 0 and path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_the_files_of_a_server_that_runs_are_its_own(tmp_path: Path) -> None:
    async def use() -> None:
        first = open_store(tmp_path / "s.sqlite")
        await first.capture(made(), promise="written", monitors={"count": 1})
        second = open_store(tmp_path / "s.sqlite")
        await second.capture(made(), promise="written", monitors={"count": 2})
        assert (first.late, second.late, second.lost) == (0, 0, 0)
        await first.close()
        await second.close()
        third = open_store(tmp_path / "s.sqlite")
        assert len(third.captures()) == 2 and not list(tmp_path.glob("captures-*"))
        await third.close()

    asyncio.run(use())


def test_a_written_capture_is_late_where_its_folder_takes_none(tmp_path: Path) -> None:
    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite", tmp_path / "file" / "folder")
        (tmp_path / "file").write_text("no folder")
        await store.capture(made(), promise="written")
        assert (store.late, store.lost) == (1, 0)
        assert len(store.captures()) == 1, "it is queued all the same, and reading waits for it"
        await store.close()

    asyncio.run(use())


def test_an_audit_that_is_written_again_costs_once(tmp_path: Path) -> None:
    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        capture = made()
        await store.capture(capture, promise="durable")
        for _ in range(2):
            await store.complete(capture.id, teacher_value=None, agree=False, cost=0.25, promise="written")
        [kept] = store.captures()
        assert (kept.agree, kept.cost - capture.cost) == (False, 0.25)
        await store.close()

    asyncio.run(use())


def test_in_an_encrypted_folder_lines_are_encrypted_and_older_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "serving"
    folder.mkdir()
    before = made("what came before")
    journal = Journal(folder, "captures-x")
    assert journal.append(before, {})
    abandon(journal)
    monkeypatch.setenv(encryption.KEY_ENV, encryption.new_key())
    encryption.mark(tmp_path)
    capture = made("where is my parcel")
    journal = Journal(folder, "captures-x")
    assert journal.append(capture, {"drift": 1})
    abandon(journal)
    assert not any(b"parcel" in path.read_bytes() for path in folder.iterdir())
    assert {what.text for what, _ in left(folder)} == {"what came before", "where is my parcel"}
