"""Simulated worlds of known truth, and how often each printed verdict holds in them.

`python -m fastbs.bench.truth` prints the whole study; `tests/truth/` runs a part of it.
"""
