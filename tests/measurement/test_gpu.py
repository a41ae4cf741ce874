from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from fastbs.measurement.gpu import gpus


class NVMLError(Exception):
    pass


def refuses(*arguments):
    raise NVMLError("Not Supported")


@pytest.fixture
def nvml(monkeypatch):
    """Two cards, of which CUDA shows the second only; they answer all that is asked."""
    serials = {"GPU-aaaa": 0, "GPU-bbbb": 1}

    def by_uuid(uuid):
        if uuid not in serials:
            raise NVMLError("Not Found")
        return serials[uuid]

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        nvmlInit=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.95.05",
        nvmlSystemGetCudaDriverVersion_v2=lambda: 12090,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetHandleByPciBusId=lambda address: {"00000000:1b:00.0": 0, "00000000:3c:00.0": 1}[address],
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: [300_000, 700_000][handle],
        nvmlDeviceGetClockInfo=lambda handle, clock: {1: 345, 2: 2619}[clock],
        nvmlDeviceGetMaxClockInfo=lambda handle, clock: {1: 1980, 2: 3201}[clock],
        nvmlDeviceGetEccMode=lambda handle: [1, 0],
        nvmlDeviceGetMigMode=lambda handle: [0, 1],
        nvmlDeviceGetPersistenceMode=lambda handle: 1,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def torch(uuid="bbbb", count=1):
    properties = SimpleNamespace(
        name="NVIDIA H200",
        uuid=uuid,
        total_memory=150_000_000_000,
        multi_processor_count=132,
        major=9,
        minor=0,
        pci_domain_id=0,
        pci_bus_id=0x3C,
        pci_device_id=0,
    )
    cuda = SimpleNamespace(
        is_available=lambda: count > 0, device_count=lambda: count, get_device_properties=lambda index: properties
    )
    return SimpleNamespace(cuda=cuda)


def test_the_card_that_cuda_shows_is_the_card_that_nvml_describes(nvml):
    found = gpus(torch())
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "count": 1,
        "driver": "580.95.05",
        "driver_cuda": "12.9",
        "nvml": None,
        "devices": [
            {
                "index": 0,
                "name": "NVIDIA H200",
                "uuid": "bbbb",
                "memory_bytes": 150_000_000_000,
                "multiprocessors": 132,
                "compute_capability": "9.0",
                "power_limit_watts": 700.0,
                "sm_clock_now_mhz": 345,
                "sm_clock_max_mhz": 1980,
                "memory_clock_now_mhz": 2619,
                "memory_clock_max_mhz": 3201,
                "ecc": True,
                "mig": False,
                "persistence": True,
                "unknown": {},
            }
        ],
    }


def test_a_card_unknown_by_uuid_is_found_by_its_pci_address(nvml):
    assert gpus(torch(uuid="cccc"))["devices"][0]["power_limit_watts"] == 700


def test_what_one_question_refuses_does_not_hide_the_others(nvml):
    nvml.nvmlDeviceGetEccMode = refuses
    del nvml.nvmlDeviceGetMigMode  # an older nvidia-ml-py
    (device,) = gpus(torch())["devices"]
    assert (device["ecc"], device["mig"], device["persistence"]) == (None, None, True)
    assert device["unknown"]["ecc"] == "Not Supported"
    assert device["unknown"].keys() == {"ecc", "mig"}


@pytest.mark.parametrize("library", [None, SimpleNamespace(NVMLError=NVMLError, nvmlInit=refuses)])
def test_without_nvml_there_is_what_torch_knows_and_the_reason(monkeypatch, library):
    monkeypatch.setitem(sys.modules, "pynvml", library)
    found = gpus(torch())
    (device,) = found["devices"]
    reason = "Not Supported" if library else "nvidia-ml-py is not installed"
    assert (found["nvml"], found["driver"], found["count"]) == (reason, None, 1)
    assert (device["name"], device["ecc"], device["unknown"]["ecc"]) == ("NVIDIA H200", None, reason)


@pytest.mark.parametrize("without", [None, torch(count=0)])
def test_cards_that_torch_cannot_use_are_counted_and_not_described(nvml, without):
    found = gpus(without)
    assert (found["count"], found["devices"]) == (2, [])
