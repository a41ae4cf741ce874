import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.advice.inference import advise_inference
from fastbs.analysis.deployed_rows import deployed_rows
from fastbs.results.deployed import CheckFound, Compared, DeployedNet, LatencyRow


def net(size=8, seed=0, **more):
    values = {"folder": f"s/runs/b{size}-s{seed}/deployed/x", "arm": "main", "batch_size": size, "seed": seed}
    return DeployedNet(**values | {"to": "onnx", "precision": "fp16"} | more)


def checked(ok=True, *, flips=0, images=100, error=0.001, top1=0.9, engine=None, same_images=True):
    compared = Compared(images=images, top1_trained=0.9, top1=top1, flips=flips, error=error, same_images=same_images)
    failures = () if ok else ("too many flips",)
    return {
        "check_finding": "made",
        "check": CheckFound(ok=ok, failures=failures, evaluators=(("ort", images),), engine=engine, compared=compared),
    }


def timed(times, *, status="ok", graph=False, machine="cpu", reason=None):
    """`times` are p99 in ms by inference batch size; images/s is the batch size over 0.8 of it."""
    rows = tuple(
        LatencyRow(
            machine=machine,
            cuda_graph=graph,
            batch_size=size,
            status=status,
            reason=reason,
            p50_ms=0.8 * p99 if status == "ok" else None,
            p99_ms=p99 if status == "ok" else None,
            images_per_second=1e3 * size / (0.8 * p99) if status == "ok" else None,
        )
        for size, p99 in times.items()
    )
    return {"latency_finding": "made", "latency": rows}


CHECKS = st.sampled_from(
    [{}, {"check_finding": "stale"}, checked(), checked(False, flips=3), checked(engine="built, not run: no GPU")]
)

LATENCIES = st.one_of(
    st.sampled_from(
        [{}, {"latency_finding": "stale"}, timed({1: 2.0, 8: 3.0}, status="unsupported", reason="no card")]
    ),
    st.dictionaries(st.sampled_from([1, 2, 4, 64]), st.floats(0.1, 50), min_size=1).map(timed),
)
NETS = st.lists(
    st.builds(
        lambda size, seed, arm, to, check, latency: net(size, seed, arm=arm, to=to, **check, **latency),
        st.sampled_from([4, 8, 16]),
        st.integers(0, 4),
        st.sampled_from(["main", "scaled-lr"]),
        st.sampled_from(["onnx", "tensorrt"]),
        CHECKS,
        LATENCIES,
    ),
    max_size=12,
)


