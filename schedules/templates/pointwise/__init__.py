"""Elementwise operators and data movement."""
