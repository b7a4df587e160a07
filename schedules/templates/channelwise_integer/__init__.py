"""Depthwise convolutions of whole numbers."""
