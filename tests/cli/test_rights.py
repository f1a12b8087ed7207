from __future__ import annotations

from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.errors import UsageError
from tutelage.rights import load_registry


def _run(*words: str):
    return CliRunner().invoke(app, ["rights", *words])


def test_every_entry_is_listed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # a narrow terminal folds ids
    told = _run("list").stdout
    assert all(entry.id in told for entry in load_registry())


def test_an_entry_is_shown_with_its_hash_and_dates():
    terms = load_registry().find("openai-api")
    told = _run("show", "openai-api").stdout
    assert terms.clause_hash in told and str(terms.expires) in told and "distributed review" in told


def test_another_clause_has_another_hash():
    terms = load_registry().find("openai-api")
    assert terms.model_copy(update={"clause": terms.clause + "."}).clause_hash != terms.clause_hash


def test_an_unknown_entry_names_the_nearest():
    error = _run("show", "openai-apy").exception
    assert isinstance(error, UsageError) and "openai-api" in str(error)


def test_a_programme_is_checked_today(tmp_path):
    (tmp_path / "tutelage.yaml").write_text(
        "gold: {path: g.csv}\ntraffic: {path: t.csv}\n"
        "teacher: {type: openai, rights: google-consumer, model: m, base_url: 'http://127.0.0.1:1/v1'}\n"
    )
    result = _run("check", str(tmp_path))
    assert result.exit_code == 3
    assert result.stdout.startswith("fail: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "tutelage.yaml"]
