"""Convolution to few channels, by dot products."""
