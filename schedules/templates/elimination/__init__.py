"""Determinants of matrices."""
