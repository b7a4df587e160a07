"""Products of few rows with matrices of few bits."""
