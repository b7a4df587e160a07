"""Convolutions of whole numbers."""
