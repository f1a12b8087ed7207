"""Rows are kept as long as their class allows, and no longer."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from captured import made
from inbox import letter_counting_inbox
from test_served import served
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.data import read_sealed
from tutelage.data.keeping import Retention
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import Prompt
from tutelage.review import read_sheet
from tutelage.serving.store import Store
from tutelage.stages import run_stage
from tutelage.stages.annotate import annotations_to_gold, open_project
from tutelage.stages.gold import add_to_label, read_to_label
from tutelage.stages.keeping import captures_kept
from tutelage.stages.purge import purge_expired
from tutelage.stages.serve import open_programme_store

OLD, NEW = "2030-01-01", "2030-05-20"
TODAY = date(2030, 6, 1)
CLASSES = ("public", "internal", "personal", "special")


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("sensitivity", "time", "first", "expired"),
    [
        ("personal", at(OLD), None, True),
        ("personal", at("2030-03-03"), None, False),
        ("personal", at("2030-03-02"), None, True),
        ("internal", at(OLD), None, False),
        ("", at(OLD), None, False),
        ("personal", None, None, False),
        ("personal", None, at(OLD), True),
        ("personal", None, at(NEW), False),
        ("special", at(NEW), None, True),
    ],
)
def test_what_has_expired(sensitivity: str, time: float | None, first: float | None, expired: bool) -> None:
    retention = Retention({"personal": 90.0, "special": 7.0}, at("2030-06-01"), first)
    assert retention.has_expired(Prompt("1", "x", time=time, sensitivity=sensitivity)) is expired


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def folder_of(folder: Path, **sections: Any) -> Path:
    """Every class in turn, each row once old and once new."""
    columns = {"sensitivity": "class", "time": "at"}
    made_in = letter_counting_inbox(
        folder,
        gold={"path": "gold.csv", "columns": columns, "training": {"share": 0.4}, "margin": 0.3},
        traffic={"path": "traffic.csv", "columns": columns, "near_duplicate": 1.0},
        **sections,
    )
    for name in ("gold.csv", "traffic.csv"):
        rows = rows_of(made_in / name)
        for number, row in enumerate(rows):
            row |= {"class": CLASSES[number % 4], "at": (OLD, NEW)[number // 4 % 2]}
        with (made_in / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return made_in


def opened(folder: Path, today: date = TODAY) -> Programme:
    return Programme.open(folder, today=lambda: today)


def kept(path: Path) -> Counter[tuple[str, bool]]:
    rows = storage.read_table(path).to_pylist()
    return Counter((row["sensitivity"], row["time"] == at(OLD)) for row in rows)


def test_a_purge_of_what_expired_takes_it_from_every_file_and_collect_takes_no_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for stage in ("gold", "collect"):
        run_stage(opened(folder), stage)
    before = kept(opened(folder).prompts)
    assert before[("personal", True)] and before[("special", False)]
    content = json.loads((folder / "tutelage.yaml").read_text()) | {
        "retention": {"personal": "90d", "special": 7}
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = opened(folder)
    expired = {("personal", True), ("special", True), ("special", False)}
    rows = [row for name in ("gold.csv", "traffic.csv") for row in rows_of(folder / name)]
    texts = {row["text"] for row in rows if (row["class"], row["at"] == OLD) in expired}
    purged = purge_expired(programme, Silent())
    assert not purged.left and purged.rows["prompts/prompts.parquet"] == sum(before[one] for one in expired)
    assert kept(programme.prompts) == Counter({one: n for one, n in before.items() if one not in expired})
    assert not expired & set(kept(programme.sealed)) and not expired & set(kept(programme.gold_training))
    assert read_sealed(programme.sealed, programme.seal)
    assert not run_stage(programme, "gold") and not run_stage(programme, "collect")
    for path in (path for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".jsonl")):
        assert not any(text in path.read_text() for text in texts), path
    last = list(programme.journal.entries())[-1]
    assert (last.event, last.data["by"]) == ("purged", "age")
    assert purge_expired(programme, Silent()).rows == {}


@pytest.mark.parametrize("named", [False, True])
def test_what_waits_for_people_or_was_said_by_them_expires_too(tmp_path: Path, named: bool) -> None:
    """Whose sources may be gone; also where gold's own file is what people said."""
    folder = folder_of(tmp_path, retention={"personal": "90d"})
    programme = opened(folder)
    prompts = [
        Prompt(f"p{number}", f"{day} of class {class_}", time=at(day), sensitivity=class_, subject="Ann")
        for number, (class_, day) in enumerate((one, day) for one in CLASSES for day in (OLD, NEW))
    ]
    add_to_label(programme, [(prompt, "") for prompt in prompts])
    assert [(p.sensitivity, p.time, p.subject) for p in read_to_label(programme)] == [
        (p.sensitivity, p.time, p.subject) for p in prompts
    ]
    project = open_project(programme, Silent())
    for number, prompt in enumerate(prompts):
        for who in ("Bea", "Cleo"):
            project.answer(who, prompt.hash, ("login", "billing")[number % 2], "", settles=False)
    annotations_to_gold(programme, Silent())
    programme.candidates.write_text(programme.annotated.read_text().replace("of class", "again of class"))
    if named:
        content = json.loads((folder / "tutelage.yaml").read_text())
        content["gold"] = {"path": "gold/annotated.jsonl", "margin": 0.45}
        (folder / "tutelage.yaml").write_text(json.dumps(content))
        programme = opened(folder)
        run_stage(programme, "gold")
        assert ("personal", False) in kept(programme.sealed)
        assert ("personal", True) not in kept(programme.sealed)
    purged = purge_expired(programme, Silent())
    assert not purged.left
    for path in (programme.to_label, programme.annotated, programme.candidates):
        left = [row["text"] for row in read_sheet(path)]
        assert len(left) == 7 and not any(f"{OLD}" in text and "personal" in text for text in left)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert b"2030-01-01 of class personal" not in path.read_bytes(), path