@given(NETS)
def test_every_artefact_is_counted_once_in_one_row_among_checks_and_among_latencies(nets):
    rows = deployed_rows(nets)
    keys = [(row["arm"], row["batch_size"], row["to"], row["precision"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert sum(row["exported"] for row in rows) == len(nets)
    for row in rows:
        assert sum(row["checks"].values()) == row["exported"] == sum(row["latencies"].values())
    assert sum(row["checks"]["failed"] for row in rows) == sum(n.check is not None and not n.check.ok for n in nets)
    assert sum(row["checks"]["stale"] for row in rows) == sum(n.check_finding == "stale" for n in nets)
    assert sum(len(row["failures"]) for row in rows) == sum(row["checks"]["failed"] for row in rows)
    cells = sum(sum(cell["status_counts"].values()) for row in rows for cell in row["latency"])
    assert cells == sum(len(n.latency) for n in nets)


@given(NETS, st.randoms())
def test_the_order_in_which_artefacts_are_found_changes_no_number(nets, random):
    def numbers(rows):
        return [
            {key: value for key, value in row.items() if key not in ("failures", "latency")}
            | {"latency": [{k: v for k, v in cell.items() if k != "status_counts"} for cell in row["latency"]]}
            | {"counts": [dict(sorted(cell["status_counts"].items())) for cell in row["latency"]]}
            for row in rows
        ]

    shuffled = random.sample(nets, len(nets))
    for one, other in zip(numbers(deployed_rows(nets)), numbers(deployed_rows(shuffled)), strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"top1", "top1_trained"}:
            assert one[key] == other[key]
        assert one["top1"] == pytest.approx(other["top1"])


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_a_latency_is_numpys_median_over_artefacts(times):
    [row] = deployed_rows([net(seed=seed, **timed({4: p99})) for seed, p99 in enumerate(times)])
    [cell] = row["latency"]
    assert cell["p99_ms"] == pytest.approx(np.median(times))
    assert cell["images_per_second"] == pytest.approx(np.median([4e3 / (0.8 * p99) for p99 in times]))
    assert cell["status_counts"] == {"ok": len(times)}


def test_numbers_of_failed_checks_are_not_left_out():
    nets = [net(seed=0, **checked(top1=0.9)), net(seed=1, **checked(False, flips=6, images=200, error=0.5, top1=0.6))]
    [row] = deployed_rows(nets)
    assert (row["flips"], row["error"], row["agreement"]) == (6, 0.5, 1 - 6 / 300)
    assert row["top1"] == pytest.approx(0.75) and row["other_images"] == 0
    assert row["evaluators"] == [{"name": "ort", "images": n, "checks": 1} for n in (100, 200)]
    assert row["failures"] == ["s/runs/b8-s1/deployed/x: too many flips"]


def test_checks_on_other_images_are_counted():
    [row] = deployed_rows([net(seed=seed, **checked(same_images=seed == 0)) for seed in range(3)])
    assert row["other_images"] == 2


def test_one_logit_that_is_not_finite_leaves_no_largest_error():
    [row] = deployed_rows([net(seed=0, **checked()), net(seed=1, **checked(False, error=None))])
    assert row["error"] is None and row["flips"] == 0


def test_a_check_that_could_not_compare_answers_counts_and_has_no_numbers():
    broken = {"check_finding": "made", "check": CheckFound(ok=False, failures=("model.onnx is missing",))}
    [row] = deployed_rows([net(**broken)])
    assert row["checks"]["failed"] == 1
    assert [row[key] for key in ("top1", "top1_trained", "agreement", "flips", "error")] == [None] * 5


def test_engines_that_were_built_and_not_run_are_counted_apart():
    nets = [net(seed=seed, to="tensorrt", **checked(engine=engine)) for seed, engine in enumerate(["run", "built, x"])]
    assert deployed_rows(nets)[0]["engines"] == {"run": 1, "built, not run": 1}
    assert deployed_rows([net(**checked())])[0]["engines"] == {"run": 0, "built, not run": 0}


def test_latencies_of_two_machines_or_with_and_without_a_graph_are_never_put_together():
    ways = [{"machine": "a"}, {"machine": "b"}, {"machine": "a", "graph": True}]
    [row] = deployed_rows([net(seed=seed, **timed({1: 1.0 + seed}, **way)) for seed, way in enumerate(ways)])
    found = {(cell["machine"], cell["cuda_graph"]): cell["p99_ms"] for cell in row["latency"]}
    assert found == {("a", False): 1.0, ("b", False): 2.0, ("a", True): 3.0}


def advise(nets, limit=0.005):
    return advise_inference(nets, limit, "s", "s/runs/b8-s0")


@given(NETS, st.floats(1e-4, 0.05))
def test_what_is_recommended_passed_its_check_ran_and_keeps_the_limit(nets, limit):
    good = [n for n in nets if n.check and n.check.ok and n.check.engine in (None, "run")]
    found = advise(nets, limit)
    for row in found["kinds"]:
        measured = [r for n in good if (n.to, n.precision) == (row["to"], row["precision"]) for r in n.latency]
        worst = {}
        for r in measured:
            worst[r.batch_size] = max(worst.get(r.batch_size, 0), r.p99_ms if r.status == "ok" else np.inf)
        within = [size for size, p99 in worst.items() if p99 <= 1e3 * limit]
        assert (row["within"]["batch_size"] if row["within"] else None) == max(within, default=None)
        assert bool(row["missing"]) == all(np.isinf(p99) for p99 in worst.values())
    assert (found["exit_code"] == 0) == (found["best"] is not None) == any(row["within"] for row in found["kinds"])
    if found["best"]:
        speeds = [row["fastest"]["images_per_second"] for row in found["kinds"] if row["within"]]
        assert found["best"]["images_per_second"] == max(speeds)
    if found["exit_code"] == 4:
        assert found["next"] and not any(row["least"] for row in found["kinds"])


@given(NETS, st.floats(1e-4, 0.05), st.floats(1, 100))
def test_a_looser_limit_never_gives_a_smaller_batch(nets, limit, factor):
    def sizes(found):
        return [row["within"]["batch_size"] if row["within"] else 0 for row in found["kinds"]]

    pairs = zip(sizes(advise(nets, limit)), sizes(advise(nets, limit * factor)), strict=True)
    assert all(tight <= loose for tight, loose in pairs)


@given(NETS)
def test_the_training_batch_size_plays_no_part(nets):
    alike = [net(16, n.seed, **{key: getattr(n, key) for key in ("folder", "to", "check", "latency")}) for n in nets]
    told = [net(n.batch_size, n.seed, **{k: getattr(n, k) for k in ("folder", "to", "check", "latency")}) for n in nets]
    assert advise(alike) == advise(told)


def test_the_worst_artefact_decides_and_the_median_speed_is_named():
    nets = [net(seed=seed, **checked(), **timed({8: p99})) for seed, p99 in enumerate([3.0, 4.0, 4.9])]
    [row] = advise(nets)["kinds"]
    assert row["within"]["p99_ms"] == 4.9 and row["within"]["artefacts"] == 3
    assert row["within"]["images_per_second"] == pytest.approx(statistics.median([8e3 / 2.4, 8e3 / 3.2, 8e3 / 3.92]))
    assert advise([*nets, net(seed=3, **checked(), **timed({8: 5.1}))])["exit_code"] == 1


def test_a_size_that_one_artefact_could_not_be_measured_at_keeps_no_limit():
    out_of_memory = net(seed=1, **checked(), **timed({8: 2.0}, status="oom", reason="out of memory"))
    [row] = advise([net(**checked(), **timed({1: 1.0, 8: 2.0})), out_of_memory])["kinds"]
    assert row["batch_sizes"] == [1] and row["within"]["batch_size"] == 1


def test_of_all_within_the_limit_the_fastest_is_best_even_if_another_size_is_larger():
    nets = [net(**checked(), **timed({1: 0.1, 8: 4.9})), net(precision="fp32", **checked(), **timed({4: 4.0}))]
    found = advise(nets)
    assert [row["within"]["batch_size"] for row in found["kinds"]] == [8, 4]
    assert (found["best"]["precision"], found["best"]["batch_size"]) == ("fp16", 1)


CHECK, BENCH = "fastbs check s", "fastbs bench inference --artifact s/runs/b8-s0/deployed/x"
EXPORT = ["fastbs export s --to onnx --precision fp32", CHECK, "fastbs bench inference --artifact s/runs/b8-s0"]
UNSUPPORTED = timed({1: 1.0}, status="unsupported", reason="no bf16")
UNRUN = checked(engine="built, not run: no NVIDIA GPU here")


@pytest.mark.parametrize(
    ("nets", "code", "missing", "commands"),
    [
        ([], 4, [], EXPORT),
        ([net()], 4, ["not checked"], [CHECK]),
        ([net(**timed({1: 1.0}))], 4, ["not checked"], [CHECK]),
        ([net(check_finding="stale")], 4, ["not checked since artefact or run changed"], [CHECK]),
        ([net(**checked())], 4, ["not measured"], [BENCH]),
        ([net(**checked(), latency_finding="stale")], 4, ["not measured since artefact or run changed"], [BENCH]),
        ([net(**checked(), **UNSUPPORTED)], 4, ["not measured: no bf16"], EXPORT),
        ([net(**checked(), **timed({1: 1.0}, status="failed", reason="x"))], 4, ["not measured: x"], [BENCH]),
        ([net(**checked(False), **timed({1: 1.0}))], 1, ["no artefact passed its check"], []),
        ([net(**checked(), **timed({1: 9.0})), net(precision="fp32")], 1, [None, "not checked"], [CHECK]),
        ([net(**checked(False)), net(precision="fp32")], 4, ["no artefact passed its check", "not checked"], [CHECK]),
        (
            [net(to="tensorrt", **UNRUN, **timed({1: 1.0}))],
            4,
            ["engine built, not run: no NVIDIA GPU here; check it where its card is"],
            ["fastbs check s/runs/b8-s0/deployed/x"],
        ),
        ([net(**checked(), **timed({1: 1.0})), net(seed=1, **checked(False))], 0, [None], []),
    ],
)
def test_what_is_missing_is_said_with_the_commands_that_would_tell(nets, code, missing, commands):
    found = advise(nets)
    assert (found["exit_code"], found["next"]) == (code, commands)
    assert [row["missing"] for row in found["kinds"]] == missing
