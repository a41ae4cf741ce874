"""Batch sizes x seeds x controls, planned, run one process each, resumed, summed up."""
