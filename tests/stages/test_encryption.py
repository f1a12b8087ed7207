"""With a key nothing in the folder can be read without it, and with it everything is as it would be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from canaries import BEFORE, canaries, contents, planted, put_through, traces_of
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
from tutelage.stages.trace import trace

PEOPLE = canaries(20, seed=12)
SOURCES = ("gold.csv", "traffic.csv", "verdicts.csv")  # a person's own files
WORDS = ("students/", "exports/", "certificates/")  # single words and their parts, which a student is made of


def told(folder: Path) -> dict[str, dict[str, list[bytes]]]:
    """Files of ours that tell of a canary, by canary; of students whole texts alone count."""
    held = {name: content for name, content in contents(folder, encrypted=True).items() if name not in SOURCES}
    found = {one.key: traces_of(one, held) for one in PEOPLE}
    return {
        key: {name: needles for name, needles in traces.items() if not name.startswith(WORDS)}
        for key, traces in found.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encrypted") / "programme"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_ENV, new_key())
        put_through(planted(folder, PEOPLE, encryption={}), PEOPLE)
        yield folder


@pytest.mark.long
def test_twenty_people_are_in_no_byte(whole: Path) -> None:
    assert told(whole) == {one.key: {} for one in PEOPLE}
