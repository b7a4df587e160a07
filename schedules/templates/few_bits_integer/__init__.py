"""Products of rows that are rounded to 8 bits with matrices of few bits."""
