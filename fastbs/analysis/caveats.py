"""What the table does not show, in sentences."""

from __future__ import annotations

import statistics
from collections import Counter

from fastbs.analysis.arms import rate_is_scaled
from fastbs.analysis.claim_accuracy import under_trained
from fastbs.analysis.evidence import PENDING, Evidence, Setting
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.phrases import listed, percent, top1
from fastbs.analysis.rows import input_wait_share

INPUT_BOUND = 0.05  # part of the training time spent waiting for images above which a row says so


def caveats(evidence: Evidence) -> list[str]:
    """Sentences for the reader of any table, then those that this sweep gives cause for."""
    found = [_validation(evidence), _not_tested(evidence), _seeds(evidence), _not_ok(evidence)]
    found += [_session(evidence), _shared(evidence), _misses(evidence), _confounded(evidence), _coarse(evidence)]
    found += [_undecided(evidence), _accumulated(evidence), _under_trained(evidence), _too_few_evaluations(evidence)]
    found += [_input_bound(evidence)]
    return [caveat for caveat in found if caveat]


def _validation(evidence: Evidence) -> str:
    errors = [error for setting in evidence.sizes if (error := evidence.sampling_error(setting)) is not None]
    bounds = sorted({f"{100 * error:.1f}" for error in (min(errors), max(errors))}, key=float) if errors else []
    images = f"{evidence.dataset['validation']:,} validation images"
    other = f"Other {images} could move top1 by {' to '.join(bounds)} points (95 %)" if bounds else images
    test = "" if evidence.dataset["test"] else ", no test set"
    return f"{other}; one split{test}."


def _not_tested(evidence: Evidence) -> str:
    sizes = evidence.config.batch_sizes
    below = f" < {sizes[0]} and" if sizes[0] > 1 else ""
    return f"Not tested: batch{below} > {sizes[-1]}."


def _seeds(evidence: Evidence) -> str:
    return "One seed: no spread, no intervals." if evidence.config.seeds == 1 else ""


def _not_ok(evidence: Evidence) -> str:
    said, total = Counter[str](), Counter[str]()
    for setting in [*evidence.sizes, *evidence.controls]:
        where = f" at {setting.batch_size}" + ("" if setting in evidence.sizes else f" ({setting.arm})")
        for status, n in evidence.status_counts(setting).items():
            total["ok" if status == "ok" else "not"] += n
            if status != "ok":
                said[status if status == PENDING else status + where] += n
    told = ", ".join(f"{n} {what}" for what, n in said.items())
    return f"{total['not']} of {total.total()} runs count in no mean: {told}." if said else ""


def _session(evidence: Evidence) -> str:
    """What the intervals of times leave out."""
    timed = any(map(evidence.timed, evidence.sizes))
    return "Times are of one session on this machine; another session may differ by more." if timed else ""


def _shared(evidence: Evidence) -> str:
    """Which runs' times are not in the table, and why."""
    runs = [run for s in (*evidence.sizes, *evidence.controls) for run in evidence.ok(s)]
    shared = sum(run.shared for run in runs)
    if not shared:
        return ""
    rest = f"times are those of the other {len(runs) - shared}" if shared < len(runs) else "no time is given"
    return f"{shared} of {len(runs)} ok runs shared their node with others and count for accuracy alone: {rest}."


def _misses(evidence: Evidence) -> str:
    if evidence.target is None:
        return ""
    said = []
    for setting in evidence.sizes:
        times = evidence.times_to_target(setting, evidence.target)
        missed = sum(time is None for time in times.values())
        said += [f"{missed} of {len(times)} at {setting.batch_size}"] if missed else []
    return f"{top1(evidence.target)} was not reached by {', '.join(said)}." if said else ""


def _confounded(evidence: Evidence) -> str:
    if evidence.target is None or rate_is_scaled(evidence.config) or len(evidence.sizes) < 2:
        return ""
    return (
        "One rate for all sizes: times to the target compare size and rate in one; --lr-rule linear or tuned does not."
    )


def _coarse(evidence: Evidence) -> str:
    """Where a stretch between evaluations is longer than what the two fastest sizes differ by."""
    times = _fastest_two(evidence)
    if times is None or evidence.target is None:
        return ""
    (first, soonest), (second, next_soonest) = times
    hits = [hit for s in (first, second) for hit in evidence.hits(s, evidence.target).values() if hit]
    half = statistics.median(hit.half_train_seconds for hit in hits)
    if half <= next_soonest - soonest:
        return ""
    sizes = f"{first.batch_size} and {second.batch_size}"
    return (
        f"Evaluations are {2 * half:.2g} s of training apart, batch {sizes} reach the target within "
        f"{next_soonest - soonest:.2g} s of each other: a smaller --eval-images would tell more."
    )


def _undecided(evidence: Evidence) -> str:
    """Which of the two fastest sizes is the first is open; nothing where one of them misses the target."""
    times = _fastest_two(evidence)
    if times is None or evidence.target is None:
        return ""
    (first, _), (second, _) = times
    both = [evidence.times_to_target(setting, evidence.target) for setting in (first, second)]
    if any(None in by_seed.values() for by_seed in both):
        return ""
    known = [{seed: time for seed, time in by_seed.items() if time is not None} for by_seed in both]
    ratio = paired_ratio(known[1], known[0])
    if ratio is None or not ratio.bounded or not ratio.touches(1, 1):
        return ""
    return f"Which of batch {first.batch_size} or {second.batch_size} is first to {top1(evidence.target)} is open."


def _fastest_two(evidence: Evidence) -> list[tuple[Setting, float]] | None:
    medians = {s: time for s in evidence.sizes if (time := evidence.median_time_to_target(s)) is not None}
    order = sorted(medians.items(), key=lambda item: item[1])
    return order[:2] if len(order) > 1 else None


def _accumulated(evidence: Evidence) -> str:
    run = evidence.config.run
    sizes = [size for size in evidence.config.batch_sizes if run.replace(batch_size=size).accumulation > 1]
    return (
        f"Gradients accumulate over passes of {run.micro_batch} at batch {listed(sizes)}: no gain in images/s."
        if sizes
        else ""
    )


def _under_trained(evidence: Evidence) -> str:
    sizes = [] if evidence.until_target else under_trained(evidence)
    return f"Longer training may change the accuracy of batch {listed(sizes)}." if sizes else ""


def _too_few_evaluations(evidence: Evidence) -> str:
    if evidence.until_target:
        return ""
    sizes = [s.batch_size for s in evidence.sizes if evidence.ok(s) and evidence.under_trained(s) is None]
    return f"Batch {listed(sizes)}: too few evaluations to tell whether training loss still falls." if sizes else ""


def _input_bound(evidence: Evidence) -> str:
    shares = {setting.batch_size: input_wait_share(evidence, setting) for setting in evidence.sizes}
    said = [
        f"{percent(share)} at {size}" for size, share in shares.items() if share is not None and share > INPUT_BOUND
    ]
    return f"Input-bound, part of the time waiting for images: {', '.join(said)}." if said else ""
