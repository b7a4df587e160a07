"""Attention, a block of queries at a time."""
