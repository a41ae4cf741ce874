"""Which batch size: from records to one document with a recommendation, its reasons, and what is not known."""
