"""The alignment of two sequences."""
