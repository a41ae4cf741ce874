"""From a trained run to what is served: export it, prove that it is still the same net, run it."""
