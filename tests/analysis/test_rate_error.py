"""What the rates of a tuned sweep may be off by, from its trials: against simulated searches."""

import math

import numpy as np
import pytest

from fastbs.analysis.rate_error import USUAL, rate_error
from fastbs.analysis.rate_search import search_rate

SIZES = (2, 4, 8, 16, 32, 64, 128)


def searches(rng, curvature, noise):
    """Searches whose best rate is a power of the size, and what each chosen rate costs in log images."""

    def score(lr):
        return 0, 1000 * math.exp(curvature * math.log(lr / best) ** 2 + noise * rng.standard_normal())

    found, costs = [], []
    for size in SIZES:
        best = 0.01 * size**0.7
        found.append(search_rate(size, 0.01 * size, score).to_json())
        costs.append(curvature * math.log(found[-1]["lr"] / best) ** 2)
    return found, costs


@pytest.mark.parametrize(("curvature", "noise"), [(0.15, 0.1), (0.25, 0.15), (0.15, 0.2)])
def test_it_is_about_the_true_spread_of_what_chosen_rates_cost(curvature, noise):
    rng = np.random.default_rng(1)
    estimates, truths = [], []
    for _ in range(60):
        found, costs = searches(rng, curvature, noise)
        estimates.append(rate_error(found))
        truths.append(np.var(costs))
    assert 0.5 <= np.median(estimates) / math.sqrt(np.mean(truths)) <= 2


def test_exact_trials_leave_next_to_nothing_and_too_few_the_usual():
    exact = [
        search_rate(size, 0.01, lambda lr: (0, math.exp(0.3 * math.log(lr / 0.011) ** 2))).to_json() for size in SIZES
    ]
    assert rate_error(exact) < 0.01
    assert rate_error([]) == USUAL == rate_error(exact[:1])
    missed = [search | {"trials": [t | {"score": "validation_loss"} for t in search["trials"]]} for search in exact]
    assert rate_error(missed) == USUAL
    old = [
        search | {"trials": [{k: t[k] for k in ("lr", "score", "value")} for t in search["trials"]]} for search in exact
    ]
    assert rate_error(old) == rate_error(exact)
