"""Steps on a clock of our own, and real ones beside their plain twins."""

import copy
import itertools

import pytest
import torch

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.profiling import phases as room
from fastbs.profiling.phases import PHASES, enqueue_seconds, measure_in_turns, measure_phases
from fastbs.training.step import Step

CPU = torch.device("cpu")
COSTS = {"input": 0.02, "forward": 0.05, "backward": 0.11, "update": 0.03, "rest": 0.007}


class TimedStep:
    """Does nothing, and takes `costs` seconds for it on the clock of the test; the first step takes ten times that."""

    def __init__(self, monkeypatch, costs):
        self.now, self.costs, self.steps = 100.0, costs, 0
        monkeypatch.setattr(room.time, "perf_counter", lambda: self.now)

    def spend(self, phase):
        self.now += self.costs[phase] * (10 if self.steps == 0 else 1)

    def batches(self):
        for number in itertools.count():
            self.spend("input")
            yield number

    def forward(self, batch):
        self.spend("forward")
        return ("loss", batch), ("logits", batch)

    def backward(self, loss):
        assert loss == ("loss", self.steps)
        self.spend("backward")

    def update(self):
        self.spend("update")

    def finish(self, batch, loss, logits):
        assert (batch, loss, logits) == (self.steps, ("loss", batch), ("logits", batch))
        self.spend("rest")
        self.steps += 1


@pytest.fixture
def card(monkeypatch):
    """A card whose events tell the time of the test's clock once it was waited for; `waits` are those times."""
    waits = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            self.at = room.time.perf_counter()

        def elapsed_time(self, end):
            assert waits and waits[-1] >= end.at, "read before it was waited for"
            return (end.at - self.at) * 1e3

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waits.append(room.time.perf_counter()))
    return waits


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_every_phase_gets_its_own_time_and_a_slow_first_step_changes_none(monkeypatch, card, device):
    step = TimedStep(monkeypatch, COSTS)
    found = measure_phases(step, step.batches(), device, seconds=20)
    assert list(found) == list(PHASES)
    assert found == pytest.approx(COSTS)


def test_a_card_is_waited_for_at_the_ends_of_stretches_only(monkeypatch, card):
    step = TimedStep(monkeypatch, COSTS)
    start = step.now
    measure_phases(step, step.batches(), torch.device("cuda"), seconds=20)
    assert step.steps > 20
    assert card == pytest.approx([start + (5 + 9) * sum(COSTS.values()), step.now])  # the first step counts for ten


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.01, 5, 5), (100, 150, 700)])
def test_steps_are_as_many_as_fill_the_time_and_five_at_least(monkeypatch, seconds, least, most):
    step = TimedStep(monkeypatch, COSTS)  # 0.217 s a step; the slow first one makes the estimate too long
    measure_phases(step, step.batches(), "cpu", seconds=seconds)
    assert least <= step.steps <= most


def test_phases_sum_up_to_the_whole_step(monkeypatch):
    step = TimedStep(monkeypatch, COSTS)
    start = step.now
    found = measure_phases(step, step.batches(), "cpu", seconds=10)
    per_step = (step.now - start) / (step.steps + 9)  # the first counts for ten
    assert sum(found.values()) == pytest.approx(per_step)


def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 3)
    )


