"""Writes phases: statements, register tiles, the elements of expressions."""
