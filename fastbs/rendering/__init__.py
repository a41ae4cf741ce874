"""Tables and sentences from documents. Knows no torch."""
