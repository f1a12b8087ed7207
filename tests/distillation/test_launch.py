from __future__ import annotations

import os

import pytest

from tutelage.distillation.launch import Sharing, sharing_asked_for
from tutelage.errors import ConfigError

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture
def told(monkeypatch):
    """Have accelerate's launcher told something."""

    def tell(**words):
        for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_"))]:
            monkeypatch.delenv(name)
        for name, value in words.items():
            monkeypatch.setenv(name, value)

    return tell


@pytest.mark.parametrize(
    ("words", "shard", "sharing"),
    [
        ({}, False, Sharing("none")),
        ({}, True, Sharing("fsdp", "student.shard")),
        (FSDP, False, Sharing("fsdp", "accelerate's --use_fsdp")),
        (
            {**FSDP, "FSDP_RESHARD_AFTER_FORWARD": "false"},
            True,
            Sharing("fsdp", "accelerate's --use_fsdp", False),
        ),
        ({"ACCELERATE_USE_FSDP": "false"}, False, Sharing("none")),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, True, Sharing("deepspeed", "accelerate's --use_deepspeed")),
    ],
)
def test_the_key_or_the_launcher_says_how_weights_are_shared_out(told, words, shard, sharing):
    told(**words)
    with sharing_asked_for(shard) as found:
        assert found == sharing
        assert not {"ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"} & {*os.environ}, "accelerate sees none"
    assert {name: os.environ.get(name) for name in words} == words, "and the next training finds them again"


def test_students_are_loaded_whole_in_every_process(told):
    """transformers leaves all but the first process's without weights where FSDP is to send them."""
    told(**FSDP, FSDP_CPU_RAM_EFFICIENT_LOADING="true")
    with sharing_asked_for(False):
        pass
    assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"FSDP_VERSION": "1"}, "FSDP 1.*Mend: accelerate launch --use_fsdp --fsdp_version 2"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "--fsdp_offload_params.*Mend: .*--offload_optimizer_device cpu"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "--fsdp_activation_checkpointing.*Mend: leave it out"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_with_their_mend(told, words, message):
    told(**FSDP | words)
    with pytest.raises(ConfigError, match=message), sharing_asked_for(False):
        pass
