"""One run: from batches to a record."""
