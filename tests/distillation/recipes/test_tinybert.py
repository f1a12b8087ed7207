from __future__ import annotations

import pytest
from interrupting import Interrupting, Killed
from layer_recipes import config_of, quick, save_world, trained
from taught_world import right

from tiny_world import TEXTS, save_checkpoint
from tutelage.errors import ConfigError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return save_world(tmp_path_factory.mktemp("world"))


@pytest.mark.long
def test_every_layer_carries_what_the_teacher_knows_to_another_shape(world):
    control = right(trained(world, config_of("tinybert"), control=True).student)
    result = trained(world, config_of("tinybert"))
    assert right(result.student) > control + 0.3
    assert right(trained(world, config_of("tinybert"), "shuffled").student) < control + 0.15
    phases = result.record.phases
    assert [phase["name"] for phase in phases] == ["general", "intermediate", "soft targets"]
    first, *_, last = [check for check in result.record.history if check["phase"] == 0]
    for part in ("attention", "hidden", "embedding"):
        assert last[part] < first[part], part
    assert last["loss"] == pytest.approx(last["attention"] + last["hidden"] + last["embedding"])


@pytest.mark.long
def test_the_intermediate_stage_goes_on_with_the_projections_of_the_general_one(world):
    checks = trained(world, config_of("tinybert", body={"epochs": 10, "learning_rate": 5e-4})).record.history
    general = [check for check in checks if check["phase"] == 0]
    intermediate = [check for check in checks if check["phase"] == 1]
    assert intermediate[0]["hidden"] == pytest.approx(general[-1]["hidden"], rel=0.1)
    assert general[-1]["hidden"] < 0.9 * general[0]["hidden"]


@pytest.mark.long
def test_a_student_of_the_teachers_width_needs_no_projection(world):
    whole = {"hidden_size": None, "heads": None, "intermediate_size": None}
    result = trained(world, quick("tinybert", **whole))
    assert result.record.history[0]["embedding"] == pytest.approx(0.0, abs=0.02), (
        "its embeddings are the teacher's"
    )


def test_an_explicit_map_is_taken_at_its_word(world):
    pairs = {"layer_map": [[2, 4]]}
    parts = trained(world, quick("tinybert", body=pairs)).record.history[0]
    assert {"attention", "hidden"} <= parts.keys() and "embedding" not in parts


@pytest.mark.long
def test_the_model_that_answered_teaches_the_intermediate_stage(world):
    body = {"teacher": "mlm"}
    same, other = (
        trained(world, quick("tinybert", body=body), teacher).record.history
        for teacher in ("headless", "shuffled")
    )
    by_phase = [[check["loss"] for check in history if check["phase"] == 0] for history in (same, other)]
    assert by_phase[0] == by_phase[1], "the general stage is the named body's"
    assert [check["loss"] for check in same] != [check["loss"] for check in other]


def test_a_wider_answering_model_gets_projections_of_its_own(world):
    save_checkpoint(world / "wide", hidden_size=64)
    body = {"teacher": "headless"}
    assert trained(world, quick("tinybert", body=body), "wide").record.phases[1]["steps"]


@pytest.mark.parametrize(
    "member", [pytest.param(0, marks=pytest.mark.long), 1, pytest.param(2, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("keeps", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_killed_run_goes_on_through_its_phases_bit_by_bit(world, tmp_path, member, keeps):
    config = quick("tinybert")
    folders = [tmp_path / name if keeps else None for name in ("one", "two")]
    whole = trained(world, config, kept=folders[0])
    with pytest.raises(Killed):
        trained(
            world,
            config,
            progress=_Trainings(2, member=member),
            checkpoint=tmp_path / "checkpoint",
            kept=folders[1],
        )
    resumed = trained(world, config, checkpoint=tmp_path / "checkpoint", kept=folders[1])
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


class _Trainings(Interrupting):
    """Counts trainings alone, not the keeping of signals."""

    def track(self, description, total, unit, done=0):
        counted = self if unit == "steps" else Interrupting()
        return Interrupting.track(counted, description, total, unit, done)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"heads": 2}, r"2 attention heads and 'headless' 4.*student\.heads 4"),
        ({"layers": 5}, r"5 layers, the teacher 4.*no deeper than its teacher"),
        ({"body": {"layer_map": [[3, 1]]}}, r"layer 3 of the student, which has 2"),
    ],
)
def test_what_does_not_go_together_is_refused_before_training(world, config, message):
    progress = Interrupting()
    with pytest.raises(ConfigError, match=message):
        trained(world, quick("tinybert", **config), progress=progress)
    assert not progress.began


# What the teacher computes is kept


@pytest.mark.long
def test_a_teacher_runs_once_and_what_it_made_teaches_the_same(world, tmp_path, monkeypatch):
    from tutelage.distillation.teacher_body import TeacherBody

    config = config_of("tinybert", body={"epochs": 5}, epochs=5)
    online = trained(world, config).record.history
    kept = trained(world, config, kept=tmp_path).record.history
    for one, other in zip(online, kept, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.05)
    monkeypatch.setattr(TeacherBody, "load", lambda self: pytest.fail("the teacher's weights were loaded"))
    assert trained(world, config, kept=tmp_path).record.history == kept


@pytest.mark.long
def test_what_was_kept_of_another_teacher_is_made_anew(world, tmp_path):
    trained(world, quick("tinybert"), "shuffled", kept=tmp_path)
    fresh, mixed = (trained(world, quick("tinybert"), kept=folder) for folder in (tmp_path / "new", tmp_path))
    assert mixed.record.history == fresh.record.history


def test_one_pass_does_not_pay_for_keeping(world, tmp_path):
    trained(world, quick("tinybert", body={"epochs": 1}), kept=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))
