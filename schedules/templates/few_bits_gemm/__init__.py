"""Products of many rows with matrices of few bits."""
