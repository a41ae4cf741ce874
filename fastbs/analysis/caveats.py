"""What the table does not show, in sentences."""

from __future__ import annotations

from collections import Counter

from fastbs.analysis.claim_accuracy import under_trained
from fastbs.analysis.evidence import PENDING, Evidence
from fastbs.analysis.phrases import listed, percent, top1
from fastbs.analysis.rows import input_wait_share

INPUT_BOUND = 0.05  # part of the training time spent waiting for images above which a row says so


def caveats(evidence: Evidence) -> list[str]:
    """Sentences for the reader of any table, then those that this sweep gives cause for."""
    found = [_validation(evidence), _not_tested(evidence), _seeds(evidence), _not_ok(evidence)]
    found += [_misses(evidence), _under_trained(evidence), _too_few_evaluations(evidence), _input_bound(evidence)]
    return [caveat for caveat in found if caveat]


def _validation(evidence: Evidence) -> str:
    errors = [error for setting in evidence.sizes if (error := evidence.sampling_error(setting)) is not None]
    bounds = sorted({f"{100 * error:.1f}" for error in (min(errors), max(errors))}, key=float) if errors else []
    sampling = f", ±{' to '.join(bounds)} points by sampling alone" if bounds else ""
    test = "" if evidence.dataset["test"] else "; no test set"
    return f"{evidence.dataset['validation']:,} validation images{sampling}; one split{test}."


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


def _misses(evidence: Evidence) -> str:
    if evidence.target is None:
        return ""
    said = []
    for setting in evidence.sizes:
        times = evidence.times_to_target(setting, evidence.target)
        missed = sum(time is None for time in times.values())
        said += [f"{missed} of {len(times)} at {setting.batch_size}"] if missed else []
    return f"{top1(evidence.target)} was not reached by {', '.join(said)}." if said else ""


def _under_trained(evidence: Evidence) -> str:
    sizes = under_trained(evidence)
    return f"Longer training may change the accuracy of batch {listed(sizes)}." if sizes else ""


def _too_few_evaluations(evidence: Evidence) -> str:
    sizes = [s.batch_size for s in evidence.sizes if evidence.ok(s) and evidence.under_trained(s) is None]
    return f"Batch {listed(sizes)}: too few evaluations to tell whether training loss still falls." if sizes else ""


def _input_bound(evidence: Evidence) -> str:
    shares = {setting.batch_size: input_wait_share(evidence, setting) for setting in evidence.sizes}
    said = [
        f"{percent(share)} at {size}" for size, share in shares.items() if share is not None and share > INPUT_BOUND
    ]
    return f"Input-bound, part of the time waiting for images: {', '.join(said)}." if said else ""
