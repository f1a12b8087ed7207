from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tiny_world import save_checkpoint
from tutelage.errors import ConfigError, MissingExtraError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from sharded_training import Training, assert_learned, sharded  # noqa: E402
from test_trainer import SCHEDULE  # noqa: E402
from torch import distributed  # noqa: E402

from tutelage.distillation import zero  # noqa: E402


@pytest.fixture
def told(monkeypatch):
    """What accelerate's launcher is told, in one process of two."""
    monkeypatch.setattr(distributed, "get_world_size", lambda group=None: 2)

    def tell(**words):
        for name, value in words.items():
            monkeypatch.setenv(name, value)
        return zero._config(replace(SCHEDULE, batch_size=10, accumulation=2, clip=0.5), bfloat16=True)

    return tell


def test_deepspeed_is_told_the_launcher_s_wishes_and_the_recipe_s_steps(told):
    config = told(
        ACCELERATE_DEEPSPEED_ZERO_STAGE="3",
        ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE="cpu",
        ACCELERATE_GRADIENT_CLIPPING="9.0",
        ACCELERATE_GRADIENT_ACCUMULATION_STEPS="7",
    )
    assert config["zero_optimization"]["stage"] == 3
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert (config["gradient_clipping"], config["gradient_accumulation_steps"]) == (0.5, 2)
    assert config["train_micro_batch_size_per_gpu"] == 3, "ten examples in two parts on two processes"
    assert config["torch_autocast"] == {"enabled": True, "dtype": "bfloat16"}
    assert "auto" not in json.dumps(config, default=str).replace("torch_autocast", "")


@pytest.mark.parametrize("section", ["optimizer", "scheduler", "bf16", "fp16"])
def test_a_config_file_may_not_say_what_the_recipe_says(told, tmp_path, section):
    file = tmp_path / "deepspeed.json"
    config = {"zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}, "train_batch_size": "auto"}
    file.write_text(json.dumps(config | {"bf16": {"enabled": "auto"}}))
    assert told(ACCELERATE_DEEPSPEED_CONFIG_FILE=str(file))["zero_optimization"] == {"stage": 2}
    file.write_text(json.dumps(config | {section: {"type": "Adam"}}))
    with pytest.raises(ConfigError, match=f"has {section}, which are the recipe's. Mend: take them out"):
        told()


def test_what_shares_nothing_out_and_what_cannot_be_read_is_refused(told, tmp_path):
    with pytest.raises(ConfigError, match="ZeRO stage 0.*Mend: --zero_stage 1, 2 or 3"):
        told(ACCELERATE_DEEPSPEED_ZERO_STAGE="0")
    with pytest.raises(ConfigError, match=r"options can't be read.*absent\.json.*Mend: "):
        told(ACCELERATE_DEEPSPEED_CONFIG_FILE=str(tmp_path / "absent.json"))


def test_where_deepspeed_is_not_installed_its_extra_is_named(monkeypatch):
    monkeypatch.setattr("tutelage.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[deepspeed\]"):
        zero.Zero(None, None, SCHEDULE, {}, device=None, bfloat16=False, wish="accelerate's --use_deepspeed")


@pytest.mark.long
@pytest.mark.slow
def test_a_student_in_deepspeed_s_hands_learns_what_a_whole_one_learns_and_goes_on_exactly(tmp_path):
    pytest.importorskip("deepspeed", reason="pip install 'tutelage[deepspeed]' for a training by DeepSpeed")
    base = save_checkpoint(tmp_path / "base", layers=2)
    trainings = []
    for stage in "23":
        words = {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_ZERO_STAGE": stage,
            "DS_ACCELERATOR": "cpu",
        }
        trainings += [
            Training(f"whole{stage}", told=words),
            Training(f"killed{stage}", dies=True, told=words),
            Training(f"parts{stage}", accumulation=2, told=words),
            Training(f"resumed{stage}", checkpoint=f"killed{stage}", told=words),
        ]
    # What stage 3 left, FSDP goes on from: a checkpoint is that of any other run.
    trainings += [
        Training("killed", dies=True, told=words),
        Training("resumed", checkpoint="killed", shard=True),
    ]
    found = sharded(tmp_path, base, *trainings)
    for whole, killed, parts, resumed in (found[:4], found[4:8]):
        steps, learned = whole
        assert steps == [0, SCHEDULE.steps]
        assert_learned(learned, base)
        assert_learned(parts[1], base)
        assert killed is None
        (began, steps), again = resumed
        assert 0 < began < steps == SCHEDULE.steps, "a signal that came to one process stopped both"
        assert all(torch.equal(learned[name], again[name]) for name in learned)
    killed, ((began, steps), again) = found[8:]
    assert killed is None and 0 < began < steps == SCHEDULE.steps
    assert_learned(again, base)
