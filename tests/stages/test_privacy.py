from __future__ import annotations

import csv

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.errors import IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.stages import run_stage
from tutelage.stages.privacy import personal_data, reveal

CANARIES = [f"canary.{number}@example.com" for number in range(20)]
KEY = "a long random word, kept apart"


@pytest.fixture
def folder(tmp_path):
    """The inbox with a person's address in every row, one row that is too long and one without a label."""
    made = inbox_programme(tmp_path, privacy={})
    for name in ("gold.csv", "traffic.csv"):
        with (made / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            row["text"] += f", write to {CANARIES[number % 20]} or call +49 30 12345{number:02}"
        rows.append({**rows[0], "text": f"{CANARIES[3]} " * 20_000})
        with (made / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return made


def _leaks(folder):
    sources = {folder / name for name in ("gold.csv", "traffic.csv")}
    return [
        (path.name, canary)
        for path in folder.rglob("*")
        if path.is_file() and path not in sources
        for canary in CANARIES
        if canary.encode() in path.read_bytes()
    ]


def _texts(table):
    return storage.read_table(table)["text"].to_pylist()


def test_nothing_of_twenty_people_is_written_anywhere(folder):
    programme = Programme.open(folder)
    for stage in ("gold", "collect"):
        run_stage(programme, stage)
    assert all("[EMAIL]" in text and "[PHONE]" in text for text in _texts(programme.prompts))
    assert all("[EMAIL]" in text for text in _texts(programme.sealed))
    assert _texts(programme.prompts_rejected)
    # Parquet compresses: what it holds is read, too.
    assert not any("canary" in text for text in _texts(programme.prompts_rejected))
    assert _leaks(folder) == []


def test_a_changed_policy_reads_the_sources_anew(folder):
    programme = Programme.open(folder)
    for stage in ("gold", "collect"):
        run_stage(programme, stage)
    assert not run_stage(programme, "collect")
    changed = Programme.open(folder, ["privacy.phone=allow"])
    assert run_stage(changed, "gold") and run_stage(changed, "collect")
    assert all("+49 30" in text and "[EMAIL]" in text for text in _texts(changed.prompts))


def test_rows_are_set_aside_where_the_policy_says_so(folder):
    with pytest.raises(UsageError, match="gold"):
        run_stage(Programme.open(folder, ["privacy.email=drop"]), "gold")


def test_pseudonyms_can_be_turned_back_only_with_the_key(folder, monkeypatch):
    pytest.importorskip("cryptography")
    overrides = ["privacy.email=pseudonym", "privacy.reversible=true"]
    programme = Programme.open(folder, overrides)
    monkeypatch.delenv("TUTELAGE_PRIVACY_KEY", raising=False)
    with pytest.raises(UsageError, match="TUTELAGE_PRIVACY_KEY.*export"):
        run_stage(programme, "gold")
    monkeypatch.setenv("TUTELAGE_PRIVACY_KEY", KEY)
    run_stage(programme, "gold")
    run_stage(programme, "collect")
    text = _texts(programme.prompts)[0]
    pseudonym = text[text.index("[EMAIL-") : text.index("]", text.index("[EMAIL-")) + 1]
    assert reveal(programme, pseudonym) in CANARIES
    assert _leaks(folder) == []
    assert programme.journal.verify()
    monkeypatch.setenv("TUTELAGE_PRIVACY_KEY", KEY[::-1])
    with pytest.raises(IntegrityError, match="another key"):
        reveal(programme, pseudonym)
    with pytest.raises(UsageError, match="is not in"):
        reveal(programme, "[EMAIL-0000000000]")


def test_what_sources_hold_is_told_without_itself(folder):
    held, total = personal_data(Programme.open(folder))
    by_kind = {kind.entity: kind for kind in held}
    assert by_kind["email"].rows == total
    assert by_kind["card"].found == 0
    assert all("canary" not in example for kind in held for example in kind.examples)
    assert any("[EMAIL] or call [PHONE]" in example for example in by_kind["email"].examples)
