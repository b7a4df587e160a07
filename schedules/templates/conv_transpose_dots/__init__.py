"""Transposed convolution to few channels, by dot products."""
