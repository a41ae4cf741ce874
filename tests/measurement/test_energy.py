from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.measurement import energy
from fastbs.measurement.energy import Counters, EnergyMeter, _difference

RANGE = 262_143_328_850


@pytest.fixture
def powercap(tmp_path):
    """A sysfs with two packages, zones inside them, and the platform; all counters stand at 1 J."""
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
    }
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "energy_uj").write_text("1000000\n")
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{RANGE}\n")
    return tmp_path


def test_energy_is_that_of_the_packages_alone(powercap):
    meter = EnergyMeter("cpu", powercap)
    assert meter.source == "rapl"
    meter.start()
    for zone in powercap.iterdir():
        (zone / "energy_uj").write_text("3500000\n")
    assert meter.stop() == 5.0
    assert meter.stop() is None  # nothing was started


@given(st.integers(0, RANGE - 1), st.integers(0, RANGE - 1))
def test_a_counter_that_starts_over_loses_nothing(before, used):
    counters = Counters("rapl", list, per_joule=1_000_000, ranges=[RANGE])
    assert _difference(counters, [before], [(before + used) % RANGE], seconds=1) == used / 1_000_000


def test_a_stretch_in_which_it_may_have_started_over_twice_is_no_measurement(powercap, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(energy, "time", SimpleNamespace(monotonic=lambda: now[0]))
    meter = EnergyMeter("cpu", powercap)
    for seconds, measured in [(262, True), (263, False)]:
        meter.start()
        now[0] += seconds
        assert (meter.stop() is not None) == measured
        assert (meter.source == "rapl") == measured


def test_counters_that_only_root_may_read_are_none(powercap):
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    (powercap / "intel-rapl:1" / "energy_uj").mkdir()  # unreadable for root, too
    meter = EnergyMeter("cpu", powercap)
    meter.start()
    assert meter.source is None
    assert meter.stop() is None


def test_a_counter_that_vanishes_on_the_way_is_no_measurement(powercap):
    meter = EnergyMeter("cpu", powercap)
    meter.start()
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.stop() is None
    assert meter.source is None


def test_a_machine_without_counters_measures_nothing(tmp_path):
    meter = EnergyMeter("cpu", tmp_path / "absent")
    meter.start()
    assert (meter.source, meter.stop()) == (None, None)


@pytest.fixture
def board(monkeypatch):
    """An NVML with one card; its counter, in mJ, is set by the test, and None stands for a card without one."""

    class NVMLError(Exception):
        pass

    card = SimpleNamespace(millijoules=1000)

    def read(handle):
        if card.millijoules is None:
            raise NVMLError("Not Supported")
        return card.millijoules

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-7": "handle"}[uuid],
        nvmlDeviceGetTotalEnergyConsumption=read,
    )
    torch = SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(uuid=7)))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", torch)
    return card


def test_energy_of_a_gpu_is_the_difference_of_its_boards_counter(board):
    meter = EnergyMeter("cuda:0")
    meter.start()
    board.millijoules = 3500
    assert (meter.source, meter.stop()) == ("nvml", 2.5)


def test_a_gpu_without_a_counter_measures_nothing(board):
    board.millijoules = None
    meter = EnergyMeter("cuda")
    meter.start()
    assert (meter.source, meter.stop()) == (None, None)
