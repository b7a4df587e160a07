"""Attention of few queries, one at a time."""
