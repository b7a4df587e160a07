"""Operators and shapes of every kind against other engines: ``python -m bench.sweep --help``."""
