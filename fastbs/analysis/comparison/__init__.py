"""Two sets of measurements, side by side: what can be told apart, and what cannot."""
