"""Convolution of planes."""
