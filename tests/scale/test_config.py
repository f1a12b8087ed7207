"""Section `engine`."""

from __future__ import annotations

import pytest

from tutelage.config import parse_config
from tutelage.errors import ConfigError

REST = {
    "gold": {"path": "gold.csv", "training": {"share": 0.4}},
    "traffic": {"path": "traffic.csv"},
    "teacher": {"type": "encoder"},
}


def engine_of(value):
    return parse_config({**REST, "engine": value}, "here").engine


def test_local_is_the_default_and_a_word_is_enough():
    assert parse_config(REST, "here").engine.type == "local"
    assert engine_of("ray").type == "ray"
    assert engine_of({"type": "ray", "address": "auto"}).address == "auto"


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "head-node:6379", "[fe80::1]:6379", "auto"])
def test_addresses(address):
    assert engine_of({"type": "ray", "address": address}).address == address


@pytest.mark.parametrize("address", ["10.0.0.7", "ray://head:10001", "head:port", ""])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match=r"engine\.address"):
        engine_of({"type": "ray", "address": address})


def test_what_belongs_to_ray_is_refused_without_it():
    with pytest.raises(ConfigError, match=r"workers.*Mend: type: ray"):
        engine_of({"workers": 2})


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"cpus": 0}, {"gpus": -1}, "dask"])
def test_what_no_cluster_can_do_is_refused(wrong):
    with pytest.raises(ConfigError):
        engine_of(wrong if isinstance(wrong, str) else {"type": "ray", **wrong})


def test_a_section_that_was_read_can_be_read_again():
    engine = engine_of({"type": "ray", "workers": 3})
    assert engine_of(engine.model_dump()) == engine
    assert engine_of(engine_of("local").model_dump()).type == "local"
