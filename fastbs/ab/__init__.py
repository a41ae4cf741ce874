"""A against B: measured in turns, analysed in pairs."""
