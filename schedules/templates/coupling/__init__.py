"""Probabilities of classes by those of pairs."""
