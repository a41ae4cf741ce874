"""Clocks, memory, energy, and what machine this is."""
