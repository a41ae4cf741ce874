"""Which learning rate a batch size gets, from the rate that holds at another."""

from __future__ import annotations

import math
from typing import Literal


def scaled_lr(rule: Literal["constant", "linear", "sqrt"], lr: float, batch_size: int, at: int) -> float:
    """The rate for `batch_size` when `lr` holds at batch size `at`.

    constant: unchanged, as in the post. linear: in proportion (Goyal et al. 2017, for SGD; fails beyond the critical
    batch size). sqrt: with the root of the ratio (Hoffer et al. 2017 for SGD, Malladi et al. 2022 for Adam).
    """
    ratio = batch_size / at
    return lr * {"constant": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule]
