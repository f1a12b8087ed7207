"""A person who is purged leaves no byte in the folder, and nobody else loses anything."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from canaries import BEFORE, canaries, contents, planted, put_through, traces_of
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.data import read_calibration, read_sealed, verify_seal
from tutelage.data.synthetic import Kind, Synthetic, read_synthetic, synthetic_to_table
from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import SYNTHETIC, Prompt, text_hash
from tutelage.stages import run_all, run_stage
from tutelage.stages.privacy import reveal
from tutelage.stages.purge import purge_subjects
from tutelage.stages.trace import trace

PEOPLE = canaries(20, seed=11)
WHERE = {
    "answers/answers.sqlite",
    "answers/transfer.parquet",
    "evaluation/static/predictions.parquet",
    "evaluation/votes.sqlite",
    "exports/static/float32/vocabulary.json",
    "gold.csv",
    "gold/annotated.jsonl",
    "gold/annotations.sqlite",
    "gold/candidates.jsonl",
    "gold/calibration.parquet",
    "gold/sealed.parquet",
    "gold/to_label.jsonl",
    "gold/training.parquet",
    "prompts/coverage.parquet",
    "prompts/prompts.parquet",
    "prompts/rejected.parquet",
    "prompts/served.parquet",
    "serving/state.sqlite",
    "students/static/student/vocabulary.json",
    "traffic.csv",
    "verdicts.csv",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "programme"
    folder.mkdir()
    put_through(planted(folder, PEOPLE), PEOPLE)
    return folder


@pytest.fixture
def programme(whole: Path, tmp_path: Path) -> Programme:
    shutil.copytree(whole, tmp_path / "programme")
    return Programme.open(tmp_path / "programme")


@pytest.mark.long
def test_the_search_finds_each_of_them_wherever_anything_is_kept(whole: Path) -> None:
    held = contents(whole)
    found = {name.removesuffix("-wal") for one in PEOPLE for name in traces_of(one, held)}
    assert found >= WHERE, WHERE - found
    assert all(len(traces_of(one, held)) > 8 for one in PEOPLE)


@pytest.mark.long
def test_twenty_people_leave_no_byte(programme: Programme) -> None:
    options = [option for one in PEOPLE for option in ("--subject", one.key)]
    said = CliRunner().invoke(app, ["purge", str(programme.folder), *options])
    assert said.exit_code == 0, said.output
    held = contents(programme.folder)
    assert {one.key: traces_of(one, held) for one in PEOPLE} == {one.key: {} for one in PEOPLE}
    assert "student static learned from" in said.output
    verify_seal(programme.sealed, programme.seal)
    assert programme.journal.verify() > 0
    assert run_all(programme).metrics["n"] == len(read_sealed(programme.sealed, programme.seal))
    held = contents(programme.folder)
    assert not any(traces_of(one, held) for one in PEOPLE), "and none comes back"


@pytest.fixture(scope="module")
def collected_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "programme"
    folder.mkdir()
    for stage in BEFORE:
        run_stage(planted(folder, PEOPLE[:3]), stage)
    return folder


@pytest.fixture
def collected(collected_folder: Path, tmp_path: Path) -> Programme:
    shutil.copytree(collected_folder, tmp_path / "programme")
    return Programme.open(tmp_path / "programme")


def rows_in(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = storage.read_table(path).to_pylist()
    return rows


def test_others_keep_what_they_had_and_stages_are_not_run_anew(collected: Programme) -> None:
    one = PEOPLE[0]
    files = (collected.prompts, collected.sealed, collected.gold_training, collected.gold_calibration)
    before = {path: rows_in(path) for path in files}
    purged = purge_subjects(collected, [one.key], Silent())
    lost = len(before[collected.prompts]) - len(rows_in(collected.prompts))
    assert purged.rows["prompts/prompts.parquet"] == lost >= 2 and not purged.students and not purged.left
    for path, rows in before.items():
        assert rows_in(path) == [row for row in rows if row["subject"] != one.key]
    assert not run_stage(collected, "gold") and not run_stage(collected, "collect")
    origin = trace(collected, collected.prompts)
    assert origin.entry.data["summary"] == "rows were purged" and collected.journal.verify()
    [entry] = [entry for entry in collected.journal.entries() if entry.event == "purged"]
    assert one.key not in json.dumps(entry.data) and entry.data["rows"] == purged.rows
    gone = [path for path in files if len(rows_in(path)) < len(before[path]) and "gold" in path.parts]
    unsealed = [entry.data for entry in collected.journal.entries() if entry.event == "unsealed"]
    assert len(gone) == 1 and [(data["reason"], sum(data["rows"].values())) for data in unsealed] == [
        ("purge", 1)
    ]
    held = contents(collected.folder)
    assert not traces_of(one, held) and traces_of(PEOPLE[1], held)


def test_a_source_elsewhere_does_not_bring_them_back(collected: Programme, tmp_path: Path) -> None:
    for name in ("traffic.csv", "gold.csv"):
        shutil.move(collected.folder / name, tmp_path / name)
    path = collected.folder / "tutelage.yaml"
    path.write_text(
        path.read_text().replace('"traffic.csv"', '"../traffic.csv"').replace('"gold.csv"', '"../gold.csv"')
    )
    programme = Programme.open(collected.folder)
    purge_subjects(programme, [PEOPLE[0].key], Silent())
    assert PEOPLE[0].key in (tmp_path / "traffic.csv").read_text(), "not the programme's to change"
    for stage in BEFORE:
        run_stage(programme, stage, force=True)
    held = contents(programme.folder)
    assert not traces_of(PEOPLE[0], held) and traces_of(PEOPLE[1], held)
    reasons = Counter(row["reason"] for row in rows_in(programme.prompts_rejected))
    assert reasons["purged"] == 4


def test_what_a_model_wrote_with_theirs_before_it_goes_too(collected: Programme) -> None:
    def written(text: str, seed: str, whose: tuple[str, ...]) -> Synthetic:
        prompt = Prompt(f"synthetic-{text[:5]}", text, SYNTHETIC)
        return Synthetic(
            prompt, Kind.VARIATION, (text_hash(seed),), text_hash(text), "w", "r", subjects=whose
        )

    one, other = PEOPLE[0], PEOPLE[1]
    items = [
        written("a variation of what they asked", one.asked[0], ()),
        written("another one, of several people", "elsewhere", (other.key, one.key)),
        written("of the other's, which stays here", other.asked[0], (other.key,)),
    ]
    storage.write_table(collected.synthetic, synthetic_to_table(items))
    (collected.folder / "answers").mkdir()
    (collected.folder / "answers" / "notes.jsonl").write_text(
        "".join(json.dumps({"said": f"as to {item.prompt.text}"}) + "\n" for item in items)
    )
    purge_subjects(collected, [one.key], Silent())
    assert read_synthetic(collected.synthetic) == items[2:]
    assert "which stays here" in (collected.folder / "answers" / "notes.jsonl").read_text()
    assert "variation" not in (collected.folder / "answers" / "notes.jsonl").read_text()


def test_what_their_pseudonyms_stand_for_is_given_up(
    collected: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_PRIVACY_KEY", "k" * 64)
    one, other = PEOPLE[0], PEOPLE[1]
    with (collected.folder / "traffic.csv").open("a") as file:
        file.write(f"write to ann@example.org as well as bob@example.org,{one.key}\n")
        file.write(f"bob@example.org is who i am,{other.key}\n")
    path = collected.folder / "tutelage.yaml"
    privacy = {"email": "pseudonym", "reversible": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"privacy": privacy}))
    programme = Programme.open(collected.folder)
    for stage in BEFORE:
        run_stage(programme, stage)
    assert len(programme.pseudonyms.read_text().splitlines()) == 2
    purged = purge_subjects(programme, [one.key], Silent())
    assert purged.rows["privacy/pseudonyms.jsonl"] == 1
    [kept] = [json.loads(line)[0] for line in programme.pseudonyms.read_text().splitlines()]
    assert reveal(programme, kept) == "bob@example.org"


def test_a_text_that_others_have_too_stays_theirs(collected: Programme) -> None:
    shared = "where is the parcel that everybody asks about"
    with (collected.folder / "traffic.csv").open("a") as file:
        file.write(f"{shared},{PEOPLE[0].key}\n{shared},customer-1\n")
    with (collected.folder / "verdicts.csv").open("a") as file:
        file.write(f"{shared},delivery\n")
    run_stage(collected, "collect")
    purge_subjects(collected, [PEOPLE[0].key], Silent())
    assert f"{shared},customer-1" in (collected.folder / "traffic.csv").read_text()
    assert f"{shared},delivery" in (collected.folder / "verdicts.csv").read_text()
    assert not traces_of(PEOPLE[0], contents(collected.folder))


def test_a_purge_that_was_stopped_is_finished_by_the_next(
    collected: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tutelage.stages.purge._rows.erase_csv", stops)
    with pytest.raises(KeyboardInterrupt):
        purge_subjects(collected, [PEOPLE[0].key], Silent())
    monkeypatch.undo()
    assert collected.purging.stat().st_mode & 0o777 == 0o600
    assert traces_of(PEOPLE[0], contents(collected.folder))
    purge_subjects(collected, [PEOPLE[1].key], Silent())
    held = contents(collected.folder)
    assert not traces_of(PEOPLE[0], held) and not traces_of(PEOPLE[1], held)
    verify_seal(collected.sealed, collected.seal)


def test_one_that_was_stopped_before_it_sealed_gold_is_finished_too(
    collected: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tutelage.stages.purge._purge.make_seal", stops)
    with pytest.raises(KeyboardInterrupt):
        purge_subjects(collected, [one.key for one in PEOPLE[:3]], Silent())
    monkeypatch.undo()
    purge_subjects(collected, ["who-is-this"], Silent())
    verify_seal(collected.sealed, collected.seal)
    assert read_calibration(collected.gold_calibration, collected.seal)
    assert not run_stage(collected, "gold") and not run_stage(collected, "collect")
    held = contents(collected.folder)
    assert not any(traces_of(one, held) for one in PEOPLE[:3])


def test_a_purge_does_not_seal_what_somebody_changed(collected: Programme) -> None:
    table = storage.read_table(collected.sealed)
    storage.write_table(collected.sealed, table.slice(1))
    with pytest.raises(IntegrityError, match="is not what .* sealed"):
        purge_subjects(collected, [PEOPLE[0].key], Silent())
    assert not collected.purging.exists()


def test_what_can_not_be_changed_from_here_is_named(collected: Programme) -> None:
    (collected.folder / "notes.md").write_text(f"call {PEOPLE[0].key} back")
    said = CliRunner().invoke(app, ["purge", str(collected.folder), "--subject", PEOPLE[0].key])
    assert isinstance(said.exception, DataError) and "1 file(s) still hold" in str(said.exception)
    assert "notes.md" in str(said.exception) and "Mend" in str(said.exception)
    assert "notes.md" in list(collected.journal.entries())[-1].data["left"]


def test_somebody_unknown_and_nobody(collected: Programme) -> None:
    before = contents(collected.folder)
    said = CliRunner().invoke(app, ["purge", str(collected.folder), "--subject", "who-is-this"])
    assert said.exit_code == 0 and "Nothing to purge was found" in said.output
    kept = {"ledger.jsonl", "privacy/forgotten.json", "programme.lock"}
    assert {**contents(collected.folder), **{name: b"" for name in kept}} == {
        **before,
        **{name: b"" for name in kept},
    }
    with pytest.raises(UsageError, match="one is empty"):
        purge_subjects(collected, [" "], Silent())
