"""Gold's parts in a programme: what is split off, and what stays as it was."""

import csv

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.config import GoldConfig
from tutelage.errors import ConfigError
from tutelage.programme import Programme, fingerprint
from tutelage.stages import run_stage
from tutelage.stages.gold import GOLD, held_out

GOLD_SECTION = {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.1}


def opened(folder, **gold):
    return Programme.open(inbox_programme(folder, gold=GOLD_SECTION | gold))


def texts(path):
    return storage.read_table(path)["text"].to_pylist()


def test_a_part_of_golds_own_file_leaves_the_training_part_as_it_was(tmp_path):
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before, after = opened(tmp_path / "before"), opened(tmp_path / "after", calibration={"share": 0.3})
    for programme in (before, after):
        run_stage(programme, "gold")
    assert texts(after.gold_training) == texts(before.gold_training)
    parts = [texts(path) for path in (after.sealed, after.gold_calibration, after.gold_training)]
    assert list(map(len, parts)) == [18, 18, 24]
    assert not set(parts[0]) & set(parts[1])
    assert sorted(parts[0] + parts[1]) == sorted(texts(before.sealed))
    assert [prompt.text for prompt in held_out(after)] == parts[0] + parts[1]
    assert not before.gold_calibration.exists()


def test_a_programme_without_one_is_not_sealed_anew(tmp_path):
    programme = opened(tmp_path)
    before_there_were_any = programme.config.gold.model_dump(mode="json")
    del before_there_were_any["calibration"], before_there_were_any["annotators"]
    del before_there_were_any["columns"]["sensitivity"]
    assert GOLD.inputs(programme)["gold"] == fingerprint(before_there_were_any)
    run_stage(programme, "gold")
    run_stage(programme, "collect")
    assert not run_stage(programme, "gold") and not run_stage(programme, "collect")
    assert "calibration" not in storage.read_json(programme.seal)


def test_one_from_a_file_of_its_own_seals_nothing_else_and_leaves_the_traffic(tmp_path):
    programme = opened(tmp_path)
    run_stage(programme, "gold")
    run_stage(programme, "collect")
    sealed, traffic = texts(programme.sealed), texts(programme.prompts)
    with (tmp_path / "more.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("said", "label"), (traffic[0], "delivery"), (sealed[0], "login"), ("a bill again", "billing")]
        )
    calibration = {"path": "more.csv", "columns": {"text": "said"}}
    programme = opened(tmp_path, calibration=calibration)
    assert run_stage(programme, "gold") and run_stage(programme, "collect")
    assert texts(programme.sealed) == sealed
    assert texts(programme.gold_calibration) == [traffic[0], "a bill again"]
    assert texts(programme.prompts) == traffic[1:]
    assert not run_stage(programme, "gold")


@pytest.mark.parametrize("share", [0.6, 0.75])
def test_parts_that_leave_nothing_to_seal_are_refused(share):
    with pytest.raises(ValueError, match=r"take 0.4 and 0\.\d+ of the gold file itself"):
        GoldConfig(path="gold.csv", training={"share": 0.4}, calibration={"share": share})


def test_the_error_of_a_file_names_the_section(tmp_path):
    with pytest.raises(ConfigError, match=r"gold: .*leaves nothing to seal. Mend: lower their shares"):
        opened(tmp_path, calibration={"share": 0.6})
