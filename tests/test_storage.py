from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import storage
from tutelage.errors import IntegrityError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _fails_with(fault: BaseException):
    def fails(*args, **kwargs):
        raise fault

    return fails


_FAULTS = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path, monkeypatch, step, fault):
    path = tmp_path / "a.json"
    storage.write_json(path, {"is": "old"})
    writes = {
        "a.json": lambda: storage.write_json(path, {"is": "new"}),
        "new.bin": lambda: storage.write_bytes(tmp_path / "new.bin", b"new"),
        "new.parquet": lambda: storage.write_table(tmp_path / "new.parquet", pa.table({"a": [1]})),
    }
    with monkeypatch.context() as patched:
        patched.setattr(os, step, _fails_with(fault))
        for write in writes.values():
            with pytest.raises(type(fault)):
                write()
    assert _names(tmp_path) == ["a.json"]
    assert storage.read_json(path) == {"is": "old"}
    for write in writes.values():
        write()
    assert _names(tmp_path) == sorted(writes)
    assert storage.read_json(path) == {"is": "new"}


def test_content_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    steps = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("sync"), sync(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("rename"), replace(*paths))[1])
    storage.write_bytes(tmp_path / "a", b"x")
    assert steps == ["sync", "rename", "sync"]  # the file; the name; the folder that holds the name


@pytest.mark.parametrize("content", [float("nan"), [float("inf")], {"a": object()}, {"a": {1, 2}}])
def test_what_json_cannot_say_is_refused_before_anything_is_touched(tmp_path, content):
    path = tmp_path / "a.json"
    storage.write_json(path, "old")
    with pytest.raises((ValueError, TypeError)):
        storage.write_json(path, content)
    assert _names(tmp_path) == ["a.json"]
    assert storage.read_json(path) == "old"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(content=_json)
