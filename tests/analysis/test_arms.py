from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.arms import planned_lr, planned_updates
from fastbs.analysis.budget import total_updates
from fastbs.config import RunConfig, SweepConfig
from fastbs.sweeps.plan import make_plan


@given(
    sizes=st.sets(st.sampled_from([1, 2, 3, 4, 8, 32, 100]), min_size=1),
    rule=st.sampled_from(["constant", "linear", "sqrt"]),
    at=st.sampled_from([None, 1, 8, 64]),
    epochs=st.floats(0.01, 7),
    updates=st.sampled_from([None, 50]),
    images=st.integers(100, 1348),
)
def test_rates_and_updates_are_those_of_the_plan(sizes, rule, at, epochs, updates, images):
    run = RunConfig(data="digits", lr=1e-3, epochs=epochs, updates=updates)
    config = SweepConfig(run=run, batch_sizes=tuple(sorted(sizes)), seeds=1, lr_rule=rule, lr_at=at)
    for planned in make_plan(config, images):
        size = planned.config.batch_size
        assert planned_lr(config, planned.arm, size) == planned.config.lr
        assert planned_updates(config, planned.arm, size, images) == total_updates(planned.config, images)
