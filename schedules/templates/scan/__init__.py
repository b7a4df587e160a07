"""Sums and products of what comes before, along an axis."""
