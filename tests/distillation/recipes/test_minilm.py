from __future__ import annotations

import pytest
from interrupting import Interrupting, Killed
from layer_recipes import config_of, quick, save_world, trained
from taught_world import right

from tiny_world import TEXTS
from tutelage.config import StudentConfig
from tutelage.errors import ConfigError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return save_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def control(world):
    return right(trained(world, config_of("minilm"), control=True).student)


@pytest.mark.long
def test_relations_carry_what_the_teacher_knows_to_another_width(world, control):
    assert right(trained(world, config_of("minilm")).student) > control + 0.3
    assert right(trained(world, config_of("minilm"), "shuffled").student) < control + 0.15


@pytest.mark.long
def test_the_first_minilm_does_with_attention_and_values(world, control):
    result = trained(world, config_of("minilm", body={"relations": "last-layer"}))
    assert right(result.student) > control + 0.3
    assert {"attention", "value", "loss"} <= result.record.history[0].keys()


@pytest.mark.long
def test_an_assistant_learns_first_and_then_teaches(world, control):
    result = trained(world, config_of("minilm", body={"assistant": True}))
    assert [phase["name"] for phase in result.record.phases] == ["assistant", "relations", "soft targets"]
    assert right(result.student) > control + 0.3


@pytest.mark.long
def test_any_layer_of_the_teacher_teaches(world):
    middle, last = (
        trained(world, quick("minilm", body={"layer_map": [[2, layer]]})).record.history[0]
        for layer in (2, 4)
    )
    assert middle["loss"] != last["loss"]
    assert trained(world, quick("minilm")).record.history[0]["loss"] == last["loss"], "the last by default"


@pytest.mark.parametrize(("heads", "wanted"), [(None, 16), (4, 4)])
def test_relation_heads_are_the_most_that_divide_both_widths(world, monkeypatch, heads, wanted):
    from tutelage.distillation import body_objectives

    seen, original = set(), body_objectives.relation
    monkeypatch.setattr(body_objectives, "relation", lambda *given: seen.add(given[-1]) or original(*given))
    trained(world, quick("minilm", body={"relation_heads": heads}))
    assert seen == {wanted}


@pytest.mark.long
@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_killed_run_goes_on_through_its_phases_bit_by_bit(world, tmp_path, member):
    config = quick("minilm", body={"assistant": True})
    whole = trained(world, config)
    with pytest.raises(Killed):
        trained(world, config, progress=Interrupting(3, member=member), checkpoint=tmp_path)
    resumed = trained(world, config, checkpoint=tmp_path)
    assert resumed.student.predict(TEXTS).tobytes() == whole.student.predict(TEXTS).tobytes()
    assert resumed.record.history == whole.record.history


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"body": {"relation_heads": 5}}, r"relation_heads is 5.*16.*32.*a divisor of 16"),
        ({"body": {"layer_map": [[1, 2], [2, 4]]}}, r"one layer's relations.*names 2 of 2.*Mend: last"),
        ({"body": {"layer_map": [[2, 9]]}}, r"layer 9 of the teacher, which has 4"),
        (
            {"heads": 2, "body": {"relations": "last-layer"}},
            r"2 attention heads and 'headless' 4.*student\.heads 4",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_training(world, config, message):
    progress = Interrupting()
    with pytest.raises(ConfigError, match=message):
        trained(world, quick("minilm", **config), progress=progress)
    assert not progress.began


def test_first_and_second_paper_are_not_mixed():
    with pytest.raises(ValueError, match=r"relation_heads is for relations: multi-head"):
        StudentConfig(recipe="minilm", body={"relations": "last-layer", "relation_heads": 4})
