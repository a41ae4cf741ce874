"""What is on disk, read and written safely. Knows no torch."""