def test_collect_takes_nothing_that_expired_and_tells_nothing_of_it(tmp_path: Path) -> None:
    programme = opened(folder_of(tmp_path, retention={"special": "1w", "personal": "1y"}))
    for stage in ("gold", "collect"):
        run_stage(programme, stage)
    assert not {one for one in kept(programme.prompts) if one[0] == "special"}
    rejected = storage.read_table(programme.prompts_rejected).to_pylist()
    told = {(row["reason"], row["detail"], row["text"]) for row in rejected}
    assert told == {("expired", "older than retention.special allows", "")}


def test_rows_without_a_time_are_as_old_as_the_first_collection(tmp_path: Path) -> None:
    folder = letter_counting_inbox(
        tmp_path,
        gold={"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.3},
        traffic={"path": "traffic.csv", "columns": {"sensitivity": "personal"}},
        retention={"personal": "30d"},
    )
    for stage in ("gold", "collect"):
        run_stage(Programme.open(folder), stage)
    assert purge_expired(Programme.open(folder), Silent()).rows == {}
    sealed = storage.hash_file(Programme.open(folder).sealed)
    purged = purge_expired(opened(folder, date(2100, 1, 1)), Silent())
    assert purged.rows["prompts/prompts.parquet"] > 20 and "gold/sealed.parquet" not in purged.rows
    assert storage.hash_file(Programme.open(folder).sealed) == sealed
    with (folder / "traffic.csv").open("a") as file:
        file.write("something quite new that came afterwards\n")
    with pytest.raises(UsageError, match="none of 1 rows"):
        run_stage(opened(folder, date(2100, 1, 1)), "collect")


def test_a_class_that_is_none_is_refused_by_row(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    with (folder / "traffic.csv").open("a") as file:
        file.write("what is this,secret,2030-01-01\nand this,,2030-01-01\n")
    for stage in ("gold", "collect"):
        run_stage(opened(folder), stage)
    rejected = storage.read_table(opened(folder).prompts_rejected).to_pylist()
    assert [(row["reason"], row["text"]) for row in rejected] == [
        ("unknown_sensitivity", "what is this"),
        ("unknown_sensitivity", "and this"),
    ]
    assert "'secret', which is none of public, internal" in rejected[0]["detail"]


@pytest.mark.parametrize(
    ("serving", "retention", "days"),
    [
        ({}, {}, None),
        ({}, {"personal": "12w"}, 84.0),
        ({"retention_days": 30}, {"personal": "12w"}, 30.0),
        ({"retention_days": 100}, {"personal": "12w"}, 84.0),
        ({"sensitivity": "internal"}, {"personal": "12w"}, None),
        ({"sensitivity": "special"}, {"special": 0.5}, 0.5),
    ],
)
def test_captures_are_of_a_class_too(
    tmp_path: Path, serving: dict[str, Any], retention: dict[str, Any], days: float | None
) -> None:
    folder = letter_counting_inbox(tmp_path, serving=serving, retention=retention)
    assert captures_kept(Programme.open(folder)) == days


def test_expired_captures_go(tmp_path: Path) -> None:
    programme = Programme.open(letter_counting_inbox(tmp_path, retention={"personal": 1}))
    old, new = made("an old text of a person", id="0" * 32), made("a new one")
    served(programme, [old, new])
    said = CliRunner().invoke(app, ["purge", str(programme.folder), "--expired"])
    assert said.exit_code == 0 and "captures of servers" in said.output, said.output
    store: Store = open_programme_store(programme)
    assert [capture.id for capture in store.captures()] == [new.id]
    assert b"an old text of a person" not in programme.server_state.read_bytes()


def test_without_limits_nothing_expires_and_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no limit.*retention: \{personal: 90d\}"):
        purge_expired(Programme.open(letter_counting_inbox(tmp_path)), Silent())
