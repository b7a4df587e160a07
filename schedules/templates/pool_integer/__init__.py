"""Maxima of windows of whole numbers of 8 bits."""
