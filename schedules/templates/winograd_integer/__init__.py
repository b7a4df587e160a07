"""Winograd convolution of whole numbers, exactly."""
