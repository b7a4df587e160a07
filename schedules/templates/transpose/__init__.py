"""Transposes."""