def test_json_is_read_back_and_equal_content_is_the_same_bytes(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    one, other = folder / "one.json", folder / "other.json"
    storage.write_json(one, content)
    assert storage.read_json(one) == content
    turned = dict(reversed(content.items())) if isinstance(content, dict) else content
    storage.write_json(other, turned)
    assert one.read_bytes() == other.read_bytes()
    assert storage.hash_json(content) == storage.hash_json(turned)


def test_json_keeps_letters_readable_and_folders_are_made(tmp_path):
    storage.write_json(tmp_path / "a" / "b" / "c.json", {"ü": "日本"})
    assert '"ü": "日本"' in (tmp_path / "a" / "b" / "c.json").read_text(encoding="utf-8")


def _refused_as_damaged(path: Path, read) -> None:
    with pytest.raises(IntegrityError) as caught:
        read(path)
    assert str(path) in str(caught.value) and "Mend: " in str(caught.value)


def test_json_cut_anywhere_is_damaged(tmp_path):
    path = tmp_path / "seal.json"
    storage.write_json(path, {"hash": "ä", "labels": [1, None, "x"], "n": {"deep": 2.5}})
    whole = path.read_bytes()
    for length in range(len(whole) - 1):  # without the line break at its end it is still whole
        path.write_bytes(whole[:length])
        _refused_as_damaged(path, storage.read_json)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"{} {}", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_json_that_nobody_wrote_here_is_damaged(tmp_path, content):
    # Too deep is a RecursionError, which is no ValueError.
    path = tmp_path / "a.json"
    path.write_bytes(content)
    _refused_as_damaged(path, storage.read_json)


def _table() -> pa.Table:
    return pa.table({"text": [f"message {number} ü" for number in range(300)], "n": list(range(300))})


def test_a_table_is_read_back(tmp_path):
    storage.write_table(tmp_path / "a.parquet", _table())
    assert storage.read_table(tmp_path / "a.parquet").equals(_table())


def test_a_tables_layout_does_not_hang_on_how_it_came(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "ROW_GROUP", 100)
    table = pa.table({"a": list(range(730)), "b": [f"row {row}" for row in range(730)]})
    storage.write_table(tmp_path / "whole.parquet", table)
    for size in (1, 30, 100, 130, 365):
        with storage.table_writer(tmp_path / "parts.parquet", table.schema) as write:
            for start in range(0, 730, size):
                write(table.slice(start, size))
        with storage.parquet_file(tmp_path / "parts.parquet") as file:
            groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert groups == [100] * 7 + [30] and storage.count_rows(tmp_path / "parts.parquet") == 730
        assert storage.read_table(tmp_path / "parts.parquet").equals(table)
        whole, parts = (storage.hash_file(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
        assert whole == parts


def test_a_table_cut_anywhere_is_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    storage.write_table(path, _table())
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 97), 1, 4, 8, 12, len(whole) - 8, len(whole) - 1}:
        path.write_bytes(whole[:length])
        _refused_as_damaged(path, storage.read_table)


def test_a_table_with_a_changed_byte_is_damaged_or_still_a_table(tmp_path):
    # Not every change can be seen, since Parquet has no sums here; the seal's hash sees them all. Those that can
    # are an ArrowInvalid or, where thrift or zstd fails, an OSError.
    path = tmp_path / "a.parquet"
    storage.write_table(path, _table())
    whole = path.read_bytes()
    found = 0
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            storage.read_table(path)
        except IntegrityError as error:
            found += 1
            assert str(path) in str(error)
    assert found > len(whole) // 20


def test_an_absent_file_is_absent_and_not_damaged(tmp_path):
    for read in (storage.read_json, storage.read_table):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


def _student(folder: Path, content: str) -> None:
    (folder / "student").mkdir()
    (folder / "student" / "weights").write_text(content)


def test_a_fresh_folder_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "students" / "static"
    with storage.fresh_folder(path) as folder:
        _student(folder, "old")
        (folder / "only-old").touch()
        assert not path.exists()
    with storage.fresh_folder(path) as folder:
        assert _names(folder) == []
        _student(folder, "new")
        assert (path / "student" / "weights").read_text() == "old"
    assert _names(path) == ["student"]
    assert (path / "student" / "weights").read_text() == "new"
    assert _names(path.parent) == ["static"]


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_block_that_fails_leaves_the_old_folder_and_nothing_beside_it(tmp_path, fault):
    path = tmp_path / "static"
    with storage.fresh_folder(path) as folder:
        _student(folder, "old")
    with pytest.raises(type(fault)), storage.fresh_folder(path) as folder:
        _student(folder, "new")
        raise fault
    assert _names(tmp_path) == ["static"]
    assert (path / "student" / "weights").read_text() == "old"


@pytest.mark.parametrize("step", ["rename", "replace"])
def test_a_fresh_folder_that_cannot_get_its_name_leaves_the_old_one(tmp_path, monkeypatch, step):
    # Whichever of the two calls the renaming is made with: minutes of training lie in the old one.
    path = tmp_path / "static"
    with storage.fresh_folder(path) as folder:
        _student(folder, "old")
    real = getattr(os, step)

    def fails(source, target, *args, **kwargs):
        if Path(target) == path and Path(source, "student", "weights").read_text() == "new":
            raise OSError(errno.EIO, "Input/output error")
        return real(source, target, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        try:
            with storage.fresh_folder(path) as folder:
                _student(folder, "new")
        except OSError:
            assert (path / "student" / "weights").read_text() == "old"
    assert _names(tmp_path) == ["static"]


def test_what_a_killed_process_left_is_no_part_of_a_fresh_folder(tmp_path):
    for process in (os.getpid(), os.getpid() + 1):
        left = tmp_path / f".static.{process}.tmp"
        left.mkdir()
        (left / "half").touch()
    (tmp_path / ".static.int8.7.tmp").mkdir()
    with storage.fresh_folder(tmp_path / "static") as folder:
        _student(folder, "new")
    assert set(_names(tmp_path)) == {".static.int8.7.tmp", "static"}, "another's isn't touched"
    assert _names(tmp_path / "static") == ["student"]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_of_any_size_is_hashed_whole(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    assert storage.hash_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()[:32]
    assert storage.hash_path(tmp_path / "a") == storage.hash_file(tmp_path / "a")


@pytest.fixture
def tree(tmp_path) -> Path:
    folder = tmp_path / "tree"
    for name, content in (("a", "1"), ("b", "2"), ("sub/c", "3"), ("sub/deeper/.hidden", "4")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_a_folder_hashes_alike_wherever_and_whenever_it_was_written(tree, tmp_path):
    twin = tmp_path / "elsewhere" / "twin"
    for path in sorted((path for path in tree.rglob("*") if path.is_file()), reverse=True):
        target = twin / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (0, 0))
    assert storage.hash_path(twin) == storage.hash_path(tree)


def test_a_folder_hashes_alike_in_whatever_order_its_system_lists_it(tree, monkeypatch):
    before, listed = storage.hash_path(tree), Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: reversed(list(listed(path, pattern))))
    assert storage.hash_path(tree) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "a").write_text("2"),
        lambda tree: (tree / "sub/deeper/.hidden").write_text("5"),
        lambda tree: (tree / "a").rename(tree / "z"),
        lambda tree: (tree / "sub/c").rename(tree / "c"),
        lambda tree: (tree / "sub").rename(tree / "bus"),
        lambda tree: (tree / "a").unlink(),
        lambda tree: (tree / "empty").touch(),
        lambda tree: (
            (tree / "a").rename(tree / "x"),
            (tree / "b").rename(tree / "a"),
            (tree / "x").rename(tree / "b"),
        ),
    ],
    ids=["content", "hidden", "renamed", "moved", "folder renamed", "removed", "added", "names swapped"],
)
def test_any_change_in_a_folder_changes_its_hash(tree, change):
    before = storage.hash_path(tree)
    change(tree)
    assert storage.hash_path(tree) != before


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="elsewhere names are unicode")
def test_a_file_whose_name_is_not_utf8_has_a_hash(tree):
    # Such a name reaches Python with lone surrogates.
    before = storage.hash_path(tree)
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).touch()
    assert storage.hash_path(tree) != before


def test_hashes_of_content_tell_kinds_apart():
    contents = [None, False, 0, 0.5, "", "0", [], {}, [[]], {"a": 1}, {"a": "1"}, ["a", 1], [["a", 1]]]
    assert len({storage.hash_json(content) for content in contents}) == len(contents)


def test_nothing_is_written_anywhere_else(tmp_path, monkeypatch):
    # A temporary file on another file system could not be renamed over the old one.
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    storage.write_bytes(tmp_path / "a", b"x")
    with storage.fresh_folder(tmp_path / "b"):
        pass
    assert _names(tmp_path) == ["a", "b"]
