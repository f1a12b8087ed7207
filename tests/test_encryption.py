from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage import encryption, storage
from tutelage.encryption import KEY_ENV, MARKER, Cipher, EncryptedReader, EncryptedWriter, new_key
from tutelage.errors import IntegrityError, UsageError

CHUNK, HEAD = 1 << 16, 23 + 16
CIPHER = Cipher(b"k" * 32)
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEY_ENV, new_key())
    encryption.mark(tmp_path)
    return tmp_path


def encrypted(content: bytes, cipher: Cipher = CIPHER) -> bytes:
    file = io.BytesIO()
    writer = EncryptedWriter(file, cipher)
    for begin in range(0, len(content), 40_000):
        writer.write(content[begin : begin + 40_000])
    assert writer.tell() == len(content)
    writer.finish()
    return file.getvalue()


def read(content: bytes, cipher: Cipher = CIPHER) -> bytes:
    return io.BufferedReader(EncryptedReader(io.BytesIO(content), cipher, Path("x"))).read()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_comes_back_from_any_place(size: int) -> None:
    content = random.Random(size).randbytes(size)
    written = encrypted(content)
    assert written != encrypted(content), "no salt comes again"
    assert read(written) == content
    file = io.BufferedReader(EncryptedReader(io.BytesIO(written), CIPHER, Path("x")), 1 << 10)
    draw = random.Random(1)
    for _ in range(40):
        place, length = draw.randrange(size + 10), draw.randrange(2 * CHUNK)
        file.seek(place)
        assert file.read(length) == content[place : place + length]
    assert file.seek(-min(size, 3), io.SEEK_END) == size - min(size, 3)


@settings(max_examples=60)
@given(size=st.sampled_from(SIZES), place=st.integers(0), flip=st.integers(1, 255))
def test_no_byte_can_be_changed(size: int, place: int, flip: int) -> None:
    changed = bytearray(encrypted(b"x" * size))
    place = 23 + place % (len(changed) - 23)  # before it stands what tells that it is encrypted
    changed[place] ^= flip
    with pytest.raises(IntegrityError, match="cut off or changed"):
        read(bytes(changed))


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_chunks_can_neither_be_cut_off_nor_moved(left: int) -> None:
    written = encrypted(b"x" * (3 * CHUNK + 5))
    chunk = CHUNK + 16
    with pytest.raises(IntegrityError, match="cut off or changed"):
        read(written[: HEAD + left * chunk])
    if 1 <= left < 3:
        one, other = HEAD + (left - 1) * chunk, HEAD + left * chunk
        parts = written[:one], written[other : other + chunk], written[one:other], written[other + chunk :]
        with pytest.raises(IntegrityError, match="cut off or changed"):
            read(b"".join(parts))


def test_a_folder_says_which_of_its_files_are_encrypted(folder: Path) -> None:
    for name in (
        "gold/seal.json",
        "answers/a/b.json",
        "evaluation/static/report.html",
        "students/.fast/a.json",
    ):
        storage.write_bytes(folder / name, b"what people wrote")
        assert storage.is_encrypted(folder / name)
        assert b"people" not in (folder / name).read_bytes()
        assert storage.read_text(folder / name) == "what people wrote"
    plain = ("students/static/run.json", "students/.static.1.tmp/run.json", "state/gold.json", "x.json")
    for name in (*plain, "evaluation/static/model_card.md", "privacy/pseudonyms.jsonl"):
        storage.write_bytes(folder / name, b"a")
        assert (folder / name).read_bytes() == b"a"
    storage.write_bytes(folder / "answers" / "queue.csv", b"a", readable=True)
    assert not storage.is_encrypted(folder / "answers" / "queue.csv")


def test_tables_and_hashes_are_as_without(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = pa.table({"text": [f"how is {number}" for number in range(5_000)]})
    plain, hidden = tmp_path_factory.mktemp("plain") / "a.parquet", folder / "prompts" / "a.parquet"
    for path in (plain, hidden):
        storage.write_table(path, table)
    assert b"PAR1" in plain.read_bytes() and b"PAR1" not in hidden.read_bytes()
    assert storage.read_table(hidden).equals(table)
    assert pa.concat_tables(storage.table_batches(hidden)).equals(table)
    assert storage.hash_path(plain) == storage.hash_path(hidden)
    with storage.parquet_file(hidden) as file:
        assert file.metadata.num_rows == 5_000


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "is encrypted: .*not set. Mend: export TUTELAGE_KEY"),
        ("hunter2", "holds no key"),
        ("é" * 44, "holds no key"),
        (base64.urlsafe_b64encode(b"x" * 31).decode(), "holds no key"),
        (base64.urlsafe_b64encode(b"x" * 32).decode(), "was encrypted with the key"),
    ],
)
def test_without_its_key_nothing_is_read_or_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    path = folder / "gold" / "seal.json"
    storage.write_json(path, {"n": 1})
    before = path.read_bytes()
    monkeypatch.setenv(KEY_ENV, value)
    for act in (lambda: storage.read_json(path), lambda: storage.write_json(path, {"n": 2})):
        with pytest.raises(UsageError, match=told) as caught:
            act()
        assert "Mend:" in str(caught.value)
        assert not value or value not in str(caught.value)
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*")), "nor is anything left beside"


def test_a_file_that_was_copied_elsewhere_is_read_with_the_key(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "gold" / "seal.json"
    storage.write_json(path, {"n": 1})
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "seal.json"
    elsewhere.write_bytes(path.read_bytes())
    assert storage.read_json(elsewhere) == {"n": 1}
    monkeypatch.setenv(KEY_ENV, new_key())
    with pytest.raises(IntegrityError, match="under another key"):
        storage.read_json(elsewhere)


def test_the_marker_holds_no_key_and_one_that_is_damaged_says_so(folder: Path) -> None:
    marker = json.loads((folder / MARKER).read_text())
    assert marker == {"key_env": KEY_ENV, "key_id": Cipher.from_environment().id}
    assert encryption.mark(folder).id == marker["key_id"], "twice is once"
    (folder / MARKER).write_text("{}")
    with pytest.raises(IntegrityError, match="restore it from a backup"):
        storage.write_json(folder / "gold" / "seal.json", {})


def test_keys_are_in_no_message() -> None:
    assert repr(CIPHER) == "Cipher()"


@given(content=st.binary(max_size=200))
def test_lines_come_back_without_line_breaks(content: bytes) -> None:
    token = CIPHER.encrypt_line(content)
    assert b"\n" not in token and CIPHER.decrypt_line(token, Path("x")) == content
    with pytest.raises(IntegrityError, match="another key"):
        Cipher(b"o" * 32).decrypt_line(token, Path("x"))
