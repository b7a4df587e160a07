"""Softmax, layer normalisation and their kind, a row at a time."""
