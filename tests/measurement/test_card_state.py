"""Cards made of nothing: what NVML answers, and when, is the test's to say."""

import sys
from types import SimpleNamespace

import pytest

from fastbs.measurement import card_state
from fastbs.measurement.card_state import POLICIES, CardState

SECOND = 1_000_000_000  # ns
NAMES = ["power", "thermal", "sync_boost", "board_limit", "low_utilization", "reliability"]  # 0, 1, ... in nvml.h
NOTHING = {"power_w": None, "throttled_share": None}


class NVMLError(Exception):
    pass


class Card:
    """Counters in ns by policy; one that is not in `counts` or `fields` is not supported there."""

    def __init__(self):
        self.now = 100.0
        self.millijoules = 0
        self.clock_mhz = 1980
        self.counts = dict.fromkeys(range(12), 0)
        self.fields = {}
        self.asked = []

    def run(self, seconds, joules=0, **held_back):
        """Let time pass, some of it under a policy (power, thermal, ...), in seconds."""
        self.now += seconds
        self.millijoules += joules * 1000
        for name, duration in held_back.items():
            number = NAMES.index(name)
            for counters, key in ((self.counts, number), (self.fields, 74 + number)):
                if key in counters:
                    counters[key] += round(duration * SECOND)

    def answer(self, counters, key):
        self.asked.append(key)
        if key not in counters:
            raise NVMLError("Not Supported")
        return counters[key]

    def field(self, number):
        noise = int(self.now * SECOND)  # what an error leaves there
        return SimpleNamespace(
            nvmlReturn=0 if number in self.fields else 3, value=SimpleNamespace(ullVal=self.fields.get(number, noise))
        )


@pytest.fixture
def card(monkeypatch):
    card = Card()
    policies = {f"NVML_PERF_POLICY_{name.upper()}": number for number, name in enumerate(NAMES)}
    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-7": "handle"}[uuid],
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: card.millijoules,
        nvmlDeviceGetClockInfo=lambda handle, clock: {1: card.clock_mhz}[clock],
        nvmlDeviceGetViolationStatus=lambda handle, policy: SimpleNamespace(
            violationTime=card.answer(card.counts, policy)
        ),
        nvmlDeviceGetFieldValues=lambda handle, numbers: [card.field(number) for number in numbers],
        **policies,
    )
    cuda = SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(uuid=7))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(card_state, "time", SimpleNamespace(monotonic=lambda: card.now))
    card.nvml = nvml
    return card


def test_power_and_throttling_are_those_between_start_and_stop(card):
    state = CardState("cuda:0")
    card.run(50, joules=9000, power=40)
    state.start()
    card.run(4, joules=2400, power=1)
    assert state.stop() == {"power_w": 600.0, "throttled_share": 0.25}
    assert state.stop() == NOTHING  # nothing was started


@pytest.mark.parametrize("policy", ["power", "thermal", "sync_boost", "board_limit", "reliability"])
def test_any_policy_that_holds_the_clock_back_is_throttling(card, policy):
    state = CardState("cuda")
    state.start()
    card.run(2, **{policy: 0.5})
    assert state.stop()["throttled_share"] == 0.25


def test_two_policies_at_once_are_not_counted_twice(card):
    state = CardState("cuda")
    state.start()
    card.run(2, power=1.5, thermal=1)
    assert state.stop()["throttled_share"] == 0.75


def test_a_card_with_nothing_to_do_is_not_throttled(card):
    state = CardState("cuda")
    state.start()
    card.run(2, low_utilization=2)
    assert state.stop()["throttled_share"] == 0


def test_a_counter_that_runs_ahead_of_our_clock_is_all_of_the_time(card):
    state = CardState("cuda")
    state.start()
    card.run(2, power=2.1)
    assert state.stop()["throttled_share"] == 1


def test_under_one_second_the_energy_counter_tells_no_power(card):
    state = CardState("cuda")
    state.start()
    card.run(0.75, joules=500, power=0.375)
    assert state.stop() == {"power_w": None, "throttled_share": 0.5}


def test_a_driver_that_counts_in_fields_only_is_asked_for_those(card):
    card.counts = {}
    card.fields = {74: 5 * SECOND, 75: 0}  # power and thermal; the others are errors
    state = CardState("cuda")
    state.start()
    card.run(2, thermal=0.5)
    assert state.stop()["throttled_share"] == 0.25


def test_the_fields_are_the_same_policies_in_nvidias_own_numbers():
    pynvml = pytest.importorskip("pynvml")
    assert {name: getattr(pynvml, name.replace("NVML_", "NVML_FI_DEV_")) for name in POLICIES} == POLICIES
    assert len({getattr(pynvml, name) for name in POLICIES}) == len(POLICIES)


def test_a_card_without_counters_is_not_called_unthrottled(card):
    card.counts = {}
    del card.nvml.nvmlDeviceGetFieldValues
    state = CardState("cuda")
    state.start()
    card.run(2, joules=100)
    assert state.stop() == {"power_w": 50.0, "throttled_share": None}


def test_a_counter_that_vanishes_on_the_way_leaves_the_others(card):
    state = CardState("cuda")
    state.start()
    card.run(2, power=1, thermal=0.5)
    del card.counts[0]
    assert state.stop()["throttled_share"] == 0.25


def test_the_clock_is_the_one_of_this_moment(card):
    state = CardState("cuda")
    assert state.sample() == 1980
    card.clock_mhz = 1200
    assert state.sample() == 1200
    del card.nvml.nvmlDeviceGetClockInfo
    assert state.sample() is None


def test_counters_are_read_at_the_ends_only(card):
    state = CardState("cuda")
    state.start()
    card.asked.clear()
    state.sample()
    assert card.asked == []
    card.run(2)
    state.stop()
    assert card.asked == [0, 1, 2, 3, 5]


def test_a_cpu_and_a_machine_without_nvml_tell_nothing(card, monkeypatch):
    states = [CardState("cpu")]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    states.append(CardState("cuda:0"))
    for state in states:
        state.start()
        card.run(2, joules=100, power=1)
        assert (state.sample(), state.stop()) == (None, NOTHING)


@pytest.mark.gpu
def test_a_real_card_answers_and_keeps_within_its_limits():
    import time

    import torch

    state = CardState("cuda")
    numbers = torch.randn(4096, 4096, device="cuda")
    state.start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        numbers = (numbers @ numbers).clamp(-1, 1)
        torch.cuda.synchronize()
    clock, told = state.sample(), state.stop()
    assert clock is not None and 100 < clock < 5000
    assert told["power_w"] is None or 10 < told["power_w"] < 2000
    assert told["throttled_share"] is None or 0 <= told["throttled_share"] <= 1
