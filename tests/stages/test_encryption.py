"""With a key nothing in the folder can be read without it, and with it everything is as it would be."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from canaries import BEFORE, canaries, contents, planted, put_through, traces_of
from captured import made
from inbox import letter_counting_inbox
from typer.testing import CliRunner

from tutelage import encryption, storage
from tutelage.cli.app import app
from tutelage.data import read_sealed, verify_seal
from tutelage.encryption import KEY_ENV, MARKER, new_key
from tutelage.errors import ConfigError, DataError, TutelageError, UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_all, run_stage
from tutelage.stages.encryption import decrypt_folder, encrypt_folder
from tutelage.stages.purge import purge_subjects
from tutelage.stages.serve import open_programme_store
from tutelage.stages.trace import trace

PEOPLE = canaries(20, seed=12)
THEIRS = ("gold.csv", "traffic.csv", "verdicts.csv", "answers/review.csv")  # sources, and what people fill in
WORDS = ("students/", "exports/", "certificates/")  # of a student: words and pairs of them, no texts


@pytest.fixture(scope="module")
def key() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        key = new_key()
        patch.setenv(KEY_ENV, key)
        yield key


@pytest.fixture(scope="module")
def whole(key: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encrypted") / "programme"
    folder.mkdir()
    put_through(planted(folder, PEOPLE, encryption={}), PEOPLE)
    return folder


def ours(folder: Path) -> dict[str, bytes]:
    found = contents(folder, encrypted=True)
    return {name: content for name, content in found.items() if name not in THEIRS}


@pytest.mark.long
def test_twenty_people_are_in_no_byte_and_purged_all_the_same(whole: Path, tmp_path: Path) -> None:
    held = ours(whole)
    but_students = {name: content for name, content in held.items() if not name.startswith(WORDS)}
    assert {one.key: traces_of(one, but_students) for one in PEOPLE} == {one.key: {} for one in PEOPLE}
    texts = [text.encode() for one in PEOPLE for text in one.texts]
    assert not [name for name, content in held.items() for text in texts if text in content]
    folder = tmp_path / "programme"
    shutil.copytree(whole, folder)
    programme = Programme.open(folder)
    assert programme.journal.verify() > 0
    assert trace(programme, programme.transfer)
    purged = purge_subjects(programme, [one.key for one in PEOPLE], Silent())
    assert purged.rows["answers/answers.sqlite"] and purged.rows["gold/sealed.parquet"] and purged.captures
    assert not purged.left
    verify_seal(programme.sealed, programme.seal)
    assert run_all(programme).metrics["n"] == len(read_sealed(programme.sealed, programme.seal))
    decrypt_config(folder)
    decrypt_folder(folder, Silent())
    held = contents(folder)
    assert not any(traces_of(one, held) for one in PEOPLE)


def decrypt_config(folder: Path) -> None:
    path = folder / "tutelage.yaml"
    content = json.loads(path.read_text())
    content.pop("encryption", None)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "programme"
    folder.mkdir()
    letter_counting_inbox(folder)
    programme = Programme.open(folder)
    for stage in BEFORE:
        run_stage(programme, stage)
    AnswerLedger(programme.answers).close()
    asyncio.run(_capture(programme, "where is my parcel"))
    return folder


async def _capture(programme: Programme, text: str) -> None:
    store = open_programme_store(programme)
    await store.capture(made(text), promise="durable")
    await store.close()


@pytest.fixture
def plain(plain_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(plain_folder, tmp_path / "programme")
    return tmp_path / "programme"


COVERED = ("gold/sealed.parquet", "gold/seal.json", "prompts/prompts.parquet", "prompts/profile.json")
DATABASES = ("answers/answers.sqlite", "serving/state.sqlite")


@pytest.mark.usefixtures("key")
def test_a_folder_is_encrypted_and_decrypted_and_no_stage_runs_again(plain: Path) -> None:
    before = {name: (plain / name).read_bytes() for name in COVERED}
    done = encrypt_folder(plain, Silent())
    assert done.files >= len(COVERED) + len(DATABASES)
    assert set(done.readable) == {"gold.csv", "traffic.csv", "verdicts.csv"}
    assert all(storage.is_encrypted(plain / name) for name in COVERED)
    assert not any(b"parcel" in content for content in ours(plain).values())
    programme = Programme.open(plain)
    assert not any(run_stage(programme, stage) for stage in BEFORE), "what is hashed is what was written"
    assert {name: storage.read_bytes(plain / name) for name in COVERED} == before
    asyncio.run(_capture(programme, "where is my other parcel"))
    assert not encrypt_folder(plain, Silent()).files, "what is encrypted stays"
    assert decrypt_folder(plain, Silent()).files == done.files
    assert {name: (plain / name).read_bytes() for name in COVERED} == before
    assert not (plain / MARKER).exists()
    with sqlite3.connect(plain / "serving" / "state.sqlite") as database:
        told = {text for (text,) in database.execute("SELECT text FROM captures")}
    database.close()
    assert told == {"where is my parcel", "where is my other parcel"}
    assert not any(run_stage(Programme.open(plain), stage) for stage in BEFORE)


@pytest.mark.usefixtures("key")
def test_encrypting_that_was_stopped_goes_on(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = storage.replacing

    def stopped(path: Path, **options: bool):
        if path.name == "prompts.parquet":
            raise KeyboardInterrupt
        return real(path, **options)

    monkeypatch.setattr(storage, "replacing", stopped)
    with pytest.raises(KeyboardInterrupt):
        encrypt_folder(plain, Silent())
    monkeypatch.setattr(storage, "replacing", real)
    assert storage.read_table(plain / "prompts" / "prompts.parquet").num_rows
    assert encrypt_folder(plain, Silent()).files
    assert all(storage.is_encrypted(plain / name) for name in COVERED)


_HOLDING = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("SELECT * FROM answers").fetchall()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("key")
def test_a_database_in_use_is_left_as_it_is(plain: Path) -> None:
    path = plain / "answers" / "answers.sqlite"
    before = path.read_bytes()
    command = [sys.executable, "-c", _HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="stop the servers"):
            encrypt_folder(plain, Silent())
        assert path.read_bytes() == before
        holder.communicate()
    assert encrypt_folder(plain, Silent()).files
    with AnswerLedger(path) as ledger:
        assert ledger.summary() == []


def test_tutelage_yaml_asks_for_it(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    letter_counting_inbox(fresh, encryption={"key_env": "INBOX_KEY"})
    monkeypatch.delenv("INBOX_KEY", raising=False)
    with pytest.raises(UsageError, match="'INBOX_KEY' is not set"):
        Programme.open(fresh)
    assert not (fresh / MARKER).exists()
    monkeypatch.setenv("INBOX_KEY", new_key())
    programme = Programme.open(fresh)
    run_stage(programme, "gold")
    assert storage.is_encrypted(programme.sealed) and read_sealed(programme.sealed, programme.seal)
    monkeypatch.setenv("INBOX_KEY", new_key())
    before = contents(fresh, encrypted=True)
    with pytest.raises(UsageError, match="was encrypted with the key"):
        Programme.open(fresh)
    with pytest.raises(TutelageError, match="was encrypted with the key"):
        run_stage(programme, "collect")
    after = contents(fresh, encrypted=True)
    assert {name: after[name] for name in before if name != "programme.lock"} == {
        name: content for name, content in before.items() if name != "programme.lock"
    }
    with pytest.raises(ConfigError, match="encryption on"):
        Programme.open(plain, ["encryption={}"])


@pytest.mark.usefixtures("key")
def test_state_elsewhere_is_refused_unless_it_is_said_to_be_seen_to(plain: Path) -> None:
    encrypt_folder(plain, Silent())
    place = f"serving.database=sqlite:///{plain.parent / 'state.sqlite'}"
    with pytest.raises(ConfigError, match=r"encryption\.state_elsewhere: true"):
        open_programme_store(Programme.open(plain, [place]))
    store = open_programme_store(Programme.open(plain, [place, "encryption.state_elsewhere=true"]))
    asyncio.run(store.close())


def test_the_verbs(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    monkeypatch.setenv(KEY_ENV, runner.invoke(app, ["encryption", "new-key"]).output.strip())
    said = runner.invoke(app, ["encryption", "on", str(plain)])
    assert said.exit_code == 0 and "stays readable: gold.csv" in said.output, said.output
    seal = plain / "gold" / "seal.json"
    read = runner.invoke(app, ["encryption", "read", str(seal)])
    assert json.loads(read.output) == storage.read_json(seal)
    out = tmp_path / "seal.json"
    assert runner.invoke(app, ["encryption", "read", str(seal), "--to", str(out)]).exit_code == 0
    assert json.loads(out.read_text()) == storage.read_json(seal) and out.stat().st_mode & 0o777 == 0o600
    assert runner.invoke(app, ["encryption", "off", str(plain)]).exit_code == 0
    assert not encryption.is_marked(plain)
    again = runner.invoke(app, ["encryption", "off", str(plain)])
    assert again.exit_code and "is not encrypted" in str(again.exception)
