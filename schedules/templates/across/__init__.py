"""Rows whose elements are gathered."""
