"""Luthier."""