def batches(device=CPU):
    generator = torch.Generator().manual_seed(0)
    while True:
        labels = torch.randint(3, (4,), generator=generator)
        images = torch.randn(4, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
        yield Batch(images.to(device, memory_format=torch.channels_last), labels.to(device))


def training(model, precision="fp32", device=CPU):
    return Step(model, RunConfig(data="photos", batch_size=4, precision=precision, lr=0.05), device)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_looking_closer_trains_exactly_as_plain_steps_do(precision):
    watched = net()
    plain = copy.deepcopy(watched)
    step, oracle = training(watched, precision), training(plain, precision)
    used = []

    def counted():
        for batch in batches():
            used.append(batch)
            yield batch

    measure_phases(step, counted(), CPU, seconds=0.05)
    for batch in used:
        oracle(batch)
    assert len(used) >= 5
    for ours, theirs in zip(watched.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert step.take_metrics() == oracle.take_metrics()


def test_a_cpu_enqueues_nothing_and_is_not_called():
    assert enqueue_seconds(lambda: pytest.fail("called"), "cpu") is None


def test_a_call_is_enqueued_on_an_empty_queue_and_not_waited_for(monkeypatch):
    now, queued = [0.0], [3]

    def wait(device):
        now[0] += queued.pop() if queued else 0

    def call():
        assert not queued
        queued.append(5)  # seconds that the device will need
        now[0] += 0.25

    monkeypatch.setattr(room.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    assert enqueue_seconds(call, "cuda") == 0.25
    assert not queued  # nothing is left for the next measurement


@pytest.mark.gpu
def test_phases_of_a_card_cut_its_time_without_a_gap():
    device = torch.device("cuda")
    step, supply = training(net().to(device), device=device), batches(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    count = 0

    def counted():
        nonlocal count
        for batch in supply:
            count += 1
            yield batch

    measure_phases(step, counted(), device, seconds=0.5)  # warm
    count = 0
    start.record()
    found = measure_phases(step, counted(), device, seconds=0.5)
    end.record()
    torch.cuda.synchronize()
    assert all(value > 0 for value in found.values())
    assert sum(found.values()) <= 1.05 * start.elapsed_time(end) / 1e3 / count


@pytest.mark.gpu
def test_enqueueing_does_not_wait_for_the_device():
    numbers = torch.randn(8192, 8192, device="cuda")
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def work():
        events[0].record()
        for _ in range(10):
            numbers @ numbers
        events[1].record()

    host = enqueue_seconds(work, "cuda")
    assert host is not None and 0 < host < events[0].elapsed_time(events[1]) / 1e3


class WholeAndParts(TimedStep):
    """A step that may also be called; then it takes as long as its parts together, and `apart` seconds more."""

    def __init__(self, monkeypatch, costs, apart=0.0):
        super().__init__(monkeypatch, costs)
        self.apart = apart

    def __call__(self, batch):
        loss, logits = self.forward(batch)
        self.backward(loss)
        self.update()
        self.finish(batch, loss, logits)
        self.now += self.apart


@pytest.mark.parametrize("apart", [0.0, 0.4, -0.01])
def test_in_turns_the_whole_step_is_timed_without_marks_and_the_parts_add_up_to_their_own_sum(monkeypatch, apart):
    step = WholeAndParts(monkeypatch, COSTS, apart)
    timed = measure_in_turns(step, step.batches(), CPU, rounds=3, seconds=2)
    assert timed["step_seconds"] == pytest.approx(sum(COSTS.values()) + apart)
    assert timed["phases"] == pytest.approx(COSTS)


def test_what_happens_at_every_second_step_is_neither_the_whole_ones_nor_the_marked_ones(monkeypatch):
    step = WholeAndParts(monkeypatch, COSTS)
    step.steps = 0
    spend = step.spend
    monkeypatch.setattr(step, "backward", lambda loss: [spend("backward") for _ in range(1 + step.steps % 2)])
    monkeypatch.setattr(step, "finish", lambda *_: (spend("rest"), setattr(step, "steps", step.steps + 1)))
    timed = measure_in_turns(step, step.batches(), CPU, rounds=4, seconds=20 * sum(COSTS.values()))
    assert sum(timed["phases"].values()) == pytest.approx(timed["step_seconds"])
    assert timed["phases"]["backward"] == pytest.approx(1.5 * COSTS["backward"])


def test_a_round_is_as_long_as_asked_and_a_slow_one_does_not_count(monkeypatch):
    step = WholeAndParts(monkeypatch, COSTS)
    pairs = round(2 / (2 * sum(COSTS.values())))
    first = 1 + 2 * room.FEWEST_STEPS  # of the first round
    slow = range(first + 2 * pairs, first + 4 * pairs)  # the second round of four
    spend = step.spend
    monkeypatch.setattr(step, "spend", lambda phase: [spend(phase) for _ in range(5 if step.steps in slow else 1)])
    step.steps = 1  # it is warm
    monkeypatch.setattr(step, "backward", lambda loss: step.spend("backward"))
    monkeypatch.setattr(step, "finish", lambda *_: (step.spend("rest"), setattr(step, "steps", step.steps + 1)))
    timed = measure_in_turns(step, step.batches(), CPU, rounds=4, seconds=2)
    assert timed["phases"] == pytest.approx(COSTS, rel=0.2) and timed["step_seconds"] < 1.2 * sum(COSTS.values())
    assert step.steps - 1 == 2 * room.FEWEST_STEPS + 4 * 2 * pairs
