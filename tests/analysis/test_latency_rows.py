"""Percentiles are numpy's over all calls, and none is given that so few calls cannot tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.latency_rows import PERCENTILES, latency
from fastbs.analysis.measured_cell import MeasuredCell

times = st.lists(st.floats(1e-6, 10), min_size=1, max_size=150)


def cell(*processes, **parts):
    outcomes = [
        {"process": index, "status": "ok", "reason": None, "value": {"blocks": [], "latency_seconds": own} | parts}
        for index, own in enumerate(processes)
    ]
    return MeasuredCell("inference", {}, outcomes)


@given(st.lists(times, min_size=1, max_size=4))
def test_percentiles_are_numpys_on_the_samples_that_are_stored(processes):
    found = latency(cell(*processes))
    stored = np.concatenate(found["latency_samples_ms"])
    assert found["latency"]["calls"] == len(stored) == sum(map(len, processes))
    for p in PERCENTILES:
        value = found["latency"][f"p{p}_ms"]
        if len(stored) * (100 - p) < 100:
            assert value is None
        else:
            assert value == pytest.approx(np.percentile(stored, p), rel=1e-12)
    assert found["latency"]["min_ms"] == stored.min() and found["latency"]["max_ms"] == stored.max()
    assert found["latency"]["mean_ms"] == pytest.approx(stored.mean())


def test_a_99th_percentile_needs_a_hundred_calls():
    assert latency(cell([1e-3] * 99))["latency"]["p99_ms"] is None
    assert latency(cell([1e-3] * 50, [2e-3] * 50))["latency"]["p99_ms"] == 2.0


def test_parts_are_medians_over_processes_and_tell_who_is_waited_for():
    slow_host = latency(cell([1e-3], enqueue_seconds=3e-3, compute_seconds=2e-3, h2d_seconds=1e-3, first_seconds=1.0))
    assert slow_host["host_bound"] is True and slow_host["compute_ms"] == 2.0 and slow_host["first_ms"] == 1000.0
    assert latency(cell([1e-3], enqueue_seconds=1e-3, compute_seconds=2e-3))["host_bound"] is False
    on_cpu = latency(cell([1e-3]))
    assert on_cpu["host_bound"] is None and on_cpu["h2d_ms"] is on_cpu["d2h_ms"] is on_cpu["enqueue_ms"] is None


def test_a_row_without_samples_has_no_latency():
    failed = MeasuredCell("inference", {}, [{"process": 0, "status": "unsupported", "reason": "no", "value": None}])
    assert latency(failed)["latency"] is None and latency(failed)["latency_samples_ms"] == []
