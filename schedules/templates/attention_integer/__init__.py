"""Attention of whole numbers, a block of queries at a time."""
