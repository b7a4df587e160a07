"""Operators of other vocabularies, composed of the graph's own; whoever reads a model uses them."""
