"""The whole study of how often each verdict holds, as Markdown.

    python -m fastbs.bench.truth claims --sweeps 200 > claims.md

Claim: "true" and "true for another reason" are false in at most 5 % of sweeps in every world. Nothing is measured, so
hardware does not matter; seeds are fixed, and n and the Monte-Carlo error stand beside every share.
"""

from __future__ import annotations

import click

from fastbs.bench.truth import advice, claims, comparisons


@click.group(help=__doc__)
def main() -> None:
    """One command for each verb whose verdicts are judged."""


@main.command("claims")
@click.option("--sweeps", type=click.IntRange(1), default=100, show_default=True, help="In each cell of each world.")
@click.option("--seed", type=int, default=claims.JUDGING, show_default=True)
def judge_claims(sweeps: int, seed: int) -> None:
    """The verdicts of `fastbs sweep` and `show` on the post's claims."""
    click.echo(claims.report(claims.study(sweeps, seed)))


@main.command("comparisons")
@click.option("--trials", type=click.IntRange(1), default=600, show_default=True, help="In each world.")
def judge_comparisons(trials: int) -> None:
    """The verdicts of `fastbs compare`."""
    click.echo(comparisons.markdown(list(comparisons.study(trials))))


@main.command("advice")
@click.option("--sweeps", type=click.IntRange(1), default=100, show_default=True, help="In each world.")
def judge_advice(sweeps: int) -> None:
    """What `fastbs advise` recommends, and how sure it says it is."""
    click.echo(advice.render(advice.study(sweeps)))


if __name__ == "__main__":
    main()
