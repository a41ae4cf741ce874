"""Formulas, statistics and what they make of the records, one home for each. Knows numpy, no torch."""
