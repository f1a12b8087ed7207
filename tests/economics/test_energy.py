import sys
import time
from types import SimpleNamespace

import pytest

from tutelage.economics import EnergyMeter, energy

RANGE = 262_143_328_850  # microjoules, as a server's processor has it


def zone(powercap, name, microjoules, called="package-0"):
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{called}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    return folder / "energy_uj"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_packages_add_up_and_what_is_in_them_does_not_count_twice(tmp_path):
    first, second = zone(tmp_path, "intel-rapl:0", 1_000_000), zone(tmp_path, "intel-rapl:1", 0, "package-1")
    inside = zone(tmp_path, "intel-rapl:0:0", 0, "core")
    zone(tmp_path, "intel-rapl:2", 0, "psys")
    with EnergyMeter(tmp_path) as meter:
        first.write_text("3500000")
        second.write_text("1000000")
        inside.write_text("900000000")
    assert meter.joules == pytest.approx(2.5 + 1.0)
    assert meter.source == "RAPL package-0, RAPL package-1"


def test_a_counter_that_came_round_goes_on(tmp_path):
    counter = zone(tmp_path, "intel-rapl:0", RANGE - 1_000_000)
    with EnergyMeter(tmp_path) as meter:
        counter.write_text("2000000")
    assert meter.joules == pytest.approx(3.0)


def test_a_long_block_is_read_in_between_so_that_no_round_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_EVERY", 0.001)
    counter = zone(tmp_path, "intel-rapl:0", 0)
    with EnergyMeter(tmp_path) as meter:
        for half in (RANGE // 2, 10, RANGE // 2):
            (tmp_path / "next").write_text(str(half))
            (tmp_path / "next").replace(counter)  # a kernel's file is never half written
            assert was_read(meter, half * 1e-6)
    assert meter.joules == pytest.approx(1.5 * RANGE * 1e-6)


def was_read(meter, joules):
    """Whether the watching thread reads so much from the counter, within seconds."""
    for _ in range(5_000):
        if meter._last == [pytest.approx(joules)]:
            return True
        time.sleep(0.001)
    return False


@pytest.mark.parametrize("broken", ["absent", "empty", "gone", "no number"])
def test_what_cannot_be_read_is_none_and_stops_nothing(tmp_path, broken):
    if broken != "absent":
        counter = zone(tmp_path, "intel-rapl:0", 0)
    if broken == "empty":
        (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_text("")
    with EnergyMeter(tmp_path) as meter:
        if broken == "gone":
            counter.unlink()
        if broken == "no number":
            counter.write_text("")
    assert meter.joules is None
    assert meter.source == ""


def test_an_error_in_the_block_goes_through(tmp_path):
    zone(tmp_path, "intel-rapl:0", 0)
    with pytest.raises(KeyError), EnergyMeter(tmp_path) as meter:
        raise KeyError
    assert meter.joules == 0.0


class NvmlError(Exception):
    pass


def nvml(readings, *, fails=False):
    def consumption(handle):
        if fails:
            raise NvmlError("not supported")
        return readings[handle].pop(0)

    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(readings),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=consumption,
    )


def test_gpus_count_in_millijoules(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml([[1_000, 4_000], [0, 500]]))
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules == pytest.approx(3.5)
    assert meter.source == "NVML GPU 0, NVML GPU 1"


def test_a_gpu_without_a_counter_leaves_it_unknown(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml([[]], fails=True))
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules is None
