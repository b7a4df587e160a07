"""Operators on texts, which are rows of bytes."""
