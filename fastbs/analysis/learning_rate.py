"""How learning rate, AdamW's beta2 and AdamW's weight decay follow the batch size, from those that hold at another."""

from __future__ import annotations

import math

from fastbs.config import LrRule, WeightDecayRule


def scaled_lr(rule: LrRule, lr: float, batch_size: int, at: int) -> float:
    """The rate for `batch_size` when `lr` holds at batch size `at`.

    constant: unchanged, as in the post. linear: in proportion (Goyal et al. 2017, for SGD; fails beyond the critical
    batch size). sqrt: with the root of the ratio (Hoffer et al. 2017 for SGD, Malladi et al. 2022 for Adam).
    beta2-halflife: as sqrt, beside `scaled_beta2`. ValueError for rules that compute none.
    """
    ratio = batch_size / at
    match rule:
        case "constant":
            return lr
        case "linear":
            return lr * ratio
        case "sqrt" | "beta2-halflife":
            return lr * math.sqrt(ratio)
    raise ValueError(f"rule {rule}: its rates are looked up")


def scaled_beta2(rule: LrRule, beta2: float, batch_size: int, at: int) -> float:
    """AdamW's beta2 for `batch_size` when `beta2` holds at `at`.

    beta2-halflife: beta2^(B/B0), so that the average of squared gradients forgets half of itself over the same number
    of images at every size (Marek et al. 2025). Other rules leave it.
    """
    return beta2 ** (batch_size / at) if rule == "beta2-halflife" else beta2


def scaled_weight_decay(rule: WeightDecayRule, decay: float, sizes: float, rates: float) -> float:
    """AdamW's weight decay at `sizes` times the batch size and `rates` times the rate at which `decay` holds.

    timescale: decay x sizes / rates. AdamW's weights are an average of its updates over the last 1/(rate x decay) of
    them, which is B/(rate x decay) images; the rule keeps those (Wang and Aitchison 2024, arXiv 2405.13698). At one
    rate the decay is then in proportion to the batch size, as was found best for language models of one size on one
    amount of data (arXiv 2505.13738); with rates that follow the root it follows the root, with linear rates it stays.
    Not shown for other optimizers, nor well beyond the critical batch size.
    """
    return decay * sizes / rates if rule == "timescale" else decay
